"""A run whose means have a base."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cluster.runs.precision import arithmetic
from cluster.settings.config import RunConfig, make_run, read_run
from cluster.work.combined import CombinedSampler
from cluster.work.controls import StoreControls
from cluster.work.model_sampler import sampler_of
from cluster.work.sampler import columns_in, starting_cells
from data_store.store.reader import Store
from scdfm.flow.checkpoint import load_model
from scdfm.screen.conditions import Condition
from tests.cluster.small import settings


def combining(store: Path, output: Path, *, mean: Any = "shrunken", **changes: Any) -> RunConfig:
    """A tiny run that combines its flow with a base."""
    values = settings(store, output, **changes)
    # Fewer canonical cells than controls, and not a multiple of a batch.
    mean = {"base": mean} if isinstance(mean, str) else mean
    values["sampling"] = values["sampling"] | {"mean": {"cells": 20, **mean}}
    return make_run(values, where="test")


@pytest.fixture(scope="session")
def combined(tiny_store_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a finished run that combines flow and base; do not change it."""
    from cluster.train import train_here

    return train_here(combining(tiny_store_path, tmp_path_factory.mktemp("combined"))).directory


@contextmanager
def opened(
    run: Path, *, genes: Sequence[int] | None = None, seed: int | None = None
) -> Iterator[tuple[CombinedSampler, StoreControls]]:
    """The sampler of a run's model, and the controls of its store.

    Args:
        run: With the model.
        genes: Ids; none: all.
        seed: Of the prediction; none: the model's own.
    """
    model = load_model(run / "model")
    kept = np.arange(len(model.card.genes)) if genes is None else np.array(genes)
    with (
        arithmetic("float32", device=torch.device("cpu")),
        Store.open(read_run(run / "run.yaml").store) as store,
    ):
        sampler = sampler_of(
            model, genes=kept, seed=model.card.seed if seed is None else seed, products=None
        )
        assert isinstance(sampler, CombinedSampler)
        yield sampler, StoreControls(store, columns_in(store, model.card))


def cells_of(
    run: Path,
    condition: Condition,
    *,
    cells: int = 30,
    genes: Sequence[int] | None = None,
    seed: int | None = None,
    context: str | None = None,
) -> NDArray[np.float32]:
    """Cells of a condition in a context, the first by default, as `predict` makes them."""
    with opened(run, genes=genes, seed=seed) as (sampler, controls):
        where = context or sorted(controls.store.controls)[0]
        start = starting_cells(
            controls.rows(where), condition=condition, cells=cells, seed=sampler.seed, context=where
        )
        made = np.concatenate(list(sampler.batches(controls, start, condition=condition)))
        kept = sampler.genes if genes is None else np.array(genes)
        return made[:, np.searchsorted(sampler.genes, kept)]
