"""Folders with a Matrix Market file beside tables of its genes and cells.

CellRanger 3 (`matrix.mtx.gz`, `features.tsv.gz`, `barcodes.tsv.gz`) and 2 (`genes.tsv`), STARsolo,
Parse Biosciences (`count_matrix.mtx`, `all_genes.csv`, `cell_metadata.csv`: cells x genes) and
kallisto (`cells_x_genes.mtx`). Every file may be plain or gzip, and all may share a prefix, as in
`GSM1_matrix.mtx.gz`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_store.disk import columns as cols
from data_store.disk.damage import DamagedError
from data_store.sources.formats import features, matrices
from data_store.sources.formats.entries import Entries
from data_store.sources.formats.format import Format, Reading
from data_store.sources.formats.mtx.text import MARK, MtxText, head, opened
from data_store.sources.source import Source
from data_store.sources.tables import frame_columns, read_table
from scdfm.screen.names import listed

_FEW = 5  # lines that tell what a table is like


class _Layout(NamedTuple):
    """The names of files that belong together, without a common prefix and .gz."""

    matrix: str
    genes: tuple[str, ...]
    cells: tuple[str, ...]


_LAYOUTS = (
    _Layout("count_matrix.mtx", ("all_genes.csv",), ("cell_metadata.csv",)),
    _Layout("DGE.mtx", ("all_genes.csv", "genes.csv"), ("cell_metadata.csv",)),
    _Layout(
        "cells_x_genes.mtx",
        ("cells_x_genes.genes.txt",),
        ("cells_x_genes.barcodes.txt",),
    ),
    _Layout("matrix.mtx", ("features.tsv", "genes.tsv"), ("barcodes.tsv",)),
    _Layout(".mtx", ("features.tsv", "genes.tsv"), ("barcodes.tsv",)),
)


class _Files(NamedTuple):
    """The three files of a source."""

    matrix: Path
    genes: Path
    cells: Path


@dataclass(frozen=True)
class _Oriented:
    """The entries of a file as cells x genes."""

    text: MtxText
    cells_first: bool  # whether a row of the file is a cell

    @property
    def entries(self) -> int:
        return self.text.entries

    @property
    def dtype(self) -> "np.dtype[Any]":
        return np.dtype(np.float64 if self.text.real else np.int32)

    def blocks(self, size: int) -> Iterator[Entries]:
        for block in self.text.blocks(entries=size):
            turned = Entries(block.columns, block.rows, block.values)
            yield block if self.cells_first else turned

    def rows(self, size: int) -> Iterator[NDArray[np.integer[Any]]]:
        for block in self.blocks(size):
            yield block.rows


def _is_mtx(path: Path) -> bool:
    if path.is_dir():
        return len(_matrices(path)) == 1
    if not path.name.lower().endswith((".mtx", ".mtx.gz")):
        return False
    try:
        with opened(path) as stream:
            return stream.read(len(MARK)).lower() == MARK.lower()
    except DamagedError:
        return True  # whose opening says so


def _matrices(folder: Path) -> list[Path]:
    return [
        file
        for file in sorted(folder.iterdir())
        if file.name.lower().endswith((".mtx", ".mtx.gz")) and file.is_file()
    ]


def _open(path: Path, reading: Reading) -> Source:
    files = _files(_matrices(path)[0] if path.is_dir() else path)
    text = head(files.matrix)
    genes, cells = _genes(files.genes), _cells(files.cells)
    shape = (text.rows, text.columns)
    if shape not in ((len(genes), len(cells.names)), (len(cells.names), len(genes))):
        raise DamagedError(
            f"{files.matrix.name} is of {shape[0]} x {shape[1]}, but {files.genes.name} has "
            f"{len(genes)} lines and {files.cells.name} {len(cells.names)}"
        )
    # A square matrix is what its maker writes: Parse and kallisto cells first, all others genes.
    usual = files.cells.name.endswith(("barcodes.tsv", "barcodes.tsv.gz"))
    cells_first = shape == (len(cells.names), len(genes)) and not (usual and shape[0] == shape[1])
    found = features.chosen(
        genes, types=reading.feature_types, where=str(files.genes), name=path.name
    )
    parts = _Oriented(text, cells_first=cells_first)
    return Source(
        path=path,
        root=None,
        names=cells.names,
        columns=cells.columns,
        homes=dict.fromkeys(cells.columns, cells.home),
        var=found.var,
        cells=len(cells.names),
        matrices={"X": matrices.of_entries(parts, cells=len(cells.names), genes=len(genes))},
        kept=found.kept,
        files=files,
    )


MTX = Format(
    title="a folder with matrix.mtx", endings=(".mtx", ".mtx.gz"), holds=_is_mtx, open=_open
)


def _files(matrix: Path) -> _Files:
    """The files beside a matrix that belong to it.

    Raises:
        FileNotFoundError: One is missing; names it.
    """
    plain = matrix.name.removesuffix(".gz").removesuffix(".GZ")
    layout = next(one for one in _LAYOUTS if plain.lower().endswith(one.matrix.lower()))
    prefix = plain[: len(plain) - len(layout.matrix)]
    found = []
    for names, what in ((layout.genes, "genes"), (layout.cells, "cells")):
        tried = [
            f"{start}{name}{end}"
            for start in _prefixes(prefix)
            for name in names
            for end in ("", ".gz")
        ]
        here = [matrix.parent / name for name in tried if (matrix.parent / name).is_file()]
        if not here:
            raise FileNotFoundError(
                f"expected the {what} of {matrix} in {prefix}{names[0]} or {prefix}{names[0]}.gz "
                "beside it, found neither; put that file there"
            )
        found.append(here[0])
    return _Files(matrix, *found)


def _prefixes(prefix: str) -> list[str]:
    """Beginnings of the names beside `sample1_matrix.mtx` or `sample1.mtx`."""
    return [prefix, f"{prefix}_", f"{prefix}."] if prefix and prefix[-1].isalnum() else [prefix]


def _genes(path: Path) -> pd.DataFrame:
    """The genes, one a line: id, symbol, type; or a table with names, as Parse writes it."""
    if ".csv" in path.suffixes:
        table = read_table(path, of="genes")
        named = [name for name in ("gene_id", "gene_name") if name in table]
        if not named:
            raise DamagedError(
                f"{path.name} has no column 'gene_id' or 'gene_name', but {listed(table.columns)}"
            )
        ids, symbols = table[named[0]], table[named[-1]]
        kept = [name for name in ("genome",) if name in table]
        return table[kept].astype(str).assign(symbol=symbols.astype(str), gene_ids=ids.astype(str))
    lines = [line.decode(errors="replace").split("\t") for line in _lines(path)]
    widths = {len(line) for line in lines} or {0}
    if len(widths) != 1:
        raise DamagedError(f"{path.name} has lines of {min(widths)} and of {max(widths)} fields")
    if not lines:
        raise DamagedError(f"{path.name} names no gene")
    columns = list(zip(*lines, strict=True))
    table = pd.DataFrame({"symbol": columns[min(1, len(columns) - 1)], "gene_ids": columns[0]})
    return table.assign(feature_types=columns[2]) if len(columns) > 2 else table


class _Cells(NamedTuple):
    """Names and obs columns of the cells."""

    names: NDArray[np.bytes_]
    columns: dict[str, cols.Column]
    home: Any


def _cells(path: Path) -> _Cells:
    if ".csv" in path.suffixes:
        table = read_table(path)
        names = table[table.columns[0]].astype(str)
        home, columns = frame_columns(table.drop(columns=table.columns[0]))
        return _Cells(np.array([name.encode() for name in names], dtype="S"), columns, home)
    barcodes = _lines(path)
    if any(b"\t" in line for line in barcodes[:_FEW]):  # other columns follow
        barcodes = [line.partition(b"\t")[0] for line in barcodes]
    return _Cells(np.array(barcodes, dtype="S"), {}, None)


def _lines(path: Path) -> list[bytes]:
    with opened(path) as stream:
        return stream.read().splitlines()
