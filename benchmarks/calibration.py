"""How often the true mean of a held-out double lies within its interval, on simulated screens.

    python benchmarks/calibration.py --work calibration --simulators 101 102 --members 3

A screen is simulated and an ensemble trained on it. Then the same screen is simulated with many
more cells, whose means are the truth. Each line is a screen and a kind of model: the share of genes
of test doubles whose true mean is inside, with the factor that validation units found and without
it (k = 1). Trainings and screens are kept under --work and used again.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from accuracy_cases import SIZE

import scdfm
from cluster.door.model import TrainedModel
from cluster.settings.config import make_run
from cluster.train import train_here
from data_store.simulate import simulate
from data_store.simulate_options import SimulateOptions
from scdfm.flow.certainty.ensemble import open_model
from scdfm.flow.certainty.intervals import IntervalFactor
from scdfm.flow.checkpoint import Model
from scdfm.screen.conditions import USUAL

SETTINGS: dict[str, Any] = {
    "preset": "small",
    "threads": 1,
    "genes": {"model": 80, "evaluation": 64},
    "batch": {"genes": 64},
    "model": {"width": 32},
    "split": {"kind": "additive", "fold": 0},
}
_BLOCK = 20_000  # cells of the truth that are held at once


def truth_of(simulator: int, *, genes: Sequence[str], times: int) -> pd.DataFrame:
    """True means of all conditions, by canonical name: over so many times as many cells."""
    total: pd.DataFrame | None = None
    options = SimulateOptions(**{**SIZE, "cells": times * SIZE["cells"]}, seed=simulator)
    cells = simulate(options)
    names = np.array([USUAL.name(str(label)) for label in cells.obs["condition"]])
    scale = 10_000 / cells.obs["ncounts"].to_numpy()
    columns = cells.var_names.get_indexer(list(genes))
    counts = pd.Series(names).value_counts()
    for first in range(0, cells.n_obs, _BLOCK):
        some = slice(first, first + _BLOCK)
        values = np.log1p(cells.X[some][:, columns].toarray() * scale[some, None])
        part = pd.DataFrame(values, columns=list(genes)).groupby(names[some]).sum()
        total = part if total is None else total.add(part, fill_value=0)
    assert total is not None
    return total.div(counts.loc[total.index], axis=0)


def judged(model: TrainedModel, store: Path, *, truth: pd.DataFrame, level: float) -> pd.Series:
    """Coverage of the intervals of test doubles, their width, and the error of their means."""
    cells = model.predict(
        scdfm.control_cells(store), model.split.test, cells=256, interval=level, seed=1
    )
    table = scdfm.intervals(cells)
    real = [
        truth.at[USUAL.name(condition), gene]
        for condition, gene in zip(table["condition"], table["gene"], strict=True)
    ]
    table["inside"] = (table["low"] <= real) & (real <= table["high"])
    table["square"] = np.square(table["mean"] - real)
    table["width"] = table["high"] - table["low"]
    changes = truth.loc[[USUAL.name(one) for one in model.split.test]] - truth.loc["control"]
    return pd.Series(
        {
            "inside": table["inside"].mean(),
            "least": table.groupby("condition", observed=True)["inside"].mean().min(),
            "width": table["width"].mean(),
            "rmse": np.sqrt(table["square"].mean()),
            "change": np.sqrt(np.square(changes.to_numpy()).mean()),
        }
    )


def unchecked(model: Model) -> Model:
    """The same without the factor of its validation units."""
    one = IntervalFactor(factor=1, units=1)
    return replace(model, card=model.card.model_copy(update={"interval": one}))


def lines(asked: argparse.Namespace, simulator: int) -> list[dict[str, Any]]:
    """The lines of one screen."""
    store = asked.work / f"simulated-{simulator}.zarr"
    if not store.exists():
        options = SimulateOptions(**SIZE, seed=simulator)
        scdfm.ingest(simulate(options), store, library_size_column="ncounts")
    training = {"steps": asked.steps, "validate_every": max(1, asked.steps // 4)}
    name = f"{simulator}-{asked.members}-{asked.steps}-{asked.mean}"
    run = make_run(
        {
            **SETTINGS,
            "seed": simulator,
            "store": str(store),
            "output": str(asked.work / "runs"),
            "name": name,
            "ensemble": asked.members,
            "training": training,
            "sampling": {"mean": asked.mean},
        },
        where=name,
    )
    path = train_here(run).model
    model = open_model(path)
    truth = truth_of(simulator, genes=model.card.genes, times=asked.times)
    found = []
    for kind, one in ((f"{asked.members} members", model), ("one model", model.members[0])):
        factor = None if one.card.interval is None else one.card.interval.factor
        after = judged(TrainedModel(one, path=path), store, truth=truth, level=asked.level)
        before = after
        if factor != 1:
            plain = TrainedModel(unchecked(one), path=path)
            before = judged(plain, store, truth=truth, level=asked.level)
        after["before"] = before["inside"]
        found.append({"screen": simulator, "model": kind, "k": factor, **after})
    return found


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of screens and runs")
    parser.add_argument("--simulators", type=int, nargs="+", default=[101, 102, 103])
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200, help="of each member's training")
    parser.add_argument("--mean", default="shrunken", choices=("shrunken", "additive", "none"))
    parser.add_argument("--level", type=float, default=0.9)
    parser.add_argument("--times", type=int, default=8, help="cells of the truth over the screen's")
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    told: list[dict[str, Any]] = []
    for one in asked.simulators:
        for line in lines(asked, one):
            told.append(line)
            print(line, file=sys.stderr, flush=True)
    found = pd.DataFrame(told)
    print(found.to_string(index=False, float_format=lambda value: f"{value:.3g}"))
    each = found.groupby("model")[["before", "inside"]].mean()
    print("\nmean over screens\n" + each.to_string(float_format=lambda value: f"{value:.3f}"))


if __name__ == "__main__":
    main()
