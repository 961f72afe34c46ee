#!/usr/bin/env bash
# One training run on Slurm nodes that share a file system. It ends before the time limit with a
# checkpoint, is put into the queue again, and goes on from there.
#
#   sbatch cluster/deploy/slurm.sh run.yaml
#   sbatch --nodes=4 --gpus-per-node=1 cluster/deploy/slurm.sh run.yaml --gpu
#
#SBATCH --job-name=scdfm
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=12:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

run=${1:?usage: sbatch slurm.sh RUN.yaml [options of scdfm train]}
shift
port=$((20000 + SLURM_JOB_ID % 20000))
head=$(hostname)
head_ip=$(hostname --ip-address | cut -d' ' -f1)

# Slurm tells this shell 120 s before the limit (--signal=B:TERM): the command keeps its step.
stopped=false told=false train=
trap 'stopped=true; if [ -n "$train" ]; then kill -TERM "$train"; told=true; fi' TERM

# The token is for this job alone; --export hands it to the job's own tasks only.
RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
export RAY_AUTH_TOKEN RAY_AUTH_MODE=token

srun --nodes=1 --ntasks=1 --nodelist="$head" --overlap --export=ALL \
  ray start --head --node-ip-address="$head_ip" --port="$port" \
  --num-cpus="$SLURM_CPUS_PER_TASK" --include-dashboard=false --block &
ray_head=$!

if ((SLURM_JOB_NUM_NODES > 1)); then
  # shellcheck disable=SC2016  # for the workers' own shells
  srun --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) \
    --exclude="$head" --overlap --export=ALL \
    bash -c 'for try in $(seq 60); do
      ray start --address="$0" --num-cpus="$SLURM_CPUS_PER_TASK" --block && exit
      sleep 2
    done' "$head_ip:$port" &
fi

for _ in $(seq 60); do
  scdfm doctor --address "$head_ip:$port" --json > /dev/null 2>&1 && break
  kill -0 "$ray_head"
  sleep 2
done

scdfm train "$run" --address "$head_ip:$port" --workers "$SLURM_JOB_NUM_NODES" \
  --cpus-per-worker $((SLURM_CPUS_PER_TASK - 1)) "$@" &
train=$!
if $stopped && ! $told; then # before its number was known; a second signal ends it at once
  kill -TERM "$train"
fi
status=0
wait "$train" || status=$?
if $stopped; then # a trapped signal ends `wait` before the command has ended
  status=0
  wait "$train" || status=$?
fi
if $stopped && ((status == 143)); then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
