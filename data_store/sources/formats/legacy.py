"""Tables in encodings from before anndata 0.8, which converters from R still write.

anndata 0.6 wrote one compound dataset, with codes; `uns/<column>_categories` holds the categories.
Version 0.7 wrote a group of columns, whose codes point to the categories.
"""

from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata.io import read_elem

from data_store.disk.damage import DamagedError

_INDEX = ("index", "_index")


def is_compound(element: Any) -> bool:
    """Whether a table is one array of records."""
    return isinstance(element, h5py.Dataset) and element.dtype.names is not None


def read_table(table: h5py.Dataset, *, uns: Any) -> pd.DataFrame:
    """The table, text as text and codes as categories.

    Args:
        table: obs or var.
        uns: The group with the categories, or an empty dict.
    """
    records = table[()]
    names = list(table.dtype.names)
    index = next((name for name in _INDEX if name in names), names[0])
    columns = {
        name: _column(records[name], uns.get(f"{name}_categories"))
        for name in names
        if name != index and records[name].ndim == 1
    }
    return pd.DataFrame(columns, index=pd.Index(_words(records[index]), dtype=object))


def is_group_of_columns(element: Any) -> bool:
    """Whether a table is a group as anndata 0.7 wrote it, in HDF5."""
    version = str(element.attrs.get("encoding-version", ""))
    return isinstance(element, h5py.Group) and version == "0.1.0" and "_index" in element.attrs


def read_columns(table: h5py.Group) -> pd.DataFrame:
    """The table; a negative code is a cell without a value, R's smallest integer among them.

    Raises:
        DamagedError: A code has no category.
    """
    names = [str(name) for name in np.asarray(table.attrs["column-order"]).tolist()]
    columns = {name: _of_codes(table[name], name=name) for name in names}
    return pd.DataFrame(columns, index=read_elem(table[str(table.attrs["_index"])]), columns=names)


def _of_codes(element: Any, *, name: str) -> Any:
    place = element.attrs.get("categories")
    if not isinstance(place, h5py.Reference):
        return read_elem(element)
    categories, codes = element.parent[place], np.maximum(element[()].astype(np.int64), -1)
    labels = read_elem(categories)
    if codes.max(initial=-1) >= len(labels):
        raise DamagedError(f"column {name!r} has codes of more than {len(labels)} categories")
    ordered = bool(np.asarray(categories.attrs.get("ordered", False)))
    return pd.Categorical.from_codes(codes, categories=labels, ordered=ordered)


def _column(values: Any, categories: Any) -> Any:
    if values.dtype.kind in "SO":
        return pd.Categorical(_words(values))
    if categories is None or values.dtype.kind not in "iu":
        return values
    words = np.atleast_1d(categories[()])
    labels = pd.Index(_words(words) if words.dtype.kind in "SO" else words.tolist())
    # As anndata wrote them: -1 is a cell without a value.
    return pd.Categorical.from_codes(values.astype(np.int64), categories=labels)


def _words(values: Any) -> list[str]:
    return [
        word.decode(errors="replace") if isinstance(word, bytes) else str(word)
        for word in values.tolist()
    ]
