"""Tables about cells (.csv, .tsv, .parquet): conditions and contexts of files that hold none.

A table has one row per cell and a column with the cells' names. It is read whole, text as codes.
Its columns are added to those of the source; of two columns with the same name, the table's wins.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data_store.disk import columns as cols
from data_store.disk.damage import table_reason
from data_store.sources.cell_names import name_blocks
from data_store.sources.notes import note
from data_store.sources.source import Source

_LARGE = 65_536  # rows
NAME_COLUMNS = ("barcode", "cell_barcode", "barcodes", "cell", "cell_id", "cell_name", "index", "")


def with_table(source: Source, path: Path) -> Source:
    """Add a table's columns to a source, joined by cell name; log how many rows match.

    Cells without a row have no labels.

    Raises:
        FileNotFoundError: There is no such table.
        ValueError: It cannot be read, names a cell twice, has no other column, or matches no cell.
    """
    table = read_table(path)
    names = next((name for name in NAME_COLUMNS if name in table), str(table.columns[0]))
    place = _index(table[names], path=path)
    rows = _matches(source, place)
    found = int((rows >= 0).sum())
    if not found:
        raise ValueError(
            f"cell {_first_name(source)!r} of {source.path} has no row in {path}, and no other "
            f"cell has one: column {names!r} holds names such as {str(table[names].iloc[0])!r}; "
            f"expected one row per cell, named like the cell{_where_shared(source)}"
        )
    note(
        f"{path.name}: {found} of {source.cells} cells of {source.name} have a row (by "
        f"{repr(names) if names else 'its first column'}), {source.cells - found} have none; "
        f"{len(table) - found} rows name no cell of {source.name}"
    )
    return _joined(source, table.drop(columns=names), rows)


def _where_shared(source: Source) -> str:
    """What to do where the names of several sources were made distinct before."""
    if not source.suffix:
        return ""
    return (
        f" ({source.suffix!r} was added, as other sources have cells of the same names); give a "
        "table for each source, --cells in the order of the sources, or add this to the names in "
        "the table"
    )


def read_table(path: Path, *, of: str = "cells") -> pd.DataFrame:
    """A table with at least two columns and one row; text comes as categories.

    Args:
        path: Of the table.
        of: What it tells about, to name in an error.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is not such a table.
    """
    if not path.is_file():
        raise FileNotFoundError(f"expected a table of {of} at {path}, found no such file")
    try:
        table = _read(path, of=of)
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        raise ValueError(
            f"expected a table of {of} in {path}, got what cannot be read ({table_reason(error)}); "
            "correct it or write it again"
        ) from error
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise ValueError(
            f"expected columns with different names in the table of {of} {path}, got {twice[0]!r} "
            "more than once; rename or remove one"
        )
    if table.shape[1] < 2 or not len(table):
        raise ValueError(
            f"expected names of {of} and at least one other column in {path}, found {len(table)} "
            f"rows of {', '.join(map(repr, table.columns)) or 'nothing'}"
        )
    return table


def _read(path: Path, *, of: str) -> pd.DataFrame:
    kinds = [ending.lower() for ending in path.suffixes]
    if kinds[-1:] == [".parquet"]:
        table = pq.read_table(path)
    elif {".csv", ".tsv", ".txt"} & set(kinds[-2:]):
        with path.open("rb") as stream:
            tabs = ".csv" not in kinds[-2:]
            compression = "gzip" if stream.read(2) == b"\x1f\x8b" else None
        with pa.input_stream(str(path), compression=compression) as stream:
            table = pyarrow.csv.read_csv(
                stream, parse_options=pyarrow.csv.ParseOptions(delimiter="\t" if tabs else ",")
            )
    else:
        raise ValueError(f"expected a table of {of} in .csv, .tsv or .parquet, got {path}")
    frame = _frame(table)
    if frame.index.name is not None or not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index(
            allow_duplicates=True
        )  # a parquet file of pandas keeps the names there
    return frame.rename(columns=str)


def _frame(table: pa.Table) -> pd.DataFrame:
    """Text as categories; in a large table the names of cells as text, which is far smaller."""
    indices = (table.schema.pandas_metadata or {}).get("index_columns", ())
    distinct = [
        field.name
        for field in table.schema
        if len(table) > _LARGE
        and field.name not in indices
        and pa.types.is_string(field.type)
        and pc.count_distinct(table[field.name]).as_py() > len(table) // 2
    ]
    frame: pd.DataFrame = table.drop_columns(distinct).to_pandas(strings_to_categorical=True)
    for name in distinct:
        place = min(table.column_names.index(name), frame.shape[1])
        frame.insert(place, name, pd.array(table[name], dtype=pd.ArrowDtype(pa.string())))
    return frame


def _index(names: "pd.Series[Any]", *, path: Path) -> pd.Index:
    index = pd.Index(names.astype(str))
    if not index.is_unique:  # known from the table that finds names, later
        twice = index[index.duplicated()]
        raise ValueError(
            f"expected each cell once in {path}, got {twice.nunique()} more than once, first "
            f"{str(twice[0])!r}; keep one row for each"
        )
    return index


def _matches(source: Source, place: pd.Index) -> NDArray[np.int64]:
    """The row of every cell, -1 for those without one, (cells,)."""
    rows = np.full(source.cells, -1, dtype=np.int64)
    for start, names in name_blocks(source):
        rows[start : start + len(names)] = place.get_indexer(pd.Index(cols.texts(names)))
    return rows


def _joined(source: Source, table: pd.DataFrame, rows: NDArray[np.int64]) -> Source:
    frame = taken(table, rows)
    home, joined = frame_columns(frame)
    if both := sorted(joined.keys() & source.columns.keys()):
        note(f"obs of {source.name}: the table gives {', '.join(both)}, not the file")
    return replace(
        source,
        columns={**source.columns, **joined},
        homes={**source.homes, **dict.fromkeys(joined, home)},
    )


def taken(table: pd.DataFrame, rows: NDArray[np.int64]) -> pd.DataFrame:
    """These rows of a table; those of -1 have missing values."""
    frame = table.take(np.maximum(rows, 0)).reset_index(drop=True)
    without = rows < 0
    if without.any():
        nullable = dict.fromkeys(frame.select_dtypes("integer").columns, "Int64")
        nullable |= dict.fromkeys(frame.select_dtypes("bool").columns, "boolean")
        frame = frame.astype(nullable).mask(pd.Series(without))
    return frame


def frame_columns(frame: pd.DataFrame) -> tuple[Any, dict[str, cols.Column]]:
    """A table's columns as a source has them, and the group that holds them."""
    home = cols.columns_in_memory(_storable(frame))
    columns = {name: cols.describe(home, name) for name in frame.columns}
    return home, {name: column for name, column in columns.items() if column is not None}


def _storable(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns as AnnData can write them: all but text, numbers and booleans becomes text."""
    for name in frame.columns:
        kind = frame[name].dtype
        if not isinstance(kind, pd.CategoricalDtype) and kind.kind not in "biuf":
            frame[name] = frame[name].astype(str).where(frame[name].notna()).astype("category")
    return frame


def _first_name(source: Source) -> str:
    names = source.cell_names(0, min(1, source.cells)).tolist()
    return names[0].decode() if names else ""
