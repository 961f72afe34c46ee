"""Doses in a column of their own, which conditions do not hold."""

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from data_store.sources.detect import read_labels
from data_store.sources.notes import warn
from data_store.sources.source import Source
from scdfm.screen.names import SOME, listed

_DOSE = re.compile(
    r"(.*[_. ])?(dose|doses|dosage|conc|concentration)([_. ]?(val|values?|[munp]m))?([_. ]?\d+)?",
    re.IGNORECASE,
)


def tell_of_doses(
    sources: Sequence[Source],
    *,
    conditions: NDArray[np.int64],
    names: Sequence[str],
    used: Iterable[str],
) -> None:
    """Warn where cells of one condition have several doses.

    Args:
        sources: Open sources.
        conditions: Of each cell of all sources, -1 for cells left out and controls, (cells,).
        names: Of the conditions.
        used: Columns that conditions and contexts are made of.
    """
    found = [
        column
        for column in sources[0].columns
        if _DOSE.fullmatch(column)
        and column not in used
        and all(column in source.columns for source in sources)
    ]
    kept = conditions >= 0
    for column in found:
        doses = _codes(sources, column)
        seen = kept & (doses >= 0)
        pairs = np.unique(np.column_stack([conditions[seen], doses[seen]]), axis=0)
        several = np.flatnonzero(np.bincount(pairs[:, 0], minlength=len(names)) > 1)
        if len(several):
            first = [names[code] for code in several[:SOME].tolist()]
            more = "" if len(several) <= SOME else f" and {len(several) - SOME} more"
            warn(
                f"obs column {column!r} holds several doses of one condition "
                f"({listed(first)}{more}), which are merged; to keep them apart, write the dose "
                f"into the label, such as '{first[0]} 0.5', in the file or in a table for --cells"
            )


def _codes(sources: Sequence[Source], column: str) -> NDArray[np.int64]:
    seen: dict[str, int] = {}
    parts = []
    for source in sources:
        labels = read_labels(source, column, option="--condition-column")
        common = [seen.setdefault(name, len(seen)) for name in labels.names]
        parts.append(np.array([*common, -1], dtype=np.int64)[labels.codes])
    return np.concatenate(parts)
