#!/bin/bash
# One node of 8 GPUs, which train and write turns in turn: docs/cluster/train.sh [more words of eva fit]
# Killed or ended by SIGTERM (status 143), call it again: it goes on from its newest checkpoint.
set -euo pipefail

exec torchrun --standalone --nproc_per_node 8 -m eva_lightning fit --config eva/grpo.yaml \
  --trainer.devices 8 --trainer.strategy "${STRATEGY:-fsdp2}" \
  --model.engine VLLMEngine --model.engine.sleep_level 2 \
  --ckpt_path last "$@"
