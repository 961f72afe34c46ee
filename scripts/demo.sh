#!/usr/bin/env bash
# The whole way on a simulated screen: cells, store, search, judgement, new cells, report.
# Everything lies in demo/; a demo that was stopped goes on where it was.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p demo/stores
cd demo

step() {
  printf '\n$ %s\n' "$*"
  "$@"
}

[[ -f screen.h5ad ]] || step scdfm simulate screen.h5ad --cells 15000 --genes 500 --singles 12 --doubles 40 --seed 0
step scdfm ingest screen.h5ad stores/demo.zarr
step scdfm inspect stores/demo.zarr
step scdfm tune demo
# As many cells as were measured; the default, all controls, takes four times as long here.
step scdfm evaluate runs/demo/best --untrained --cells 300 --out evaluation.csv

# Three pairs of perturbed genes that the screen has not combined.
new_doubles=$(scdfm inspect stores/demo.zarr --json | python -c '
import itertools, json, sys
known = {unit["condition"] for unit in json.load(sys.stdin)["units"]}
singles = sorted(name for name in known if "+" not in name and name != "control")
pairs = map("+".join, itertools.combinations(singles, 2))
print(",".join([pair for pair in pairs if pair not in known][:3]))')
step scdfm predict runs/demo/best --store stores/demo.zarr \
  --conditions "$new_doubles" --out predictions.h5ad --actors 2

step scdfm report runs/demo

printf '\nThe model is in demo/runs/demo/best, the predicted cells in demo/predictions.h5ad.\n'
printf 'The report, for a browser: demo/runs/demo/report.html\n'
