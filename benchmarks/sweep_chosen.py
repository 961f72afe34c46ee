"""Is what a sweep chooses better than its base, on conditions that nothing was chosen on?

    python benchmarks/sweep_chosen.py --work FOLDER [--seeds 3] [--trials 8] [--steps 300]

For each seed of the simulator a screen, a sweep over lambda, k and width that starts from the
preset `small` without a base of the mean, further seeds of the best (`confirm`), and then test
scores of the winner and the base (`final`): better, a tie, or worse. Goes on where it was stopped.
With `--trials 2 --steps 20 --cells 2000 --genes 60` it is tried in a few minutes.
"""

import argparse
from pathlib import Path
from typing import Any

from data_store import simulate as screens
from data_store.ingest.write import IngestOptions, ingest
from data_store.simulate_options import SimulateOptions
from sweeps.schema.files import make_sweep
from sweeps.schema.sweep import SweepConfig
from sweeps.study import tune

SPACE = {
    "loss.mmd_weight": {"type": "float", "low": 0.05, "high": 5, "log": True},
    "graph.k": {"type": "int", "low": 5, "high": 20, "step": 5},
    "model.width": {"type": "choice", "values": [16, 32, 64]},
}


def screen(folder: Path, *, seed: int, cells: int, genes: int) -> Path:
    """A simulated screen as a store, made once."""
    store = folder / f"screen-{seed}.zarr"
    if not store.exists():
        options = SimulateOptions(cells=cells, genes=genes, singles=12, doubles=40, seed=seed)
        file = store.with_suffix(".h5ad")
        screens.simulate(options).write_h5ad(file)
        ingest(file, store, options=IngestOptions())
    return store


def sweep_on(store: Path, *, trials: int, steps: int, genes: int) -> SweepConfig:
    """The sweep over a screen."""
    base: dict[str, Any] = {
        "preset": "small",
        "store": str(store),
        "genes": {"model": min(80, genes), "evaluation": min(64, genes)},
        "batch": {"genes": min(64, genes)},
        "model": {"width": 32},
        "sampling": {"mean": {"base": "none"}},
        "training": {"steps": steps, "validate_every": -(-steps // 4), "warmup": steps // 20},
    }
    return make_sweep(
        {
            "name": store.stem,
            "output": str(store.parent / "runs"),
            "base": base,
            "splits": [{"kind": "additive", "fold": fold} for fold in (0, 1)],
            "space": SPACE,
            "search": {"seed": 7, "startup": 4},
            "budget": {"trials": trials},
            "confirm": {"top": 2, "seeds": 3},
            "final": {},
        },
        where="benchmark",
    )


def main() -> None:
    """Print a line for each screen."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--work", type=Path, required=True)
    asked.add_argument("--seeds", type=int, default=3)
    asked.add_argument("--trials", type=int, default=8)
    asked.add_argument("--steps", type=int, default=300)
    asked.add_argument("--cells", type=int, default=6000)
    asked.add_argument("--genes", type=int, default=200)
    given = asked.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    for seed in range(given.seeds):
        store = screen(given.work, seed=seed, cells=given.cells, genes=given.genes)
        sweep = sweep_on(store, trials=given.trials, steps=given.steps, genes=given.genes)
        found = tune(sweep)
        assert found.final is not None, "the sweep asks for it"
        print(f"screen {seed}: {found.best.configuration}", flush=True)
        print(f"  validation: {found.choice}", flush=True)
        print(f"  {found.final.said}", flush=True)


if __name__ == "__main__":
    main()
