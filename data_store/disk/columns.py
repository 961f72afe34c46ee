"""Columns of obs, read and written a block of rows at a time, in AnnData's own encoding.

A column is one or two arrays of one value per cell ("parts"): a categorical has codes, a nullable
column values and a mask, all others have just values. Categories are shared by all cells. Strings
travel as fixed-width UTF-8 bytes, which numpy can gather and save.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import anndata
import numpy as np
import pandas as pd
import zarr
from anndata.io import read_elem, write_elem
from numpy.dtypes import StringDType
from numpy.typing import NDArray

from data_store.disk.arrays import ARRAY, Appender, Attributes, create, shard_length
from data_store.disk.damage import DamagedError, reason
from data_store.disk.files import UnreachableError

Block = dict[str, NDArray[Any]]
"""Rows of obs: an array per part, keyed by "column" or "column/part"."""

INDEX = "_index"
_PARTS = {
    "array": ("",),
    "string-array": ("",),
    "categorical": ("codes",),
    "nullable-integer": ("values", "mask"),
    "nullable-boolean": ("values", "mask"),
    "nullable-string-array": ("values", "mask"),
}
_CHUNK = 2_048  # cells: little is read in vain with a small unit
_SHARD_CHUNKS = 128
_TEXT_CHUNK = 65_536  # cells


@dataclass(frozen=True)
class Column:
    """How a column is encoded; `categories` only for categoricals."""

    name: str
    encoding: str
    version: str
    dtypes: Mapping[str, np.dtype[Any]]  # per part; object means text
    attributes: Attributes = field(default_factory=dict)
    categories: NDArray[Any] | None = None

    def key(self, part: str) -> str:
        return f"{self.name}/{part}" if part else self.name


def describe(group: Any, name: str) -> Column | None:
    """The encoding of a column of an obs group (h5py or zarr); None if it is unknown."""
    element = group[name]
    encoding = str(element.attrs.get("encoding-type", ""))
    if encoding not in _PARTS:
        return None
    parts = {part: element[part] if part else element for part in _PARTS[encoding]}
    if any(array.ndim != 1 for array in parts.values()):
        return None
    return Column(
        name=name,
        encoding=encoding,
        version=str(element.attrs["encoding-version"]),
        dtypes={part: _dtype(array.dtype) for part, array in parts.items()},
        attributes={"ordered": bool(element.attrs["ordered"])} if encoding == "categorical" else {},
        categories=np.asarray(read_elem(element["categories"]))
        if encoding == "categorical"
        else None,
    )


def _dtype(dtype: Any) -> np.dtype[Any]:
    dtype = np.dtype(dtype)
    return np.dtype(object) if dtype.kind in "OTSU" else dtype.newbyteorder("=")


def read_block(group: Any, columns: Sequence[Column], *, start: int, stop: int) -> Block:
    """Rows start to stop of these columns.

    Raises:
        DamagedError: Rows are missing, or a code has no category.
    """
    block: Block = {}
    for column in columns:
        element = group[column.name]
        for part in column.dtypes:
            array = element[part] if part else element
            values = plain(array[start:stop])
            if len(values) != stop - start:
                raise DamagedError(f"column {column.name!r} has fewer rows than others")
            if column.categories is not None and len(values):
                _check_codes(values, column)
            block[column.key(part)] = values
    return block


def _check_codes(codes: NDArray[Any], column: Column) -> None:
    assert column.categories is not None
    count = len(column.categories)
    if codes.dtype.kind not in "iu" or codes.min() < -1 or codes.max() >= count:
        raise DamagedError(f"a code of column {column.name!r} is none of {count} categories")


def plain(values: Any) -> NDArray[Any]:
    """Values from h5py or zarr, as native numbers or UTF-8 bytes."""
    values = np.asarray(values)
    if values.dtype.kind not in "OTU":
        native: NDArray[Any] = values.astype(values.dtype.newbyteorder("="), copy=False)
        return native
    texts = values.tolist()
    # h5py gives bytes, zarr gives str.
    coded = texts if texts and isinstance(texts[0], bytes) else [str(x).encode() for x in texts]
    return np.array(coded, dtype="S") if coded else np.empty(0, dtype="S1")


def texts(values: NDArray[Any]) -> NDArray[np.object_]:
    """UTF-8 bytes as str objects.

    Raises:
        ValueError: They are not UTF-8.
    """
    out: NDArray[np.object_] = np.empty(len(values), dtype=object)
    try:
        out[:] = [text.decode() for text in values.tolist()]
    except UnicodeDecodeError as error:
        raise ValueError(
            f"expected text in UTF-8 in names and obs columns, got the bytes {error.object!r}; "
            "write the file again with UTF-8"
        ) from None
    return out


def values(column: Column, block: Block) -> pd.Series:
    """One column of a block as pandas would hold it."""
    first = block[column.key(next(iter(column.dtypes)))]
    if column.categories is not None:
        dtype = pd.CategoricalDtype(
            pd.Index(column.categories.tolist(), dtype=_pandas_type(column.categories)),
            ordered=bool(column.attributes["ordered"]),
        )
        return pd.Series(pd.Categorical.from_codes(first.astype(np.int64), dtype=dtype))
    if column.encoding == "nullable-boolean":
        return pd.Series(
            pd.arrays.BooleanArray(first.astype(bool), block[column.key("mask")].astype(bool))
        )
    if column.encoding == "nullable-integer":
        return pd.Series(pd.arrays.IntegerArray(first, block[column.key("mask")].astype(bool)))
    if column.encoding == "nullable-string-array":
        words = texts(first)
        words[block[column.key("mask")].astype(bool)] = pd.NA
        return pd.Series(words, dtype="string")
    return pd.Series(texts(first) if first.dtype.kind == "S" else first)


def _pandas_type(categories: NDArray[Any]) -> Any:
    return object if categories.dtype.kind in "OTSU" else categories.dtype


def frame(columns: Sequence[Column], block: Block, *, index: NDArray[Any]) -> pd.DataFrame:
    """A block as a data frame with these cell names (UTF-8 bytes)."""
    data = {column.name: values(column, block).array for column in columns}
    return pd.DataFrame(data, index=pd.Index(texts(index)), columns=[c.name for c in columns])


def read_table(group: Any) -> pd.DataFrame:
    """A data frame that AnnData wrote.

    Raises:
        UnreachableError: The network failed.
        DamagedError: It is damaged, or encoded in a way that the installed anndata does not know.
    """
    try:
        table: pd.DataFrame = read_elem(group)
    except UnreachableError:
        raise
    # What anndata raises for an encoding that it does not know has no public name.
    except Exception as error:
        raise DamagedError(_unreadable(group) or reason(error)) from error
    return table


def _unreadable(group: Any) -> str | None:
    """Which part of a table cannot be read, and how it is encoded; None if all can."""
    for name in group if hasattr(group, "keys") else ():
        try:
            read_elem(group[name])
        except Exception:  # noqa: BLE001
            marks = getattr(group.get(name), "attrs", {})
            encoding = marks.get("encoding-type", "nothing known")
            return (
                f"column {name!r}, encoded as {encoding!r}, is damaged or of a newer anndata than "
                "the one installed here"
            )
    return None


def write_element(group: zarr.Group, name: str, element: Any) -> None:
    """Write a small element as AnnData does, but without its choice of shards."""
    with anndata.settings.override(allow_write_nullable_strings=True, auto_shard_zarr_v3=False):
        write_elem(group, name, element)


def write_table(group: zarr.Group, name: str, table: pd.DataFrame) -> None:
    """Write a data frame as AnnData does, also columns with "/" in their names.

    anndata has written those to HDF5 for years, as a dataset within groups, and reads them; to
    zarr it does not write them.
    """
    apart = [column for column in table.columns if "/" in str(column)]
    write_element(group, name, table.drop(columns=apart))
    frame = group[name]
    assert isinstance(frame, zarr.Group)
    for column in apart:
        _write_column(frame, str(column), table[column])
    frame.attrs["column-order"] = [str(column) for column in table.columns]


def _write_column(group: zarr.Group, name: str, column: "pd.Series[Any]") -> None:
    above, _, leaf = name.rpartition("/")
    write_element(group.require_group(above) if above else group, leaf, column.values)


def columns_in_memory(table: pd.DataFrame) -> zarr.Group:
    """The columns of a data frame in AnnData's encoding, in memory, without names of rows."""
    group = zarr.open_group(zarr.storage.MemoryStore(), mode="w", zarr_format=3)
    for name in table.columns:
        _write_column(group, name, table[name])
    return group


