"""Results as lines of JSON, one for each cell of the table, found again by what they are of.

A line's key is a hash of the cells, the settings, the seed and the code. So a rerun does only what
is missing, and nothing is taken for the result of something else.
"""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from scdfm.screen.atomic import jsonable

Line = dict[str, Any]

SAME = 1e-6  # of a value: processors round differently

_HERE = Path(__file__).resolve().parents[1]


def key_of(**content: Any) -> str:
    """A short hash of plain values."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def code() -> str:
    """The commit that runs, with a hash of what was changed since."""

    def git(*words: str) -> str:
        told = ["git", "-C", str(_HERE), *words]
        return subprocess.run(told, check=True, capture_output=True, text=True).stdout

    commit, changes = git("rev-parse", "--short=12", "HEAD").strip(), git("diff", "HEAD")
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


def held_against(lines: Iterable[Line], others: Iterable[Line]) -> list[str]:
    """How each result lies to that of the same cells and settings in another study, in words.

    The value that differs most, in parts of the other one, stands for its cell.
    """

    def known(some: Iterable[Line]) -> dict[str, Line]:
        same = ("data", "split", "setting", "seed", "cells", "values")
        return {
            json.dumps([line.get(name) for name in same], sort_keys=True): line
            for line in latest(some)
            if "error" not in line
        }

    theirs, said = known(others), []
    for key, line in known(lines).items():
        if key not in theirs:
            continue
        apart = [
            (
                abs(value - before) / (abs(before) or 1.0),
                f"{row}, {metric} {value:.4g}, was {before:.4g}",
            )
            for row, metrics in line["rows"].items()
            for metric, value in metrics.items()
            if (before := theirs[key]["rows"].get(row, {}).get(metric)) is not None
            and value is not None
        ]
        most, worst = max(apart, default=(0.0, ""))
        place = f"{line['data']} {line['split']}, {line['setting']}, seed {line['seed']}"
        said.append(f"{place}: {worst if most > SAME else 'as before'}")
    return said
