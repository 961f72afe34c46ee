"""metrics.jsonl: one line for each logged step, each validation round and each note."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster.runs.records import Line
from scdfm.screen.atomic import force, jsonable, write_text

FILE = "metrics.jsonl"


@dataclass(frozen=True)
class Journal:
    """A run's metrics.jsonl."""

    path: Path

    def write(self, line: Line) -> None:
        """Append a line; NaN becomes null, since JSON has none."""
        with self.path.open("a") as file:
            file.write(json.dumps(jsonable(line)) + "\n")

    def lines(self) -> Iterator[Line]:
        """The whole lines; a torn last one is left out."""
        if not self.path.is_file():
            return
        for text in self.path.read_bytes().splitlines():
            try:
                yield json.loads(text)
            except ValueError:  # no JSON, or no text at all
                return

    def force(self) -> None:
        """Wait until the disk has the lines that are written."""
        force(self.path)

    def rewind(self, step: int) -> None:
        """Drop lines after a step, which a resumed run will write again; -1 drops all."""
        kept = [line for line in self.lines() if line["step"] <= step]
        write_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))


def with_rate(line: Line, rates: Mapping[int, float]) -> Line:
    """A line with its steps per second, which times.jsonl has, by step."""
    rate = rates.get(line["step"])
    return line if rate is None or "loss" not in line else {**line, "steps_per_second": rate}
