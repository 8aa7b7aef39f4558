# A machine without a GPU: the demo, and every command that needs none (docs/containers.md).
#   docker build -f docker/cpu.Dockerfile -t eva:cpu .
#   docker run --rm -it eva:cpu
FROM python:3.11.13-slim-bookworm

# FFmpeg for torchcodec, which decodes faster than PyAV alone.
RUN apt-get update && apt-get install -y --no-install-recommends make ffmpeg && rm -rf /var/lib/apt/lists/*

WORKDIR /eva
COPY pyproject.toml constraints.txt README.md LICENSE Makefile ./
COPY eva_lightning eva_lightning
COPY modules modules
COPY datamodules datamodules
COPY callbacks callbacks
COPY configs configs

# Where pip finds a torch without CUDA; empty takes PyPI's, which brings some 3 GB more.
ARG PIP_EXTRA_INDEX_URL=
RUN make EXTRAS=cpu .venv/.ready && rm -rf /root/.cache

ENV PATH=/eva/.venv/bin:$PATH OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
CMD ["make", "demo"]
