"""Conditions to split, and the split of some labels."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from scdfm.screen.conditions import USUAL, Condition, name
from scdfm.splits import Split, SplitConfig, make_split
from scdfm.splits.screen import Screen

SINGLES = ["A", "B", "C", "D", "E"]
DOUBLES = ["A+B", "A+C", "B+C", "D+E", "A+D", "C+E", "B+E", "F+G", "A+F", "C+D"]


def data(file: str) -> Path:
    folder = os.environ.get("SCDFM_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs the real data: set SCDFM_DATA to its folder")
    return Path(folder) / file


def screen(
    written: Iterable[str], *, contexts: Iterable[str] | Mapping[str, Iterable[str]] = ("all",)
) -> Screen:
    """Conditions as the data write them; contexts: of all, or of each by name."""
    tokens: dict[str, Condition] = {}
    known: dict[str, Condition] = {}
    for label in written:
        one = USUAL.parse(label)
        tokens[name(one)], known[label] = one, one
    return Screen(
        conditions=tokens,
        words=USUAL.knowing(known),
        contexts={
            one: tuple(contexts[one] if isinstance(contexts, Mapping) else contexts)
            for one in tokens
        },
    )


def split(
    written: Iterable[str],
    *,
    contexts: Iterable[str] | Mapping[str, Iterable[str]] = ("all",),
    **config: Any,
) -> Split:
    """The split of a `screen`."""
    data = screen(written, contexts=contexts)
    return make_split(
        SplitConfig(**config),
        conditions=data.conditions,
        words=data.words,
        contexts=data.contexts,
    )


def norman() -> list[str]:
    """The 283 perturbed labels of the whole screen, singles in both orders."""
    rows = data("norman_conditions.csv").read_text().splitlines()[1:]
    return [label for row in rows if (label := row.split(",")[0]) not in ("ctrl", "control")]


def norman_subset() -> list[str]:
    import anndata

    table = anndata.read_h5ad(data("norman_subset.h5ad"), backed="r").obs
    return [label for label in table["condition"].unique() if label != "control"]


BOTH_SINGLES_SEEN = [
    "KLF1+MAP2K6",
    "KLF1+TGFBR2",
    "MAPK1+TGFBR2",
    "MAP2K3+MAP2K6",
    "MAP2K3+SLC38A2",
]
