"""What accuracy is measured on: screens, splits, seeds, and the settings that are compared.

A model learns with the preset `small` unless a line here says otherwise.
"""

import subprocess
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from real_cells import SCREENS, Screen, each, ingested

from scdfm.screen.atomic import sha256

Values = dict[str, Any]

CELLFLOW = "CellFlow"  # a setting that another program trains, from peers/train_cellflow.py
BASE = "base alone"  # a setting without a flow: nothing is trained

# Simulated screens are drawn from these seeds, one for each seed of training. Nothing was ever
# chosen on JUDGED; whoever tries an idea does it on TUNING.
JUDGED = (101, 102, 103)
TUNING = (11, 12, 13)
SIZE: Values = {"cells": 15_000, "genes": 500, "singles": 12, "doubles": 40}  # that of `make demo`
_GENES = {"model": 300, "evaluation": 300}  # of the preset
_DEMO = {"genes": {"model": 80, "evaluation": 64}, "batch": {"genes": 64}}  # of sweeps/demo.yaml


@dataclass(frozen=True)
class DataSet:
    """A screen, or a simulated one for each seed, with the splits that it is judged on.

    Attributes:
        name: Of the rows of the tables.
        splits: A model is trained on each.
        screen: Real cells.
        simulators: Otherwise the simulator's seeds, one for each seed of training, or one for all.
        size: Of the simulated screens.
        settings: Of its runs.
        steps: Of a training; none: those of its preset and settings.
        cells: Generated for each test unit; none: as `evaluate` chooses.
        settings_compared: Names of the settings that are compared on it.
        tuning: Whether choices may be made on it, so that it is no evidence.
    """

    name: str
    splits: tuple[Values, ...]
    screen: Screen | None = None
    simulators: tuple[int, ...] = ()
    size: Values = field(default_factory=lambda: SIZE)
    settings: Values = field(default_factory=dict)
    steps: int | None = None
    cells: int | None = 128
    settings_compared: tuple[str, ...] = ("small", BASE)
    tuning: bool = False

    def simulator(self, seed: int) -> int:
        """Seed of the simulator.

        Raises:
            ValueError: There are fewer of them.
        """
        if len(self.simulators) == 1:
            return self.simulators[0]
        if seed >= len(self.simulators):
            raise ValueError(
                f"{self.name} has {len(self.simulators)} simulated screens, got seed {seed}; "
                f"ask for at most {len(self.simulators)} --seeds"
            )
        return self.simulators[seed]

    def content(self, seed: int, *, data: Path) -> Values:
        """What its cells are, without reading them: the key of a result holds it."""
        if self.screen is None:
            return {"simulate": {**self.size, "seed": self.simulator(seed)}}
        return {"file": _hash(self.screen.file(data)), "ingest": self.screen.ingest}

    def store(self, seed: int, *, data: Path, work: Path) -> Path:
        """Its store, made in a folder where it is missing."""
        if self.screen is not None:
            return self.screen.store(data, work=work)
        cells = work / f"simulated-{self.simulator(seed)}.h5ad"
        if not cells.exists():
            options = [f"--{name}={value}" for name, value in self.size.items()]
            words = [*options, f"--seed={self.simulator(seed)}"]
            subprocess.run(["scdfm", "simulate", cells, *words], check=True)
        return ingested(cells, cells.with_suffix(".zarr"))


