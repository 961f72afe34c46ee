"""A sweep before it runs: what it would try, what the cluster holds, what it would cost."""

from typing import TYPE_CHECKING

from cli.show.tables import Column, Grid, Row
from cli.show.times import duration

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sweeps.dry_run import DryRun, Measured
    from sweeps.schema.dimension import Value

_SHORT = 10.0  # seconds below which parts of a second count


def pages(found: "DryRun") -> list["RenderableType"]:
    """Lines and two tables: the first configurations, and what three of them cost."""
    devices = f"{found.cpu} CPU{'' if found.cpu == 1 else 's'}"
    if found.gpu:
        devices += f" and {found.gpu:g} GPU{'' if found.gpu == 1 else 's'}"
    lines = [
        f"sweep     {found.name}: {_count(found.trials, 'trial')} left, each "
        f"{_count(found.splits, 'split')} of {found.steps:,} steps",
        *(f"space     {name}: {values}" for name, values in found.space.items()),
        *(
            [f"confirm   {_count(found.again, 'training')} with further seeds"]
            if found.again
            else []
        ),
        f"at once   {_count(found.at_once, 'trial')} of {devices}",
        *_budget(found),
    ]
    return [*lines, _first(found), _costs(found)]


def _budget(found: "DryRun") -> list[str]:
    unit = "GPU hours" if found.gpu else "CPU hours"
    told = f"{_hours(found.hours)} if every trial costs as the base"
    if found.most_hours > found.hours:
        told += f", {_hours(found.most_hours)} if as the largest"
    lines = [f"budget    {told}; pruning makes it less ({found.device_hours:.3g} {unit})"]
    if found.limit_hours is not None and found.hours > found.limit_hours:
        share = found.limit_hours / found.hours
        lines.append(
            f"          budget.hours ends it after {_hours(found.limit_hours)}, about "
            f"{int(share * found.trials)} of {_count(found.trials, 'trial')}"
        )
    return lines


def _first(found: "DryRun") -> Grid:
    names = list(found.space)
    rows = [
        Row([str(number), *(_shown(one[name]) for name in names)])
        for number, one in enumerate(found.first, start=1)
    ]
    return Grid([Column("trial"), *map(Column, names)], rows, title="first configurations")


def _costs(found: "DryRun") -> Grid:
    names = ["configuration", *found.space]
    columns = [Column(names[0], "left"), *map(Column, names[1:])]
    columns += [Column(name) for name in ("parameters", "memory", "a step", "a split", "")]
    rows = [Row(_cost_row(one, names[1:])) for one in found.measured]
    return Grid(columns, rows, title="cost, measured by a few steps")


def _cost_row(one: "Measured", names: list[str]) -> list[str]:
    cost = one.cost
    return [
        one.name,
        *(_shown(one.configuration[name]) for name in names),
        f"{cost.parameters:,}",
        f"{cost.bytes / 2**30:.2f} GiB",
        f"{_least(cost.at_least)}{cost.step_seconds:.3g} s",
        f"{_least(cost.at_least)}{_time(one.split_seconds)}",
        "estimated" if cost.estimated else "",
    ]


def _least(bound: bool) -> str:
    return "over " if bound else ""


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _hours(hours: float) -> str:
    return _time(hours * 3600)


def _time(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < _SHORT else duration(seconds)


def _shown(value: "Value") -> str:
    return f"{value:.4g}" if isinstance(value, float) else "none" if value is None else str(value)
