"""metrics.jsonl: one line for each logged step, each validation round, and what else is to be said."""

import json
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FILE = "metrics.jsonl"


class Journal:
    """Appends to a run's metrics.jsonl and passes every line on."""

    def __init__(self, directory: Path, *, report: Callable[[dict[str, Any]], None]) -> None:
        self.path = directory / FILE
        self.report = report

    def write(self, line: dict[str, Any]) -> None:
        """Append a line; NaN becomes null, since JSON has none."""
        with self.path.open("a") as file:
            file.write(json.dumps(_plain(line)) + "\n")
        self.report(line)

    def rewind(self, step: int) -> None:
        """Drop lines after a step, which a resumed run will write again; -1 drops all."""
        kept = [line for line in read_lines(self.path) if line["step"] <= step]
        draft = self.path.with_suffix(".tmp")
        draft.write_text("".join(json.dumps(line) + "\n" for line in kept))
        os.replace(draft, self.path)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Read the whole lines of a journal; a torn last line is left out."""
    if not path.is_file():
        return
    for text in path.read_text().splitlines():
        try:
            yield json.loads(text)
        except json.JSONDecodeError:
            return


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
