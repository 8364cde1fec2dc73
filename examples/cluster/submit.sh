#!/bin/bash
# Submits the three jobs of a search to Slurm, each after the one before:
#   bash examples/cluster/submit.sh OUT [flags of search.py]
# OUT is a folder that all nodes can write. The environment (.venv) is on a shared path as well.
# Flags of retrain.py are taken from RETRAIN_FLAGS, divided at spaces:
#   RETRAIN_FLAGS="--recipe paper --compare" bash examples/cluster/submit.sh OUT [flags of search.py]
set -euo pipefail
out=$1
shift
supernet=$(sbatch --parsable examples/cluster/supernet.sbatch "$out" "$@")
workers=$(sbatch --parsable --dependency="afterok:$supernet" examples/cluster/search.sbatch "$out" "$@")
read -ra retraining <<<"${RETRAIN_FLAGS:-}"
sbatch --dependency="afterany:$workers" examples/cluster/retrain.sbatch "$out" ${retraining[@]+"${retraining[@]}"}
