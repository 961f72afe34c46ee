"""No test cell enters a choice: noise in its place changes neither model nor prediction."""

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest

from cluster.train import train_here
from data_store.ingest.write import IngestOptions, ingest
from data_store.simulate import SimulateOptions, simulate
from scdfm.flow.checkpoint import load_model
from scdfm.flow.files import BASE, WEIGHTS
from scdfm.screen.conditions import Words
from scdfm.splits import Split
from tests.cluster.combined.conftest import cells_of, combining

pytestmark = pytest.mark.slow

WORDS = Words(controls=("control",), separator="+")
LIKE_A_PRESET = {"width": 16, "layers": 1, "base_channel": True, "base_velocity": True}
FEW = {"cells": 8, "steps": 2}  # of validation
SHORT = {"steps": 4, "learning_rate": 1e-3, "validate_every": 2, "ema": 0.9}
CASES: dict[str, dict[str, Any]] = {
    "flow beside a base": {},
    "flow that knows the base": {"model": LIKE_A_PRESET},
    "folds": {"model": LIKE_A_PRESET, "validation": {**FEW, "folds": 2}},
    "context": {"model": LIKE_A_PRESET, "split": {"kind": "context", "fold": 0}},
}


@pytest.fixture(scope="module")
def screen() -> anndata.AnnData:
    """Four contexts, so that one may validate and two train where another is the test."""
    size = {"cells": 600, "genes": 60, "singles": 6, "doubles": 5}
    return simulate(SimulateOptions(**size, contexts=4, seed=5))


@pytest.fixture(scope="module")
def store(screen: anndata.AnnData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored(screen, tmp_path_factory.mktemp("screen"))


def stored(screen: anndata.AnnData, folder: Path) -> Path:
    screen.write_h5ad(folder / "cells.h5ad")
    ingest(folder / "cells.h5ad", folder / "store", options=IngestOptions(context_column="context"))
    return folder / "store"


def with_noise(screen: anndata.AnnData, *, split: Split) -> anndata.AnnData:
    """The screen with other counts in all test cells."""
    noisy = screen.copy()
    names = np.array(["+".join(WORDS.parse(label)) for label in noisy.obs["condition"]])
    hidden = np.isin(names, split.test)
    if split.context is not None:
        hidden &= (noisy.obs["context"] == split.context).to_numpy()
    assert 0 < hidden.sum() < noisy.n_obs
    counts = np.asarray(noisy.X.todense()).copy()
    counts[hidden] = np.random.default_rng(0).poisson(3, size=(int(hidden.sum()), noisy.n_vars))
    noisy.X = type(noisy.X)(counts)
    return noisy


@pytest.mark.parametrize("changes", CASES.values(), ids=CASES)
def test_test_cells_change_neither_model_nor_prediction(
    screen: anndata.AnnData, store: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    changes = {"training": SHORT, **changes}
    first = train_here(combining(store, tmp_path / "first", **changes)).directory
    model = load_model(first / "model")
    assert bool(model.split.validation_contexts) == (model.split.context is not None)
    other = stored(with_noise(screen, split=model.split), tmp_path)
    again = train_here(combining(other, tmp_path / "again", **changes)).directory
    for name in (WEIGHTS, BASE):
        assert (again / "model" / name).read_bytes() == (first / "model" / name).read_bytes()
    cards = [load_model(run / "model").card for run in (first, again)]
    assert cards[0].provenance.step == cards[1].provenance.step
    same = cards[0].provenance  # the stores differ, and so what is told of them
    assert cards[1].model_copy(update={"provenance": same}) == cards[0]
    for condition in model.split.test[:2]:
        values = [
            cells_of(run, WORDS.parse(condition), context=model.split.context)
            for run in (first, again)
        ]
        np.testing.assert_array_equal(values[0], values[1])
