"""Results as lines of JSON, one for each cell of the table, found again by what they are of.

A line's key is a hash of the cells, the settings, the seed and the code. So a rerun does only what
is missing, and nothing is taken for the result of something else.
"""

import hashlib
import json
import math
import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from scdfm.screen.atomic import jsonable
from scdfm.screen.names import how_many, listed

Line = dict[str, Any]

SAME = 1e-6  # of a value: processors round differently

_AS_BEFORE = "as before"
_CONTENT = {"cells": "cells", "values": "settings"}  # what a line calls them, in words

# Pages and results are written while a study runs.
_RUN = (".", ":(exclude,glob)**/*.md", ":(exclude)benchmarks/accuracy.jsonl")
_HERE = Path(__file__).resolve().parents[1]


def key_of(**content: Any) -> str:
    """A short hash of plain values."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def code() -> str:
    """The commit that runs, with a hash of what was changed since, but for text and results."""

    def git(*words: str) -> str:
        told = ["git", "-C", str(_HERE), *words]
        return subprocess.run(told, check=True, capture_output=True, text=True).stdout

    commit, changes = (
        git("rev-parse", "--short=12", "HEAD").strip(),
        git("diff", "HEAD", "--", *_RUN),
    )
    return f"{commit}+{hashlib.sha256(changes.encode()).hexdigest()[:6]}" if changes else commit


def read(path: Path) -> Iterator[Line]:
    """The whole lines of a file; a torn one is left out."""
    if not path.is_file():
        return
    for text in path.read_text().splitlines():
        try:
            yield json.loads(text)
        except json.JSONDecodeError:
            continue


def append(path: Path, line: Line) -> None:
    """Add a line, on the disk before this returns."""
    torn = path.is_file() and not path.read_bytes().endswith(b"\n")
    with path.open("a") as file:
        file.write(("\n" if torn else "") + json.dumps(jsonable(line)) + "\n")
        file.flush()
        os.fsync(file.fileno())


def latest(lines: Iterable[Line], *, codes: Iterable[str] | None = None) -> list[Line]:
    """The last line of each cell of the table, of some codes or of any.

    A failure is kept only where nothing succeeded.
    """
    found: dict[tuple[Any, ...], Line] = {}
    wanted = None if codes is None else tuple(codes)
    for line in lines:
        if wanted is not None and not line["code"].startswith(wanted):
            continue
        place = tuple(line[name] for name in ("data", "split", "setting", "seed"))
        if "error" not in line or "error" in found.get(place, line):
            found[place] = line
    return list(found.values())


def done(lines: Iterable[Line]) -> set[str]:
    """Keys of what succeeded; what failed is tried again."""
    return {line["key"] for line in lines if "error" not in line}


class Held(NamedTuple):
    """A study beside another one.

    Attributes:
        said: A line for each cell of the study, and one for what only the other one has.
        same: Whether cells were compared, all of them are as before, and none failed.
    """

    said: list[str]
    same: bool


def held_against(lines: Iterable[Line], others: Iterable[Line]) -> Held:
    """How each result lies to that of the same cells and settings in another study.

    Rows and values that only this study has are no difference: it may know more.
    """
    ours, theirs = ({_place(line): line for line in latest(some)} for some in (lines, others))
    said, compared, same = [], 0, True
    for place, line in ours.items():
        told = _beside(line, theirs.get(place))
        compared += told is not None
        same = same and told in (None, _AS_BEFORE)
        said.append(f"{place}: {told or 'the other study has no result'}")
    if rest := len(theirs.keys() - ours.keys()):
        said.append(f"{how_many(rest, 'cell')} of the other study: not done here")
    return Held(said, same=same and compared > 0)


def _place(line: Line) -> str:
    return f"{line['data']} {line['split']}, {line['setting']}, seed {line['seed']}"


def _beside(line: Line, before: Line | None) -> str | None:
    """How a cell lies to what it was, in words; none where it has nothing to be held against."""
    if "error" in line:
        return f"failed: {line['error']}"
    if before is None or "error" in before:
        return None
    other = [name for name in ("cells", "values") if line.get(name) != before.get(name)]
    if other:
        return f"of other {' and '.join(_CONTENT[name] for name in other)} than before"
    return ", ".join(filter(None, (_lost(line, before), _apart(line, before)))) or _AS_BEFORE


def _lost(line: Line, before: Line) -> str:
    """Values that are not there, or not defined, any more; empty: none."""
    now = line["rows"]
    lost = [
        f"{row} {metric}"
        for row, metrics in before["rows"].items()
        for metric, value in metrics.items()
        if value is not None and now.get(row, {}).get(metric) is None
    ]
    return f"lost {listed(lost)}" if lost else ""


def _apart(line: Line, before: Line) -> str:
    """The value that differs most, in parts of what it was; empty: none."""
    apart = [
        (
            abs(value - old) / (abs(old) or 1.0) if old is not None else math.inf,
            f"{row}, {metric} {value:.4g}, was {'undefined' if old is None else f'{old:.4g}'}",
        )
        for row, metrics in before["rows"].items()
        for metric, old in metrics.items()
        if (value := line["rows"].get(row, {}).get(metric)) is not None
    ]
    most, worst = max(apart, default=(0.0, ""))
    return worst if most > SAME else ""
