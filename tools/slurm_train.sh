#!/usr/bin/env bash
# Train on a Slurm cluster, a process for each GPU:
#
#   PARTITION=gpu GPUS=16 GPUS_PER_NODE=8 tools/slurm_train.sh configs/mask_rcnn_vvt.py --work-dir out --resume
#
# What follows the config goes to tools/train.py. SRUN_ARGS are for srun. Slurm's signal before the time is over
# lets the run save itself: SRUN_ARGS='--signal=TERM@120'; the same command with --resume continues.
set -euo pipefail

CONFIG=${1:?a config, such as configs/mask_rcnn_vvt.py}
PARTITION=${PARTITION:?the name of a partition, as sinfo shows it}
GPUS=${GPUS:-8}
GPUS_PER_NODE=${GPUS_PER_NODE:-$((GPUS < 8 ? GPUS : 8))}
CPUS_PER_TASK=${CPUS_PER_TASK:-5}

# shellcheck disable=SC2086 (several words)
exec srun \
    --partition="$PARTITION" \
    --job-name="$(basename "$CONFIG" .py)" \
    --gres=gpu:"$GPUS_PER_NODE" \
    --ntasks="$GPUS" \
    --ntasks-per-node="$GPUS_PER_NODE" \
    --cpus-per-task="$CPUS_PER_TASK" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    python -u "$(dirname "$0")/train.py" "$@" --launcher slurm