def in_memory(table: pd.DataFrame) -> zarr.Group:
    """A data frame in AnnData's encoding, in memory, for tables that no group holds."""
    group = zarr.open_group(zarr.storage.MemoryStore(), mode="w", zarr_format=3)
    write_table(group, "obs", table)
    obs = group["obs"]
    assert isinstance(obs, zarr.Group)
    return obs


def named(column: Column, name: str) -> Column:
    """The same column under another name."""
    return replace(column, name=name)


class FrameWriter:
    """Writes a data frame of known length into a zarr group, rows in order, block by block."""

    def __init__(
        self, group: zarr.Group, name: str, *, columns: Sequence[Column], rows: int
    ) -> None:
        self._frame = group.create_group(name)
        self._frame.attrs.update(
            {
                "encoding-type": "dataframe",
                "encoding-version": "0.2.0",
                "_index": INDEX,
                "column-order": [column.name for column in columns],
            }
        )
        self._rows = rows
        self._columns = (_INDEX_COLUMN, *columns)
        self._appenders = {
            column.key(part): appender
            for column in self._columns
            for part, appender in self._open(column).items()
        }

    def append(self, block: Block) -> None:
        """Add rows; the block also has the cell names, under "_index"."""
        for key, appender in self._appenders.items():
            part = block[key]
            appender.append(texts(part).astype(StringDType()) if part.dtype.kind == "S" else part)

    def close(self) -> None:
        """Write what is left."""
        for appender in self._appenders.values():
            appender.close()

    def _open(self, column: Column) -> dict[str, Appender]:
        parent, arrays = self._frame, {}
        marks: dict[str, str | bool] = {
            "encoding-type": column.encoding,
            "encoding-version": column.version,
            **column.attributes,
        }
        if set(column.dtypes) != {""}:
            parent = self._frame.create_group(column.name)
            parent.attrs.update(marks)
            marks = dict(ARRAY)
        if column.categories is not None:
            write_element(parent, "categories", column.categories)
        for part, dtype in column.dtypes.items():
            is_text = dtype.kind == "O"
            text_marks = {"encoding-type": "string-array", "encoding-version": "0.2.0"}
            arrays[part] = Appender(
                _array(
                    parent,
                    part or column.name,
                    rows=self._rows,
                    dtype=StringDType() if is_text else dtype,
                    attributes=text_marks if is_text else marks,
                )
            )
        return arrays


_INDEX_COLUMN = Column(INDEX, "string-array", "0.2.0", {"": np.dtype(object)})


def _array(
    group: zarr.Group, name: str, *, rows: int, dtype: Any, attributes: Attributes
) -> "zarr.Array[Any]":
    if not isinstance(dtype, StringDType):
        chunk = max(1, min(_CHUNK, rows))
        shard = shard_length(rows, chunk=chunk, chunks=_SHARD_CHUNKS)
        return create(
            group,
            name,
            shape=(rows,),
            dtype=dtype,
            chunks=(chunk,),
            shards=(shard,),
            attributes=attributes,
        )
    return group.create_array(
        name,
        shape=(rows,),
        dtype=dtype,
        chunks=(max(1, min(_TEXT_CHUNK, rows)),),
        compressors=[zarr.codecs.ZstdCodec(level=3), zarr.codecs.Crc32cCodec()],
        attributes=dict(attributes),
        config={"write_empty_chunks": True},
    )
