"""Whole numbers where labels of conditions are expected: codes of an R factor, most often."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from data_store.sources.notes import warn
from data_store.sources.source import Source
from scdfm.screen.names import SOME, listed

_CODE = re.compile(r"-?\d+(\.0)?")
# Where converters leave the levels of a factor beside its codes.
_PLACES = ("obs/__categories/{0}", "obs/{0}_levels", "uns/{0}_levels", "uns/{0}_categories")


def tell_of_codes(sources: Sequence[Source], column: str, *, labels: Sequence[str]) -> None:
    """Warn if all labels are whole numbers, and name where their meaning may stand."""
    if not labels or not all(map(_CODE.fullmatch, labels)):
        return
    first = sources[0]
    place = next((p for p in (p.format(column) for p in _PLACES) if _is_in(first.root, p)), None)
    meant = "" if place is None else f" (of {place}: {_texts(first.root[place])})"
    warn(
        f"obs column {column!r} of {first.name} holds whole numbers such as {labels[0]}, as "
        f"converters from R leave the codes of a factor's levels{meant}; give the labels in a "
        "table with --cells, or convert the column with as.character in R first"
    )


def _is_in(root: Any, place: str) -> bool:
    try:
        return place in root and hasattr(root[place], "shape")
    except (KeyError, ValueError, TypeError):  # zarr's, where a part of the place is an array
        return False


def _texts(levels: Any) -> str:
    values = np.asarray(levels[:]).tolist()
    return listed([v.decode() if isinstance(v, bytes) else str(v) for v in values], most=SOME)
