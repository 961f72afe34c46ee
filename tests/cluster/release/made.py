"""Imports of small checkpoints beside the tiny store."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from cluster.release.import_release import Imported, import_release
from cluster.release.request import ImportRequest
from data_store.store.reader import Store

GENES = 60  # of the tiny store

TOKENS = 4 + GENES


def tokens_of(store: Path) -> list[str]:
    with Store.open(store) as cells:
        return sorted({token for tokens in cells.conditions.values() for token in tokens})


def listed(store: Path) -> tuple[str, ...]:
    """A table's order: eight rows, the control in their middle, one drug that no cell got."""
    return (*tokens_of(store)[::-1][:4], "control", "unused", *tokens_of(store)[::-1][4:])


def imported(files: Path, store: Path, out: Path, **changes: object) -> Imported:
    values = {
        "checkpoint": files / "gene.pt",
        "mask": files / "mask.pt",
        "model": out / "model",
        "store": str(store),
    }
    return import_release(ImportRequest.model_validate(values | changes))


def refused(files: Path, store: Path, out: Path, **changes: object) -> str:
    with pytest.raises((ValueError, OSError)) as caught:
        imported(files, store, out, **changes)
    assert not (out / "model").exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def step(genes: int) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(4)
    return {
        "x_t": torch.randn(3, genes, generator=draw),
        "t": torch.rand(3, generator=draw),
        "control": torch.rand(3, genes, generator=draw),
    }
