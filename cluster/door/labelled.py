"""The cells of an AnnData by context and condition, as another tool wrote them."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy.sparse import issparse

from scdfm.metrics.units import Cells
from scdfm.screen.conditions import JOINT, Words
from scdfm.screen.names import nearest

log = logging.getLogger(__name__)

LOOKED_AT = 500  # cells that tell whether values are counts

Rows = NDArray[np.intp]
Unit = tuple[str, str]  # context and canonical condition, "" for control


class Labelled(NamedTuple):
    """Cells, and where those of each unit are."""

    values: Any  # X, (cells, genes); taken once, since a view of an AnnData makes it anew
    columns: Rows | None  # of the shared genes; none: all, in their order
    units: dict[Unit, Rows]  # by context and condition; a control's condition is ""
    labels: dict[Unit, str]  # as the data spell them

    @classmethod
    def of(
        cls,
        cells: AnnData,
        *,
        condition: str,
        context: str | None,
        words: Words,
        genes: Sequence[str],
        of: str,
    ) -> "Labelled":
        """Find the cells of each unit.

        Raises:
            ValueError: No such column, or values that are not on a log scale.
        """
        for column in (condition, *([] if context is None else [context])):
            if column not in cells.obs:
                raise ValueError(
                    f"expected a column {column!r} in obs of the {of} cells, found none; "
                    f"{nearest(column, [*map(str, cells.obs.columns)])}"
                )
        values = values_of(cells, of=of)
        units: dict[Unit, list[Rows]] = {}
        labels: dict[Unit, str] = {}
        for (place, label), rows in _groups(cells, condition=condition, context=context, of=of):
            unit = place, JOINT.join(words.parse(label))
            units.setdefault(unit, []).append(rows)
            labels.setdefault(unit, label)
        order = None if [*cells.var_names] == [*genes] else cells.var_names.get_indexer([*genes])
        if order is not None and (order < 0).any():
            lacking = [gene for gene, at in zip(genes, order, strict=True) if at < 0]
            raise ValueError(
                f"{len(lacking)} of {len(genes)} scored genes are not in the {of} cells, first "
                f"{lacking[0]!r}; give cells with the same genes"
            )
        return cls(
            values=values,
            columns=order,
            units={unit: np.sort(np.concatenate(rows)) for unit, rows in units.items()},
            labels=labels,
        )

    def of_unit(self, unit: Unit) -> Cells:
        """Cells of a unit, (cells, genes)."""
        rows: Any = self.values[self.units[unit]]
        sparse = issparse(rows)
        found: Cells = rows.tocsr() if sparse else np.asarray(rows, dtype=_wide(rows))
        return found if self.columns is None else found[:, self.columns]


def _groups(
    cells: AnnData, *, condition: str, context: str | None, of: str
) -> Iterator[tuple[tuple[str, str], Rows]]:
    """Rows of each context and label, in the order of their first cells."""
    named = cells.obs[condition].notna().to_numpy()
    if not named.all():
        log.warning(f"{int((~named).sum())} {of} cells have no label in {condition!r}: left out")
    rows = np.flatnonzero(named)
    label = cells.obs[condition].astype(str).to_numpy()[rows]
    place = np.full(len(rows), "", dtype=object)
    if context is not None:
        place = cells.obs[context].astype(str).to_numpy()[rows]
    found: dict[tuple[str, str], list[int]] = {}
    for row, one in zip(rows.tolist(), zip(place, label, strict=True), strict=True):
        found.setdefault((str(one[0]), str(one[1])), []).append(row)
    return ((names, np.array(those)) for names, those in found.items())


def shared_genes(predicted: AnnData, real: AnnData) -> tuple[str, ...]:
    """Genes of both, in the order of the real ones.

    Raises:
        ValueError: None, or one that comes twice.
    """
    for cells, of in ((real, "real"), (predicted, "predicted")):
        if not cells.var_names.is_unique:
            twice = cells.var_names[cells.var_names.duplicated()][0]
            raise ValueError(
                f"expected each gene once in the {of} cells, got {twice!r} twice; make gene names "
                "unique (var_names_make_unique)"
            )
    there = set(predicted.var_names)
    shared = tuple(gene for gene in real.var_names if gene in there)
    if not shared:
        raise ValueError(
            f"expected genes of the real cells in the prediction, found none; real genes begin "
            f"with {real.var_names[0]!r}, predicted ones with {predicted.var_names[0]!r}"
        )
    if len(shared) < max(real.n_vars, predicted.n_vars):
        log.warning(
            f"{len(shared)} genes are scored: those of both, of {real.n_vars} real and "
            f"{predicted.n_vars} predicted ones"
        )
    return shared


def _wide(values: Any) -> np.dtype[Any]:
    """Half precision is too coarse to compute with."""
    return np.promote_types(values.dtype, np.float32)


def values_of(cells: AnnData, *, of: str) -> Any:
    """X of the cells, by rows; counts are refused, by the first cells.

    Raises:
        ValueError: There is no X, or all values are whole numbers.
    """
    found: Any = cells.X
    if found is None:
        raise ValueError(f"expected log1p of normalised counts in X of the {of} cells, got none")
    sparse = issparse(found)
    # Rows of a matrix that is sorted by columns are slow to find, unit by unit.
    found = found.tocsr() if sparse else found
    some: Any = found[:LOOKED_AT]  # of a matrix on disk, this is in memory
    sparse = issparse(some)
    first = some.data if sparse else np.asarray(some)
    if first.size and first.max() > 1 and np.array_equal(first, np.round(first)):
        raise ValueError(
            f"expected log1p of normalised counts in X of the {of} cells, got whole numbers; "
            "normalise them first (scanpy.pp.normalize_total, scanpy.pp.log1p)"
        )
    return found
