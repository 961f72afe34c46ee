"""TensorBoard's table of hyperparameters: a folder for each trial that ended, with what it tried.

`tensorboard --logdir SWEEP` shows it beside the curves of the runs. A folder appears at once, when
its trial ends; those that a killed session left out follow in the next, and one of a trial that
ended otherwise since, as after failures that were mended, is replaced. Its file names the end.
"""

import logging
import math
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from scdfm.screen.atomic import replaced_directory
from sweeps.directory import SweepDirectory
from sweeps.events import ENDS, OnEvent, SweepEvent
from sweeps.ledger import Trial
from sweeps.schema.sweep import Configuration, SweepConfig

log = logging.getLogger(__name__)

FOLDER = "tensorboard"


class HyperParameters:
    """Writes the table of a sweep.

    Args:
        directory: Of the sweep.
        metric: That trials are judged by.
        on: Whether it is wanted; else nothing is written.
    """

    def __init__(self, directory: SweepDirectory, *, metric: str, on: bool) -> None:
        self._folder, self._metric, self._on = directory.path / FOLDER, metric, on
        self._begun: dict[tuple[int, int | None], Configuration] = {}

    @classmethod
    def of(cls, sweep: SweepConfig) -> "HyperParameters":
        """The table of a sweep, as its file says."""
        return cls(
            SweepDirectory(sweep.directory),
            metric=sweep.objective.metric,
            on=sweep.watch.tensorboard,
        )

    def catch_up(self, trials: Iterable[Trial]) -> None:
        """Write trials that ended while nobody wrote."""
        for trial in trials:
            if trial.over:
                value = trial.mean if trial.state == "complete" else math.nan
                seed = None if trial.confirms is None else int(trial.configuration["seed"] or 0)
                self._write(_name(trial.number, seed), trial.configuration, trial.state, value)

    def beside(self, report: OnEvent) -> OnEvent:
        """Pass events on, and write each trial that ends."""

        def both(event: SweepEvent) -> None:
            report(event)
            self._take(event)

        return both

    def _take(self, event: SweepEvent) -> None:
        key = (event.trial, event.seed)
        if event.configuration is not None:
            self._begun[key] = event.configuration
        elif event.kind in ENDS and key in self._begun:
            value = (
                event.value if event.kind == "complete" and event.value is not None else math.nan
            )
            self._write(_name(*key), self._begun.pop(key), event.kind, value)

    def _write(self, name: str, configuration: Configuration, state: str, value: float) -> None:
        folder = self._folder / name
        if not self._on or any(folder.glob(f"*.{state}")):
            return
        scores = {self._metric: value} if math.isfinite(value) else {}
        try:
            with replaced_directory(folder) as draft:
                _write_trial(draft, configuration, scores, metric=self._metric, end=state)
        except OSError as error:  # a table that cannot be written stops no search
            self._on = False
            log.warning("watch.tensorboard shows no more of this session: %s", error)


def _name(trial: int, seed: int | None) -> str:
    return f"trial-{trial}" if seed is None else f"trial-{trial}-seed-{seed}"


def _write_trial(
    folder: Path,
    configuration: Configuration,
    scores: Mapping[str, float],
    *,
    metric: str,
    end: str,
) -> None:
    """Write the event file of a trial.

    Args:
        folder: For it.
        configuration: Values by dotted name.
        scores: By metric; empty of a trial that did not finish.
        metric: That the table has a column for.
        end: How the trial ended, as one more column.
    """
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary
    from tensorboardX.summary import hparams

    told = {name: "none" if value is None else value for name, value in configuration.items()}
    parts: list[Summary] = [*hparams({**told, "state": end}, {metric: None})]
    parts.append(
        Summary(value=[Summary.Value(tag=name, simple_value=one) for name, one in scores.items()])
    )
    file = EventsWriter(str(folder / "events"), filename_suffix=f".{end}")
    for part in parts:
        file.write_event(Event(wall_time=time.time(), step=0, summary=part))
    file.close()
