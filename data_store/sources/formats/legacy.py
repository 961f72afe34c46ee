"""Tables as anndata 0.6 wrote them: one compound dataset each, categories apart, in uns.

A column of categories holds their codes; `uns/<column>_categories` holds the categories.
"""

from typing import Any

import h5py
import numpy as np
import pandas as pd

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
