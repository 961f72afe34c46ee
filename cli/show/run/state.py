"""Where a run stands, in a few lines that fit into 80 columns."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cli.show.numbers import number, numbers
from cli.show.progress import speed_of
from cli.show.run.spark import sparkline
from cli.show.times import duration

if TYPE_CHECKING:
    from cluster.runs.history.said import SaidLine
    from cluster.work.watch.now import Now

_SPARK = 32  # characters of a curve


def state_of(now: "Now") -> str:
    """What is going on, and where."""
    if now.state == "done":
        return "done"
    if now.state == "stopped":
        return "stopped; run the command again to go on"
    doing = now.doing or ""
    said = doing if doing.startswith(now.state) else f"{now.state}: {doing}" if doing else now.state
    return said if now.holder is None else f"{said}; {now.holder.words}"


def step_of(now: "Now") -> str:
    """Steps done, speed and time left."""
    parts = [f"{now.step} of {now.steps}"]
    if now.fold is not None:
        parts.append("fold {} of {}".format(*now.fold))
    if now.member is not None:
        parts.append("member {} of {}".format(*now.member))
    if now.speed is not None and not now.over:
        parts.append(speed_of(now.speed.steps_per_second, unit="steps"))
        if now.speed.left is not None and now.step < now.steps:
            parts.append(f"{duration(now.speed.left)} left")
    return "  ".join(parts)


def lines_of(now: "Now", *, name: str, plain: bool = False) -> dict[str, str]:
    """Lines by name; those that a run has nothing to say in are left out.

    Args:
        now: Where the run stands.
        name: Of the run, as the user calls it.
        plain: ASCII only.
    """
    loss, scores = ([value for _, value in curve] for curve in (now.loss, now.scores))
    found = {
        "run": name,
        "state": state_of(now),
        "step": step_of(now),
        "loss": f"{_curve(loss, plain=plain)}{numbers(now.losses).removeprefix('loss ')}",
        now.metric: f"{_curve(scores, plain=plain)}{'  '.join(_scores(now))}",
        "speed": "  ".join(_speed(now)),
        "fault": "" if now.fault is None else fault_of(now.fault),
        "logs": ", ".join(map(str, now.logs)),
    }
    return {name: line for name, line in found.items() if line}


def _curve(values: list[float], *, plain: bool) -> str:
    return f"{sparkline(values, width=_SPARK, plain=plain)}  " if len(values) > 1 else ""


def _scores(now: "Now") -> Iterator[str]:
    if now.scores:
        yield number(now.scores[-1][1])
    if now.best is not None:
        score = number(now.best.metrics.get(now.metric))
        yield f"best {score} at step {now.best.step}"


def _speed(now: "Now") -> Iterator[str]:
    """What the newest steps took."""
    speed = now.speed
    if speed is not None and speed.cells_per_second is not None:
        yield f"{speed.cells_per_second:,.0f} cells/s"
    if speed is not None and speed.waiting is not None:
        yield f"{100 * speed.waiting:.2g} % of the time waiting for data"
    if now.memory is not None:
        yield f"{now.memory / 1e9:.2g} GB of memory"
    if now.gpu_memory is not None:
        yield f"{now.gpu_memory / 1e9:.2g} GB of GPU memory"


def fault_of(line: "SaidLine") -> str:
    """A warning or an error that the driver had, and when."""
    from cluster.runs.history.holder import moment

    return f"{moment(line['time'])} {line['level']}: {line['said']}"
