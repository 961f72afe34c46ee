"""Where a run stands: its state, speed, curves and last fault, from its files alone."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from cluster.nodes.stall import stalls
from cluster.runs.directory import RunDirectory
from cluster.runs.history.holder import Holder, holder
from cluster.runs.history.losses import losses_of
from cluster.runs.history.said import BEGINS, ENDS, SaidLine
from cluster.runs.history.times import TimeLine
from cluster.runs.records import Line
from cluster.settings.config import RunConfig
from scdfm.flow.provenance import Best
from scdfm.screen.untyped import JsonObject

State = Literal["waiting", "running", "done", "stopped"]
Curve = list[tuple[int, float]]  # values by step; one that is undefined is left out

_WAITS = "waiting for "  # begins a line that a driver says while there is no room
_RECENT = 20  # lines that speed is the mean of


class Speed(NamedTuple):
    """How fast the newest steps were."""

    steps_per_second: float
    cells_per_second: float | None  # none: an older version did not write it, nor the next
    waiting: float | None  # share of the time that steps waited for their cells
    left: float | None  # seconds to the last step, rounds of validation included


class Now(NamedTuple):
    """Where a run stands."""

    state: State
    doing: str | None  # what the driver said last, while it waits; or what follows a step
    holder: Holder | None
    fold: tuple[int, int] | None  # which of how many trains now
    member: tuple[int, int] | None  # likewise
    step: int
    steps: int
    speed: Speed | None  # none: no step was logged
    memory: int | None  # bytes of the first worker
    gpu_memory: int | None
    loss: Curve
    losses: dict[str, float]  # newest, by part
    metric: str
    scores: Curve
    best: Best | None
    fault: SaidLine | None  # the last warning or error of the last driver
    logs: tuple[Path, ...]

    @property
    def over(self) -> bool:
        """Whether nobody works on it."""
        return self.state in ("done", "stopped")


def now(directory: RunDirectory) -> Now:
    """Look at a run.

    Raises:
        ValueError: Its file is damaged.
    """
    settings, said = directory.settings, directory.said.newest()
    fold, part = _part(directory, directory.folds, of=settings.validation.folds)
    member, part = (None, part) if fold else _part(part, part.members, of=settings.ensemble)
    lines, times = list(part.journal.so_far()), list(part.times.lines())
    step = max([line["step"] for line in lines + times], default=0)
    steps = next((line["steps"] for line in reversed(lines) if "steps" in line), None)
    steps = settings.training.steps if steps is None else steps
    held = holder(directory.path)
    state, doing = _state(directory, held, said=said, times=times, settings=settings)
    logged = [line for line in lines if "loss" in line]
    metric = settings.validation.metric
    return Now(
        state=state,
        doing=doing or (_scores(lines, settings) if state == "running" else None),
        holder=held,
        fold=fold,
        member=member,
        step=step,
        steps=steps,
        speed=_speed(times, to_go=steps - step),
        memory=_newest(times, "memory"),
        gpu_memory=_newest(times, "gpu_memory"),
        loss=[(line["step"], line["loss"]) for line in logged if line["loss"] is not None],
        losses=losses_of(logged[-1]) if logged else {},
        metric=metric,
        scores=[
            (line["step"], score)
            for line in lines
            if (score := (line.get("validation") or {}).get(metric)) is not None
        ],
        best=part.best,
        fault=next((one for one in reversed(said) if one["level"] in ("warning", "error")), None),
        logs=_logs(directory),
    )


def _part(
    directory: RunDirectory, parts: Sequence[RunDirectory], *, of: int | None
) -> tuple[tuple[int, int] | None, RunDirectory]:
    """The fold or member that trains now, and the directory of what trains."""
    if of is not None and not directory.times.sessions:
        for number, part in enumerate(parts, start=1):
            if not part.finished:
                return (number, of), part
    return None, directory


def _state(
    directory: RunDirectory,
    held: Holder | None,
    *,
    said: Sequence[SaidLine],
    times: Sequence[TimeLine],
    settings: RunConfig,
) -> tuple[State, str | None]:
    """The state, and what the driver waits for."""
    if directory.finished:
        return "done", None
    stepped = _time_of(times)
    if held is None or not _lives(held, said=said, stepped=stepped, settings=settings):
        return "stopped", None
    words = [line for line in said if line["level"] not in (BEGINS, ENDS)]
    last = words[-1] if words else None
    if max([held.since, *(line["time"] for line in said if line["level"] == BEGINS)]) > stepped:
        return "waiting", last["said"] if last else "starting"
    if last is not None and last["time"] > stepped and last["said"].startswith(_WAITS):
        return "waiting", last["said"]
    return "running", None


def _lives(held: Holder, *, said: Sequence[SaidLine], stepped: float, settings: RunConfig) -> bool:
    """Whether somebody works on the run; of another machine as long as it gives signs."""
    if held.alive is not None:
        return held.alive
    if said and said[-1]["level"] == ENDS:
        return False
    heard = max([held.since, stepped, *(line["time"] for line in said)])
    return time.time() - heard <= settings.failure.stall_timeout


def _time_of(times: Sequence[TimeLine]) -> float:
    """When the newest line was written; 0 before the first."""
    began = [line["time"] for line in times if "time" in line]
    return began[-1] + times[-1]["seconds"] if began else 0.0


def _scores(lines: Sequence[Line], settings: RunConfig) -> str | None:
    """What follows the newest line, if that is a round of validation."""
    if not lines or "validation" in lines[-1]:
        return None
    step = lines[-1]["step"]
    if step == 0:
        return "scoring the untrained model"
    due = step % settings.training.validate_every == 0 or step == lines[-1].get("steps")
    return "scoring on validation conditions" if due and "loss" in lines[-1] else None


def _speed(times: Sequence[TimeLine], *, to_go: int) -> Speed | None:
    session = max((line["session"] for line in times), default=0)
    own = [line for line in times if line["session"] == session]
    rated = [line for line in own if "steps_per_second" in line][-_RECENT:]
    if not rated:
        return None
    rates = [line["steps_per_second"] for line in rated]
    known = [line for line in rated if "waiting" in line]
    steps, seconds = own[-1]["step"] - own[0]["step"], own[-1]["seconds"]
    return Speed(
        # Seconds add up, so the mean is that of seconds for a step.
        steps_per_second=len(rates) / sum(1 / rate for rate in rates),
        cells_per_second=known[-1]["cells_per_second"] if known else None,
        waiting=_share(known) if known else None,
        left=to_go * seconds / steps if steps > 0 and to_go >= 0 else None,
    )


def _newest(times: Sequence[TimeLine], name: Literal["memory", "gpu_memory"]) -> int | None:
    return next((line[name] for line in reversed(times) if name in line), None)


def _share(lines: Sequence[TimeLine]) -> float:
    """The share of their steps' time that steps waited for cells."""
    waited = sum(line["waiting"] for line in lines)
    return waited / sum(1 / line["steps_per_second"] for line in lines)


def _logs(directory: RunDirectory) -> tuple[Path, ...]:
    """Files that tell more of what went wrong."""
    found = [stall.file for stall in stalls(directory.path, known=set())]
    return tuple(path for path in (directory.said.path, *found) if path.is_file())


def plain(now: Now) -> JsonObject:
    """Where a run stands, ready for JSON; of curves the newest value."""
    facts = now._asdict()
    curves = {"loss": now.loss, "scores": now.scores}
    facts |= {name: curve[-1][1] if curve else None for name, curve in curves.items()}
    facts["score"] = facts.pop("scores")
    facts["holder"] = now.holder and now.holder._asdict()
    facts["speed"] = now.speed and now.speed._asdict()
    facts["best"] = now.best and now.best.plain()
    facts["logs"] = [str(path) for path in now.logs]
    return facts
