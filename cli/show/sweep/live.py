"""The trials that run now, above the bar of a sweep, in as many columns as the terminal takes."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from cli.show.fitting import GAP
from cli.show.numbers import number, setting
from cli.show.times import duration

if TYPE_CHECKING:
    from sweeps.events import SweepEvent
    from sweeps.schema.space import Configuration

_MOST = 12  # trials that are shown

Key = tuple[int, int | None]  # a trial, and the seed of a further training of it


@dataclass
class _Running:
    began: float
    configuration: "Configuration"
    steps: dict[int, int] = field(default_factory=dict)  # by split
    kept: dict[int, int] = field(default_factory=dict)  # likewise, of one that is tried again
    value: float | None = None


class RunningTable:
    """What runs now, from the events of a sweep.

    Args:
        splits: Of a trial.
        steps: Of a run; none: trials differ in it.
    """

    def __init__(self, *, splits: int, steps: int | None) -> None:
        self._splits, self._steps = splits, steps
        self._metric = ""
        self._running: dict[Key, _Running] = {}
        self._lock = Lock()  # a bar draws in a thread of its own

    def take(self, event: "SweepEvent") -> None:
        """Learn from an event."""
        with self._lock:
            self._take(event)

    def _take(self, event: "SweepEvent") -> None:
        self._metric = event.metric
        key = (event.trial, event.seed)
        if event.kind in ("complete", "pruned", "failed", "infeasible"):
            self._running.pop(key, None)
            return
        known = self._running.setdefault(key, _Running(time.monotonic(), {}))
        if event.configuration is not None:
            known.configuration = event.configuration
        if event.kind == "retry":  # it shows where it goes on, and not what is lost
            known.steps.clear()
            if event.split is not None:
                known.steps[event.split] = known.kept[event.split] = event.step or 0
        elif event.kind == "split" and event.split is not None:
            known.steps.pop(event.split, None)
        elif event.kind == "round" and event.split is not None:
            # Rounds before that are told again.
            known.steps[event.split] = max(event.step or 0, known.kept.get(event.split, 0))
            known.value = event.value

    def lines(self, *, width: int, height: int) -> list[str]:
        """A heading and a line for each trial, no wider than `width`; none if nothing runs."""
        with self._lock:
            if not self._running:
                return []
            table = [self._heading(), *(self._cells(*one) for one in self._running.items())]
        most = max(1, min(_MOST, height))
        shown = table[: most + 1]
        sizes = [max(len(row[at]) for row in shown) for at in range(len(table[0]))]
        columns = list(_fitting(sizes, width=width))
        lines = [GAP.join(row[at].rjust(sizes[at]) for at in columns) for row in shown]
        if len(table) > len(shown):
            lines.append(f"and {len(table) - len(shown)} more trials")
        return [line[:width] for line in lines]

    def _heading(self) -> list[str]:
        # Splits count from 0, as the board and the folders of runs have them.
        split = ["split"] if self._splits > 1 else []
        return ["trial", *split, "step", "time", f"best {self._metric}", *self._settings]

    @property
    def _settings(self) -> list[str]:
        return list(dict.fromkeys(n for one in self._running.values() for n in one.configuration))

    def _cells(self, key: Key, one: _Running) -> list[str]:
        trial, seed = key
        splits = sorted(one.steps) or [0]
        steps = [str(one.steps.get(split, 0)) for split in splits]
        of = "" if self._steps is None else f"/{self._steps}"
        return [
            f"{trial}" if seed is None else f"{trial} seed {seed}",
            *([",".join(map(str, splits))] if self._splits > 1 else []),
            f"{','.join(steps)}{of}",
            duration(time.monotonic() - one.began),
            "-" if one.value is None else number(one.value),
            *(setting(one.configuration.get(name, "-")) for name in self._settings),
        ]


def _fitting(sizes: Sequence[int], *, width: int) -> Iterator[int]:
    """Columns by their place, from the left; one that does not fit hides none after it."""
    used = 0
    for at, size in enumerate(sizes):
        more = size + (len(GAP) if at else 0)
        if used + more <= width:
            used += more
            yield at
