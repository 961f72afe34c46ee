"""metrics.jsonl: one line for each logged step, each validation round and each note."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import cast

from cluster.runs.records import Line
from cluster.storage.places import named
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
        """The whole lines; a last one that a kill or a power cut has torn is left out.

        Raises:
            ValueError: Another line is damaged; names it. Without it a run would have had fewer
                rounds than were counted.
        """
        known = self._read()
        for number, line in enumerate(known, start=1):
            if line is not None:
                yield line
            elif number < len(known):
                raise ValueError(self._damage(number))

    def so_far(self) -> Iterator[Line]:
        """The lines before the first damaged one, for who looks on while another process writes.

        On a disk of another machine a line can look damaged until the next look.
        """
        for line in self._read():
            if line is None:
                return
            yield line

    def complete(self) -> list[Line]:
        """The lines of a run that is finished, of which none may be torn.

        Raises:
            ValueError: A line is damaged; names it.
        """
        known = self._read()
        if None in known:
            raise ValueError(self._damage(known.index(None) + 1))
        return [line for line in known if line is not None]

    def _read(self) -> list[Line | None]:
        """Each line; None for a damaged one."""
        content = self.path.read_bytes() if self.path.is_file() else b""
        return [_line(text) for text in content.splitlines()]

    def _damage(self, number: int) -> str:
        return (
            f"{self.path} line {number} is damaged; restore the file, or delete "
            f"{named(self.path.parent)} to begin it again"
        )

    def force(self) -> None:
        """Wait until the disk has the lines that are written."""
        force(self.path)

    def rewind(self, step: int) -> None:
        """Drop lines after a step, which a resumed run will write again; -1 drops all.

        Raises:
            ValueError: A line is damaged that may be of a step before.
        """
        kept = list(takewhile(lambda line: line["step"] <= step, self.lines())) if step >= 0 else []
        write_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))


def _line(text: bytes) -> Line | None:
    """A line; None for what is none."""
    try:
        line = json.loads(text)
    except ValueError:  # no JSON, or no text at all
        return None
    whole = isinstance(line, dict) and isinstance(line.get("step"), int)
    return cast(Line, line) if whole else None


def with_rate(line: Line, rates: Mapping[int, float]) -> Line:
    """A line with its steps per second, which times.jsonl has, by step."""
    rate = rates.get(line["step"])
    return line if rate is None or "loss" not in line else {**line, "steps_per_second": rate}
