"""The child of `before.py` that predicts cells from a model: the same model for all checkouts.

    python benchmarks/prediction.py --at FOLDER --base none --make    trains a model
    python benchmarks/prediction.py --at FOLDER --base none           serves turns of predicting

Models are those of the preset `small`, hardly trained: how long a prediction takes does not depend
on what was learnt. One has no base; the other takes its means from one, which an earlier checkout
may not know.
"""

import argparse
import subprocess
from pathlib import Path
from typing import Any

from rounds import serve

CELLS, CONDITIONS = 128, 4  # of a turn; fewer cells than canonical ones cost as much as these
BASES = ("none", "shrunken")
_SETTINGS: dict[str, Any] = {
    "preset": "small",
    "threads": 1,
    "genes": {"model": 200, "evaluation": 200},
    "batch": {"genes": 64},
    "split": {"kind": "additive", "fold": 0},
    "training": {"steps": 4, "validate_every": 4, "warmup": 1},
}


def make(at: Path, *, base: str) -> None:
    """A simulated screen and a model of it."""
    import scdfm
    from cluster.settings.config import make_run
    from cluster.train import train_here

    cells, store = at / "cells.h5ad", at / "cells.zarr"
    if not store.exists():
        subprocess.run(["scdfm", "simulate", cells, "--seed=1", "--cells=6000"], check=True)
        scdfm.ingest(cells, store, library_size_column="ncounts")
    settings = _SETTINGS if base == "none" else {**_SETTINGS, "sampling": {"mean": base}}
    where = {"store": str(store), "output": str(at), "name": base}
    train_here(make_run({**settings, **where}, where="benchmark"))


def turns(at: Path, *, base: str) -> None:
    """Predict the first test conditions in every turn."""
    import scdfm

    model = scdfm.load_model(at / base / "model")
    controls = scdfm.control_cells(at / "cells.zarr")
    conditions = list(model.split.test)[:CONDITIONS]

    def work() -> None:
        predicted = model.predict(controls, conditions, cells=CELLS)
        assert predicted.n_obs == CELLS * len(conditions)

    work()
    serve(work)


def main() -> None:
    """Make the models, or take turns."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--at", type=Path, required=True, help="folder of the screen and models")
    parser.add_argument("--make", action="store_true", help="train a model and end")
    parser.add_argument("--base", choices=BASES, default="none")
    asked = parser.parse_args()
    if asked.make:
        make(asked.at, base=asked.base)
    else:
        turns(asked.at, base=asked.base)


if __name__ == "__main__":
    main()
