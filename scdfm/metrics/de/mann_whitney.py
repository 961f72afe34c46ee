"""Mann-Whitney U of many genes at once, against controls that are ranked once.

Values are compared as float32, the precision of cells in a store. A gene and a value become one
64-bit key, so all genes are sorted and searched together; zeros, most of a sparse matrix, are
counted and never sorted.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from scdfm.metrics.pseudobulk import Array
from scdfm.metrics.units import Cells

Keys = NDArray[np.uint64]
_SIGN = np.uint32(1 << 31)
_BITS = np.uint64(32)
GENES_AT_ONCE = 1_024


class Sorted(NamedTuple):
    """Cells as sorted distinct values of each gene, without zeros."""

    cells: int
    keys: Keys  # gene in the upper half, value in the lower; rising
    counts: NDArray[np.int64]  # cells with that value
    genes: NDArray[np.intp]  # gene of each key
    zeros: NDArray[np.int64]  # cells without the gene, (genes,)


class Ranks(NamedTuple):
    """The test of each gene, (genes,)."""

    u: Array  # pairs (cell, control) in which the cell is larger, plus half of the equal ones
    p_value: Array  # two-sided, with continuity and tie correction


@dataclass(frozen=True)
class RankedControls:
    """Controls of a context, ready to be compared with many groups of cells."""

    sorted: Sorted
    below: NDArray[np.int64]  # cells before each key, and all of them at the end, (keys + 1,)
    first: NDArray[np.int64]  # cells with a key of an earlier gene, (genes,)
    negative: NDArray[np.int64]  # cells with a value below zero, (genes,)
    ties: Array  # sum of t^3 - t over groups of equal values other than zero, (genes,)

    @classmethod
    def of(cls, cells: Cells) -> "RankedControls":
        """Rank control cells, (cells, genes)."""
        ranked = sort_values(cells)
        genes = len(ranked.zeros)
        below = np.concatenate([[0], np.cumsum(ranked.counts)])
        starts = np.searchsorted(ranked.genes, np.arange(genes))
        return cls(
            sorted=ranked,
            below=below,
            first=below[starts],
            negative=_by_gene(ranked, ranked.counts * ~_positive(ranked.keys)).astype(np.int64),
            ties=_by_gene(ranked, _tied(ranked.counts)),
        )

    def test(self, cells: Sorted) -> Ranks:
        """Compare a group of cells with the controls, gene by gene.

        Source: scipy.stats.mannwhitneyu (method "asymptotic"), which cell-eval 0.8.2 follows;
        where all values of a gene are equal the p value is 1.
        """
        controls = self.sorted
        place = np.searchsorted(controls.keys, cells.keys)
        inside = np.minimum(place, max(0, len(controls.keys) - 1))
        equal = np.zeros(len(cells.keys), dtype=np.int64)
        if len(controls.keys):
            same = controls.keys[inside] == cells.keys
            equal[same] = controls.counts[inside[same]]
        gene = cells.genes
        smaller = self.below[place] - self.first[gene]
        smaller += np.where(_positive(cells.keys), controls.zeros[gene], 0)
        u: Array = cells.zeros * (self.negative + controls.zeros / 2)
        u += _by_gene(cells, cells.counts * (smaller + equal / 2))
        ties: Array = self.ties + _tied(cells.zeros + controls.zeros)
        ties += _by_gene(cells, _tied(cells.counts + equal) - _tied(equal))
        return Ranks(u, _p_value(u, ties, n=cells.cells, m=controls.cells))


def sort_values(cells: Cells) -> Sorted:
    """Sort the values of each gene, (cells, genes)."""
    parts = [_sorted_block(block, first=first) for first, block in _blocks(cells)]
    keys = np.concatenate([part[0] for part in parts])
    per_gene = np.concatenate([part[1] for part in parts])
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)])
    distinct = keys[starts]
    return Sorted(
        cells=cells.shape[0],
        keys=distinct,
        counts=np.diff(np.append(starts, len(keys))),
        genes=(distinct >> _BITS).astype(np.intp),
        zeros=(cells.shape[0] - per_gene).astype(np.int64),
    )


def _blocks(cells: Cells) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Some genes at a time, (genes, cells), each with its first gene.

    Rows of an array are sorted faster than the entries of a sparse matrix, and a few are small.
    """
    if isinstance(cells, np.ndarray):
        yield 0, np.array(cells.T, dtype=np.float32, order="C")
        return
    columns = cells.tocsc()
    for first in range(0, cells.shape[1], GENES_AT_ONCE):
        block = columns[:, first : first + GENES_AT_ONCE].toarray(order="F")
        yield first, block.T.astype(np.float32, copy=False)


def _sorted_block(block: NDArray[np.float32], *, first: int) -> tuple[Keys, NDArray[np.intp]]:
    """Keys of a block other than zeros, rising, and how many each gene has; sorts in place."""
    block.sort(axis=1)
    there = block != 0
    per_gene = np.count_nonzero(there, axis=1)
    genes = np.repeat(np.arange(first, first + len(block)), per_gene)
    return _keys(block[there], genes), per_gene


def _keys(values: NDArray[np.float32], genes: NDArray[np.intp]) -> Keys:
    """Numbers that rise with the gene, then with the value."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    # Floats are ordered like their bits once the sign is turned round.
    rising = np.where(bits & _SIGN, ~bits, bits | _SIGN).astype(np.uint64)
    return (genes.astype(np.uint64) << _BITS) | rising


def _positive(keys: Keys) -> NDArray[np.bool_]:
    positive: NDArray[np.bool_] = (keys & np.uint64(_SIGN)) != 0
    return positive


def _by_gene(of: Sorted, values: NDArray[np.generic]) -> Array:
    sums = np.zeros(len(of.zeros))
    if len(of.genes):
        starts = np.flatnonzero(np.diff(of.genes, prepend=-1))
        sums[of.genes[starts]] = np.add.reduceat(values.astype(np.float64, copy=False), starts)
    return sums


def _tied(counts: NDArray[np.int64]) -> Array:
    wide = counts.astype(np.float64)
    return wide * wide * wide - wide  # a power takes ten times as long


def _p_value(u: Array, ties: Array, *, n: int, m: int) -> Array:
    """Two-sided p values from the normal limit, (genes,)."""
    variance = n * m / 12 * ((n + m + 1) - ties / ((n + m) * (n + m - 1)))
    apart = np.maximum(u, n * m - u) - n * m / 2 - 0.5
    with np.errstate(divide="ignore", invalid="ignore"):
        p_value = np.minimum(1.0, 2 * ndtr(-apart / np.sqrt(variance)))
    return np.where(variance > 0, p_value, 1.0)
