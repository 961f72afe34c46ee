"""times.jsonl: when a run was worked on, how fast, and what was said as it went on.

What differs between two runs that learn the same is here, so that their metrics.jsonl are equal
byte for byte. Lines are only added: a session that was killed took its time, too.
"""

import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Required, TypedDict, cast

FILE = "times.jsonl"


class TimeLine(TypedDict, total=False):
    """A line: a session begins, steps were logged, a round was scored, or a note."""

    session: Required[int]  # from 1
    step: Required[int]  # steps done
    seconds: Required[float]  # since the session began
    time: float  # when it began, seconds since 1970; as the next two, of its first line only
    lines: int  # that metrics.jsonl had then
    key: str  # of the run for those who watch it: the same in all its sessions
    note: str
    steps_per_second: float  # since the line before, as the next two
    cells_per_second: float  # perturbed cells, of all workers
    waiting: float  # seconds that a step waited for its cells
    memory: int  # bytes of the first worker now
    gpu_memory: int  # bytes of its GPU, the most so far


@dataclass(frozen=True)
class Times:
    """A run's times.jsonl."""

    path: Path

    def lines(self) -> Iterator[TimeLine]:
        """The whole lines; those that a kill has torn are left out, as no value depends on one."""
        if not self.path.is_file():
            return
        for text in self.path.read_bytes().splitlines():
            line = _line(text)
            if line is not None:
                yield line

    def seconds(self) -> float:
        """Time that all sessions took together, from the first step to the last that is known."""
        ends = {line["session"]: line["seconds"] for line in self.lines()}
        return sum(ends.values())

    @property
    def sessions(self) -> int:
        """How often the run was begun or continued."""
        return max((line["session"] for line in self.lines()), default=0)

    @property
    def key(self) -> str | None:
        """What names the run to those who watch it; none before its first session."""
        return next((line["key"] for line in self.lines() if "key" in line), None)

    def rates(self) -> dict[int, float]:
        """Steps per second by the step that they were logged at; the newest session counts."""
        return {
            line["step"]: line["steps_per_second"]
            for line in self.lines()
            if "steps_per_second" in line
        }

    def begin(self, step: int, *, lines: int, note: str | None = None) -> "Clock":
        """Begin a session.

        Args:
            step: Steps done before.
            lines: That metrics.jsonl has now.
            note: What the user should know of its beginning.
        """
        clock = Clock(self.path, session=self.sessions + 1)
        first: TimeLine = {
            "session": clock.session,
            "step": step,
            "seconds": 0.0,
            "time": round(time.time(), 3),
            "lines": lines,
            "key": self.key or uuid.uuid4().hex[:16],
        }
        clock.write(first if note is None else {**first, "note": note})
        return clock


@dataclass(frozen=True)
class Clock:
    """Writes the times of one session."""

    path: Path
    session: int
    began: float = field(default_factory=time.monotonic)

    def tell(self, step: int, *, facts: Mapping[str, float] | None = None) -> None:
        """Write how long the session lasts.

        Args:
            step: Steps done.
            facts: Speed and memory, by their names in a line.
        """
        rounded = {
            name: value if isinstance(value, int) else float(f"{value:.6g}")
            for name, value in (facts or {}).items()
        }
        self.write(cast(TimeLine, {**self._now(step), **rounded}))

    def note(self, step: int, text: str) -> None:
        """Write something that the user should know."""
        self.write({**self._now(step), "note": text})

    def _now(self, step: int) -> TimeLine:
        seconds = round(time.monotonic() - self.began, 3)
        return {"session": self.session, "step": step, "seconds": seconds}

    def write(self, line: TimeLine) -> None:
        """Add a line, on a line of its own also where a kill has torn the last one."""
        with self.path.open("a+b") as file:
            torn = file.tell() > 0 and _last_byte(file.fileno()) != b"\n"
            file.write(b"\n" * torn + json.dumps(line).encode() + b"\n")


def _line(text: bytes) -> TimeLine | None:
    """A line; None for what is none."""
    try:
        line = json.loads(text)
        whole = TimeLine.__required_keys__ <= line.keys()
    except (ValueError, AttributeError):  # no JSON, no text at all, or no object
        return None
    return cast(TimeLine, line) if whole else None


def _last_byte(file: int) -> bytes:
    return os.pread(file, 1, os.fstat(file).st_size - 1)
