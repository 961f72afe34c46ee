"""Lists of edges between genes in users' files: CSV, TSV or Parquet."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv, parquet

from data_store.disk.damage import table_reason
from scdfm.screen.atomic import sha256

ENDS, WEIGHT = ("source", "target"), "weight"
_PARQUET = (".parquet", ".pq")
_TABS = (".tsv", ".tab", ".txt")


class EdgeList(NamedTuple):
    """Pairs of genes, in the order of the file.

    Attributes:
        sources: One gene of each edge, by name.
        targets: The other.
        weights: float64 (edges,); None if the file has no column weight.
        sha256: Of the file.
    """

    sources: list[str]
    targets: list[str]
    weights: NDArray[np.float64] | None
    sha256: str


def read_edges(path: Path) -> EdgeList:
    """Read the columns source, target and, where there is one, weight; others are left out.

    CSV, or tab-separated where the name ends in .tsv, .tab or .txt, also compressed (.gz); or
    Parquet (.parquet, .pq).

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not such a table, a column is missing, there is no edge, or an edge lacks a
            name or a finite weight.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"no such file: {path}; expected a list of edges with columns source,target[,weight]"
        )
    try:
        table = _table(path)
        for name in (*ENDS, WEIGHT):
            if table.column_names.count(name) > 1:
                raise ValueError(f"{path} has more than one column {name}; keep one")
        found = {name: _cast(table, name) for name in (*ENDS, WEIGHT) if name in table.column_names}
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        raise ValueError(
            f"{path} is not a list of edges source,target[,weight]: {table_reason(error)}; "
            "mend it, or name another"
        ) from error
    missing = [name for name in ENDS if name not in found]
    if missing:
        raise ValueError(
            f"{path} needs columns source,target[,weight], got "
            f"{', '.join(table.column_names)}; {' and '.join(missing)} is missing"
        )
    if not len(table):
        raise ValueError(f"{path} holds no edges; expected one line source,target per edge")
    _complete(found, path=path)
    return EdgeList(
        sources=_names(found["source"]),
        targets=_names(found["target"]),
        weights=found[WEIGHT].to_numpy() if WEIGHT in found else None,
        sha256=sha256(path),
    )


def _table(path: Path) -> pa.Table:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _PARQUET:
        return parquet.read_table(path)
    tabs = any(suffix in _TABS for suffix in suffixes[-2:])
    names = {name: pa.string() for name in ENDS}  # a gene may be called 1, or NA
    return csv.read_csv(
        path,
        parse_options=csv.ParseOptions(delimiter="\t" if tabs else ","),
        convert_options=csv.ConvertOptions(
            column_types={**names, WEIGHT: pa.float64()}, strings_can_be_null=False
        ),
    )


def _cast(table: pa.Table, name: str) -> pa.ChunkedArray:
    return table[name].cast(pa.float64() if name == WEIGHT else pa.string())


def _complete(found: dict[str, pa.ChunkedArray], *, path: Path) -> None:
    """Refuse an edge without a name, or with a weight that is not a finite number."""
    for name, column in found.items():
        good = pc.is_finite(column) if name == WEIGHT else pc.not_equal(column, "")
        bad = np.flatnonzero(~pc.fill_null(good, False).to_numpy())
        if len(bad):
            raise ValueError(
                f"{path}: {len(bad)} of {len(column)} edges have no "
                f"{'finite ' * (name == WEIGHT)}{name}, first is edge {bad[0] + 1}; "
                "complete or remove them"
            )


def _names(column: pa.ChunkedArray) -> list[str]:
    """Names as text; one object for each name, because millions of edges would take gigabytes."""
    coded = pc.dictionary_encode(column.combine_chunks())
    names = np.array(coded.dictionary.to_pylist(), dtype=object)
    listed: list[str] = names[coded.indices.to_numpy()].tolist()
    return listed
