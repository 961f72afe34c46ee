"""Ways to do the same work, timed side by side: each in a process of its own, turn by turn.

The machines are shared, so a figure alone says little. Each round gives every side one turn, one
after the other and in another order each time, and what is reported are ratios of the same round.

A script is its own child: the parent calls `interleave` with command lines, the child calls
`serve` with the work.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import IO, Any, NamedTuple

Facts = dict[str, Any]


class Turn(NamedTuple):
    """One turn of one side."""

    wall: float  # seconds
    cpu: float  # seconds of all threads of the child
    peak: int  # bytes: largest resident memory during the turn
    base: int  # bytes: resident memory when the child was ready
    facts: Facts  # what else the work reports

    @property
    def added(self) -> int:
        """Memory that the work took on top of what was there when the child was ready, bytes."""
        return self.peak - self.base


class Ratio(NamedTuple):
    """Quartiles of a ratio over the rounds."""

    lower: float
    median: float
    upper: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.lower:.2f}-{self.upper:.2f})"


def serve(work: Callable[[], Facts | None], **ready: object) -> None:
    """In the child: say that all is prepared, then do the work once for every line that comes.

    Args:
        work: What is timed; the facts it returns go to the parent.
        ready: Facts about the child.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    base = status("VmRSS")
    print(json.dumps(ready), file=answers, flush=True)
    for _ in sys.stdin:
        _forget_peak()
        cpu, wall = time.process_time(), time.perf_counter()
        facts = work() or {}
        turn = Turn(
            wall=time.perf_counter() - wall,
            cpu=time.process_time() - cpu,
            peak=status("VmHWM"),
            base=base,
            facts=facts,
        )
        print(json.dumps(turn), file=answers, flush=True)


def interleave(
    sides: Mapping[str, Sequence[str]], *, rounds: int, note: Callable[[str], None] | None = None
) -> tuple[dict[str, list[Turn]], dict[str, Facts]]:
    """Run every side in a child of its own, one turn each per round.

    Args:
        sides: Command line of each child, by the side's name.
        rounds: Turns that count; one before them warms up.
        note: Receives a line after each round.

    Returns:
        The turns of each side, and what each child said when it was ready.

    Raises:
        RuntimeError: A child ended; its own words are on standard error.
    """
    with ExitStack() as stack:
        children = {name: _Child(command) for name, command in sides.items()}
        for child in children.values():
            stack.callback(child.close)
        facts = {name: child.read() for name, child in children.items()}
        turns: dict[str, list[Turn]] = {name: [] for name in sides}
        for number in range(rounds + 1):
            names = list(sides)
            for name in names if number % 2 else reversed(names):
                turn = Turn(**dict(zip(Turn._fields, children[name].turn(), strict=True)))
                if number:
                    turns[name].append(turn)
            if note and number:
                note(f"round {number}: " + _line({name: of[-1] for name, of in turns.items()}))
    return turns, facts


def ratio(large: Iterable[Turn], small: Iterable[Turn], *, of: Callable[[Turn], float]) -> Ratio:
    """Quartiles of a figure's ratio between two sides, round by round."""
    values = [of(one) / of(other) for one, other in zip(large, small, strict=True)]
    return quartiles(values)


def quartiles(values: Sequence[float]) -> Ratio:
    """Lower quartile, median and upper quartile."""
    if len(values) == 1:
        return Ratio(values[0], values[0], values[0])
    lower, median, upper = statistics.quantiles(values, n=4, method="inclusive")
    return Ratio(lower, median, upper)


def median(turns: Iterable[Turn], *, of: Callable[[Turn], float]) -> float:
    """Median of a figure."""
    return statistics.median(of(turn) for turn in turns)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows of a Markdown table, aligned, so that it can be pasted where results are kept."""
    lines = [list(header), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(header))]
    ruler = ["-" * width for width in widths]
    padded = (
        " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in [lines[0], ruler, *lines[1:]]
    )
    return "\n".join(f"| {line} |" for line in padded)


class _Child:
    """A process that takes turns."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def read(self) -> Any:
        line = _pipe(self._process.stdout).readline()
        if not line:
            raise RuntimeError(f"a child ended with status {self._process.wait()}")
        return json.loads(line)

    def turn(self) -> Any:
        wanted = _pipe(self._process.stdin)
        wanted.write("go\n")
        wanted.flush()
        return self.read()

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            _pipe(pipe).close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def _line(turns: Mapping[str, Turn]) -> str:
    return ", ".join(f"{name} {turn.wall:.2f} s" for name, turn in turns.items())


def _cell(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def status(name: str) -> int:
    """A figure of /proc/self/status, bytes."""
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError(f"expected {name} in /proc/self/status; benchmarks need Linux")


def _forget_peak() -> None:
    """Let VmHWM start anew."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
