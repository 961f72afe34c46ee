"""Small AnnData made by hand, for tests that must know every value."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp


def adata(
    labels: Sequence[Any] = ("ctrl", "ctrl", "A", "A", "A+B", "B"),
    *,
    genes: Sequence[str] = ("A", "B", "C"),
    counts: Any = None,
    column: str = "condition",
    **obs: Any,
) -> anndata.AnnData:
    """Cells with these labels; counts 1, 2, 3, ... with some zeros unless given."""
    if counts is None:
        counts = np.arange(len(labels) * len(genes)).reshape(len(labels), len(genes)) % 7
    table = pd.DataFrame({column: list(labels), **obs}, index=[f"c{k}" for k in range(len(labels))])
    matrix = counts if sp.issparse(counts) else sp.csr_matrix(np.asarray(counts, dtype=np.float32))
    return anndata.AnnData(matrix, obs=table, var=pd.DataFrame(index=list(genes)))


def logged(cells: anndata.AnnData, *, depth: float = 1e4) -> anndata.AnnData:
    """The cells with log1p of counts that are scaled to one total in X."""
    result = cells.copy()
    sums = np.asarray(cells.X.sum(axis=1)).ravel()
    scale = np.divide(depth, sums, out=np.zeros(len(sums)), where=sums > 0)
    result.X = sp.csr_matrix(sp.diags(scale) @ cells.X).log1p().astype(np.float32)
    return result


def written(cells: anndata.AnnData, folder: Path, name: str = "cells.h5ad") -> Path:
    """The file."""
    path = folder / name
    if path.suffix == ".zarr":
        cells.write_zarr(path)
    else:
        cells.write_h5ad(path)
    return path


class _Listener(logging.Handler):
    def __init__(self, hear: Callable[[str], object]) -> None:
        super().__init__()
        self.hear = hear

    def emit(self, record: logging.LogRecord) -> None:
        self.hear(record.getMessage())


@contextmanager
def listening(hear: Callable[[str], object]) -> Iterator[None]:
    """Hear every line for the user at the moment when it is said."""
    handler, logger = _Listener(hear), logging.getLogger("data_store")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
