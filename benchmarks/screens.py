"""Screens made fast, for benchmarks that need many cells and no biology.

Counts are Poisson above zero, genes differ as in a real screen and cells in their depth; all genes
together are seen at a chosen density. (`scdfm simulate` makes the screens with a known truth.)
"""

from dataclasses import dataclass, replace
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

_BLOCK = 5_000  # cells at once
_CONTROLS = 0.08  # of all cells
_LINES = pyarrow.csv.WriteOptions(include_header=False, delimiter=" ")
_DEPTH = 0.35  # standard deviation of its logarithm


@dataclass(frozen=True)
class Screen:
    """Sizes of a screen."""

    cells: int
    genes: int
    conditions: int  # per context
    contexts: int = 1
    density: float = 0.08  # non-zero values
    seed: int = 0

    def fewer(self, scale: int) -> "Screen":
        """So many times fewer cells, to try; units stay as large where there are enough."""
        return replace(self, cells=self.cells // scale, conditions=max(2, self.conditions // scale))

    def __str__(self) -> str:
        return f"{self.cells} x {self.genes}, {self.conditions * self.contexts} units"


def write_screen(path: Path, screen: Screen) -> None:
    """Write counts as CSR (float32, not compressed), obs.condition and obs.context to an .h5ad."""
    rng = np.random.default_rng(screen.seed)
    anndata.AnnData(
        obs=_obs(screen, rng=rng),
        var=pd.DataFrame(index=[f"g{k}" for k in range(screen.genes)]),
    ).write_h5ad(path)
    mean = _means(screen, rng=rng)
    with h5py.File(path, "r+") as file:
        if "X" in file:
            del file["X"]
        group = file.create_group("X")
        group.attrs.update(
            {
                "encoding-type": "csr_matrix",
                "encoding-version": "0.1.0",
                "shape": [screen.cells, screen.genes],
            }
        )
        data, indices = (
            group.create_dataset(name, (0,), maxshape=(None,), dtype=kind, chunks=(1 << 20,))
            for name, kind in (("data", "f4"), ("indices", "i4"))
        )
        pointers = [np.zeros(1, dtype=np.int64)]
        for start in range(0, screen.cells, _BLOCK):
            counts = _counts(mean, cells=min(_BLOCK, screen.cells - start), rng=rng)
            row, column = np.nonzero(counts)
            size = len(data)
            for part, values in ((data, counts[row, column]), (indices, column)):
                part.resize((size + len(row),))
                part[size:] = values
            pointers.append(size + np.searchsorted(row, np.arange(1, len(counts) + 1)))
        together = np.concatenate(pointers)
        # Of one width with the indices where they fit: scipy is many times slower otherwise.
        group["indptr"] = together.astype(np.int32) if together[-1] < 2**31 else together


def write_mtx(folder: Path, source: Path) -> None:
    """Write the cells of `write_screen` as CellRanger 3 does, not compressed, and their labels."""
    folder.mkdir()
    with h5py.File(source) as file, (folder / "matrix.mtx").open("wb") as out:
        group = file["X"]
        cells, genes = (int(size) for size in group.attrs["shape"])
        pointers = group["indptr"][:].astype(np.int64)
        out.write(b"%%MatrixMarket matrix coordinate integer general\n")
        out.write(f"%\n{genes} {cells} {pointers[-1]}\n".encode())
        for start in range(0, cells, _BLOCK):
            ends = pointers[start : start + _BLOCK + 1]
            inside = slice(int(ends[0]), int(ends[-1]))
            cell = np.repeat(np.arange(start, start + len(ends) - 1), np.diff(ends))
            columns = [group["indices"][inside] + 1, cell + 1, group["data"][inside].astype("i4")]
            lines = pa.table(dict(zip("gcv", columns, strict=True)))
            pyarrow.csv.write_csv(lines, out, _LINES)
    obs = anndata.read_h5ad(source, backed="r").obs
    obs.to_csv(folder / "cells.csv", index_label="barcode")
    (folder / "barcodes.tsv").write_text("\n".join(obs.index) + "\n")
    names = "".join(f"ENSG{k}\tg{k}\tGene Expression\n" for k in range(genes))
    (folder / "features.tsv").write_text(names)


def _counts(
    mean: NDArray[np.float32], *, cells: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Counts of cells, (cells, genes)."""
    depth = np.exp(rng.normal(0, _DEPTH, cells)).astype(np.float32)
    rate = depth[:, None] * mean
    seen = rng.random(rate.shape, dtype=np.float32) < -np.expm1(-rate)
    counts = np.zeros_like(rate)
    counts[seen] = 1 + rng.poisson(np.minimum(rate[seen], 50))
    return counts


def _means(screen: Screen, *, rng: np.random.Generator) -> NDArray[np.float32]:
    """Mean counts of genes that are seen at the screen's density."""
    shape = np.exp(rng.normal(0, 2.2, screen.genes))
    depth = np.exp(rng.normal(0, _DEPTH, (200, 1)))
    low, high = 1e-9, 1e3
    while high / low > 1.001:
        middle = (low * high) ** 0.5
        if -np.expm1(-middle * shape * depth).mean() < screen.density:
            low = middle
        else:
            high = middle
    return (low * shape).astype(np.float32)


def _obs(screen: Screen, *, rng: np.random.Generator) -> pd.DataFrame:
    """Controls and equally large conditions in each context, in random order."""
    per_context = screen.cells // screen.contexts
    place = np.arange(screen.cells)
    context = np.minimum(place // per_context, screen.contexts - 1)
    within = place - context * per_context
    controls = int(_CONTROLS * per_context)
    code = np.where(within < controls, 0, 1 + (within - controls) % screen.conditions)
    order = rng.permutation(screen.cells)
    names = ["control", *(f"g{k}" for k in range(screen.conditions))]
    return pd.DataFrame(
        {
            "condition": pd.Categorical.from_codes(code[order], names),
            "context": pd.Categorical.from_codes(
                context[order], [f"line{k}" for k in range(screen.contexts)]
            ),
        },
        index=[f"cell{k}" for k in range(screen.cells)],
    )
