"""Somebody's predictions: cells of conditions as AnnData, or a table of their means.

Expression must be log1p(counts per 10k), as everything that is compared. Labels are read by the
words of the store that they are compared with, in any spelling and token order.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from data_store.disk.damage import reason, table_reason
from scdfm.screen.conditions import Condition, Words

TABLES, CELLS = (".csv", ".tsv", ".parquet"), (".h5ad", ".zarr")
_CONDITION = ("condition", "perturbation", "pert", "label", "treatment")
_CONTEXT = ("context", "cell_line", "cell_type", "patient", "batch", "donor")
_BESIDE = ("cells", "distance")  # in a table of means: numbers of a unit, not of a gene
_ENDS = (":low", ":high")  # of the interval of the gene that is named before
_LARGEST = 15.0  # of log1p per 10k is 9.2; a model may overshoot

Unit = tuple[str, Condition]  # context and tokens


@dataclass(frozen=True)
class Predictions:
    """What a file predicts.

    Attributes:
        path: The file.
        genes: Names of its genes.
        rows: Rows of each unit.
        values: Cells, or means if `are_means`, (rows, genes).
        are_means: Whether a row is the mean of a unit, not a cell.
    """

    path: Path
    genes: tuple[str, ...]
    rows: Mapping[Unit, NDArray[np.int64]]
    values: Any
    are_means: bool

    def of(self, unit: Unit, genes: Sequence[str]) -> NDArray[np.float32] | None:
        """Cells of a unit, or its mean as one row, (rows, genes); None if it is not predicted."""
        rows = self.rows.get(unit)
        if rows is None:
            return None
        place = {gene: column for column, gene in enumerate(self.genes)}
        part = self.values[rows][:, [place[gene] for gene in genes]]
        dense = part if isinstance(part, np.ndarray) else part.toarray()
        return np.asarray(dense, dtype=np.float32)


def read_predictions(path: Path, *, words: Words, contexts: Sequence[str]) -> Predictions:
    """Read predictions of conditions.

    Args:
        path: Cells as .h5ad or .zarr, with the conditions in obs; or a table .csv, .tsv or
            .parquet with a column `condition`, a column `context` where there are several, and a
            column for each gene.
        words: How conditions are read.
        contexts: That are known.

    Raises:
        FileNotFoundError: Nothing is there.
        ValueError: It is no such file, its values are not log1p per 10k, or names are missing or
            come twice.
    """
    if not path.exists():
        raise FileNotFoundError(f"no such predictions: {path}")
    if path.suffix in TABLES:
        labels, genes, values = _table(path)
    elif path.suffix in CELLS:
        labels, genes, values = _cells(path)
    else:
        raise ValueError(
            f"expected predictions as {', '.join((*CELLS, *TABLES))}, got {path.name!r}"
        )
    if not len(labels):
        raise ValueError(f"expected predicted cells or means in {path}, got none")
    twice = [gene for gene, count in Counter(genes).items() if count > 1]
    if twice:
        raise ValueError(f"{len(twice)} genes come twice in {path}, first {twice[0]!r}")
    _require_log(values, path)
    rows = _grouped(labels, words=words, contexts=contexts, path=path)
    are_means = path.suffix in TABLES
    if are_means and any(len(some) > 1 for some in rows.values()):
        raise ValueError(f"expected a row for each condition in {path}, got one twice; merge them")
    return Predictions(path, tuple(genes), rows, values, are_means)


def _table(path: Path) -> tuple[pd.DataFrame, list[str], Any]:
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path).reset_index()
        else:
            table = pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",")
    except (OSError, ValueError) as error:
        raise ValueError(
            f"expected a table of predictions in {path}, got what cannot be read "
            f"({table_reason(error)}); write it again, or name another"
        ) from error
    known = [name for name in table.columns if name in (*_CONDITION, *_CONTEXT)]
    genes = [
        str(name)
        for name in table.columns
        if name not in (*known, *_BESIDE)
        and not (str(name).endswith(_ENDS) and str(name).rpartition(":")[0] in table.columns)
        and pd.api.types.is_numeric_dtype(table[name])
        and name != "index"
    ]
    if not genes:
        raise ValueError(f"expected a column of numbers for each gene in {path}, got none")
    return table[known], genes, table[genes].to_numpy(dtype=np.float32)


def _cells(path: Path) -> tuple[pd.DataFrame, list[str], Any]:
    try:
        read = anndata.read_zarr if path.suffix == ".zarr" else anndata.read_h5ad
        cells = read(path)
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(
            f"expected AnnData in {path}, got what cannot be read ({reason(error)}); write it "
            "again, or name another"
        ) from error
    if cells.X is None:
        raise ValueError(f"expected expression in X of {path}, got none")
    matrix: Any = cells.X
    values = matrix if isinstance(matrix, np.ndarray) else sp.csr_matrix(matrix)
    return cells.obs, [str(name) for name in cells.var_names], values


def _require_log(values: Any, path: Path) -> None:
    held = values if isinstance(values, np.ndarray) else values.data
    if not held.size:
        return
    if not np.isfinite(held).all():
        raise ValueError(f"expected finite expression in {path}, got NaN or infinity")
    if held.max() > _LARGEST:
        raise ValueError(
            f"expected log1p per 10k in {path}, got values up to {held.max():.5g}; normalise every "
            "cell to 10,000 counts and take log1p"
        )


def _grouped(
    labels: pd.DataFrame, *, words: Words, contexts: Sequence[str], path: Path
) -> dict[Unit, NDArray[np.int64]]:
    """Rows of each unit, without controls."""
    column = next((name for name in _CONDITION if name in labels.columns), None)
    if column is None:
        have = ", ".join(map(str, labels.columns[:8])) or "none"
        raise ValueError(f"expected a column 'condition' in {path}, got {have}; rename it")
    read = {label: words.parse(label) for label in labels[column].astype(str).unique()}
    of_context = _contexts(labels, contexts=contexts, path=path)
    groups: dict[Unit, list[int]] = {}
    for row, (label, context) in enumerate(
        zip(labels[column].astype(str), of_context, strict=True)
    ):
        if read[label]:
            groups.setdefault((context, read[label]), []).append(row)
    return {unit: np.array(rows, dtype=np.int64) for unit, rows in groups.items()}


def _contexts(labels: pd.DataFrame, *, contexts: Sequence[str], path: Path) -> Sequence[str]:
    """Context of each row; where only one is known, of it."""
    for name in [*_CONTEXT, *labels.columns]:
        if name in labels.columns and set(labels[name].astype(str)) & {*contexts}:
            return list(labels[name].astype(str))
    if len(contexts) == 1:
        return [contexts[0]] * len(labels)
    raise ValueError(
        f"expected a column 'context' in {path} with {', '.join(list(contexts)[:3])}, got none; "
        "add it"
    )