@dataclass(frozen=True)
class Case:
    """One training that is judged: a cell of the table."""

    data: DataSet
    split: int  # its number
    setting: str
    seed: int

    def __str__(self) -> str:
        return f"{self.data.name} {self.split}, {self.setting}, seed {self.seed}"

    @property
    def place(self) -> Values:
        """Where it belongs in the table."""
        return {
            "data": self.data.name,
            "split": self.split,
            "setting": self.setting,
            "seed": self.seed,
        }

    def values(self, *, steps: int | None) -> Values:
        """Its run file, without paths and name; with these steps, or those of the data set."""
        given = SETTINGS[self.setting]
        if self.setting == BASE:
            own = {"genes": self.data.settings.get("genes", _GENES), "seed": self.seed, **given}
            return {**own, "split": self.data.splits[self.split]}
        values: Values = {"preset": "small", "threads": 1, "seed": self.seed, **self.data.settings}
        values["split"] = self.data.splits[self.split]
        for name, inner in given.items():
            both = isinstance(inner, dict) and isinstance(values.get(name), dict)
            values[name] = {**values[name], **inner} if both else inner
        if steps is None and self.setting != CELLFLOW:  # which has steps of its own
            steps = self.data.steps
        if steps is not None:
            rounds = {"steps": steps, "validate_every": max(1, steps // 2), "warmup": steps // 30}
            values["training"] = {**values.get("training", {}), **rounds}
        return values


def cases(data: DataSet, *, settings: list[str] | None, seeds: int, cellflow: bool) -> list[Case]:
    """The cells of a data set that are asked for, the first seed first."""
    compared = [name for name in data.settings_compared if name in (settings or [name])]
    return [
        Case(data, split, setting, seed)
        for seed in range(seeds)
        for setting in compared
        if cellflow or setting != CELLFLOW
        for split in range(len(data.splits))
    ]


@cache
def _hash(file: Path) -> str:
    return sha256(file)


_REAL = {screen.name: screen for screen in SCREENS}

_BASE: Values = {"base_channel": True, "base_velocity": True}

# What differs from the preset, by the name of the setting; all but the first and the peer are
# compared on the tuning screens alone.
SETTINGS: dict[str, Values] = {
    "small": {},
    CELLFLOW: {},
    BASE: {"method": "shrunken", "graph": "none"},
    "width 48": {"model": {"width": 48}},
    "twice as long": {"training": {"steps": 600}},
    "e_p as a sum": {"model": {"pooling": "sum"}},
    "rank 20": {"model": {"rank": 20}},
    "base channel": {"model": {"base_channel": True}},
    "base velocity": {"model": _BASE},
    "token dropout 0.1": {"model": {"token_dropout": 0.1}},
    "logit-normal times": {"loss": {"times": "logit_normal"}},
    "optimal pairs": {"loss": {"pairs": "optimal"}},
    "lambda 0": {"loss": {"mmd_weight": 0.0}},
    "lambda 2": {"loss": {"mmd_weight": 2.0}},
    "8 x 16 cells": {"batch": {"conditions": 8, "cells": 16}},
    "mmd of 64 cells": {"loss": {"mmd_cells": 64}},
    "dropout 0.1": {"model": {"dropout": 0.1}},
    "weight decay 0.3": {"training": {"weight_decay": 0.3}},
    "mean of 3 rounds": {"training": {"average_rounds": 3}},
    "token dropout 0.1, guidance 1.5": {
        "model": {"token_dropout": 0.1},
        "sampling": {"guidance": 1.5},
    },
    "3 networks, 100 steps each": {
        "ensemble": 3,
        "training": {"steps": 100, "validate_every": 25},
    },
    "base velocity, width 48": {"model": {**_BASE, "width": 48}},
    "base velocity, twice as long": {"model": _BASE, "training": {"steps": 600}},
    "base velocity, logit-normal times": {"model": _BASE, "loss": {"times": "logit_normal"}},
    "base velocity, 8 x 16 cells": {"model": _BASE, "batch": {"conditions": 8, "cells": 16}},
    "base velocity, learning rate 3e-4": {
        "model": _BASE,
        "training": {"learning_rate": 3e-4, "final_learning_rate": 3e-6},
    },
}
_OPTIONS = tuple(name for name in SETTINGS if name not in (CELLFLOW, BASE))
# Small, so that many can be compared: a quarter of the preset's training. Without a base, so that
# validation and the test judge the flow, and without the base channel, which won and is the
# preset's since then.
_SHORT: Values = {
    **_DEMO,
    "model": {"width": 32, "base_channel": False, "base_velocity": False},
    "training": {"steps": 300, "validate_every": 75},
    "sampling": {"mean": "none"},
}

DATA = (
    DataSet(
        "norman_subset",
        _REAL["norman_subset"].splits,
        screen=_REAL["norman_subset"],
        steps=300,
        cells=None,  # it has 100 controls, as each line of mcfaline has
        settings_compared=("small", BASE, CELLFLOW),
    ),
    DataSet("simulated", each("additive", 4), simulators=JUDGED, settings=_DEMO, steps=200),
    DataSet("papalexi", each("holdout", 2), screen=_REAL["papalexi"], steps=200),
    DataSet(
        "glioblastoma",
        _REAL["glioblastoma_panobinostat"].splits,
        screen=_REAL["glioblastoma_panobinostat"],
        settings={"validation": {"folds": 4}},  # one drug: a single unit validates otherwise
    ),
    DataSet(
        "mcfaline",
        _REAL["mcfaline_subset"].splits,
        screen=_REAL["mcfaline_subset"],
        steps=100,
        cells=None,
    ),
    DataSet("demo", each("additive", 1), simulators=(0,), settings=_DEMO),
    DataSet(
        "tuning",
        each("additive", 1),
        simulators=TUNING,
        settings=_SHORT,
        settings_compared=_OPTIONS,
        tuning=True,
    ),
)
