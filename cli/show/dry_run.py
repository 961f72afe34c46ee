"""A sweep before it runs: what it would try, what the cluster holds, what it would cost."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cli.show.tables import Column, Grid, Row
from cli.show.times import duration
from scdfm.screen.names import how_many

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sweeps.dry_run import DryRun, NothingLeft
    from sweeps.proposals.measured import Measured
    from sweeps.schema.dimension import Value

_SHORT = 10.0  # seconds below which parts of a second count
_MANY = 100.0  # hours from which parts of one do not


def ended(found: "NothingLeft") -> dict[str, str]:
    """Lines by name about a sweep that has ended."""
    return {
        "sweep": f"{found.name} has ended after {how_many(found.ended, 'trial')}; 0 are left",
        "why": found.why,
        **({} if found.choice is None else {"choice": found.choice}),
    }


def pages(found: "DryRun") -> list["RenderableType"]:
    """Lines and two tables: the first configurations, and what three of them cost."""
    devices = how_many(found.cpu, "CPU")
    if found.gpu:
        devices += f" and {found.gpu:g} GPU{'' if found.gpu == 1 else 's'}"
    lines = [
        f"sweep     {found.name}: {how_many(found.trials, 'trial')} left"
        f"{f' after {found.ended:,} that ended' if found.ended else ''}, each "
        f"{how_many(found.splits, 'split')} of {found.steps:,} steps",
        *_used_up(found),
        *(f"space     {name}: {values}" for name, values in found.space.items()),
        *_outside(found),
        *(
            [f"confirm   {how_many(found.again, 'training')} with further seeds"]
            if found.again
            else []
        ),
        *([_tested(found)] if found.tested else []),
        f"at once   {how_many(found.at_once, 'trial')} of {devices}",
        *_budget(found),
    ]
    if not found.first and found.trials:
        lines.append("next      is drawn by what the trials before it have scored")
    return [*lines, *([_first(found)] if found.first else []), _costs(found)]


def _used_up(found: "DryRun") -> list[str]:
    """Which part of the budget is, where that ends the search."""
    if found.used_up is None:
        return []
    more = ": more follow only if one of these is better" if found.trials else ""
    return [f"          {found.used_up} is used up{more}"]


def _outside(found: "DryRun") -> list[str]:
    """Where the base is not one of what the search may propose."""
    if not found.outside:
        return []
    told = ", ".join(f"{name} {_shown(value)}" for name, value in found.outside.items())
    return [
        f"base      has {told}, outside the space: it is",
        "          trained and compared, but the search cannot learn from it",
    ]


def _tested(found: "DryRun") -> str:
    retrained = "retrained and " if found.retrained else ""
    of = f" of {how_many(found.splits, 'split')}" if found.splits > 1 else ""
    return f"final     {how_many(found.tested, 'model')} {retrained}scored on test conditions{of}"


def _budget(found: "DryRun") -> list[str]:
    told = f"{_hours(found.hours)} if every trial costs as the base"
    if found.most_hours > found.hours:
        told += f", {_hours(found.most_hours)} if as the largest"
    return [
        f"budget    {told}; pruning makes it less ({_devices(found.device_hours, found)})",
        "          of steps, rounds of validation, and the start of processes "
        f"({_time(found.start_seconds)})",
        *_limits(found),
    ]


def _limits(found: "DryRun") -> list[str]:
    """What of the budget would end the search before its trials do, and where; the first alone."""
    known = [
        ("hours", found.limit_hours, found.search_hours),
        ("device_hours", found.limit_device_hours, found.search_device_hours),
    ]
    short = [
        (left / whole, name, left)
        for name, left, whole in known
        if left is not None and left < whole
    ]
    if not short:
        return []
    share, name, left = min(short)
    told = _hours(left) if name == "hours" else _devices(left, found)
    return [
        f"          about {int(share * found.trials):,} of {how_many(found.trials, 'trial')}: "
        f"budget.{name} leaves {told}"
    ]


def _devices(hours: float, found: "DryRun") -> str:
    """Hours of all devices together."""
    told = f"{hours:.3g}" if hours < _MANY else f"{hours:,.0f}"
    return f"{told} {'GPU' if found.gpu else 'CPU'} hours"


def _first(found: "DryRun") -> Grid:
    names = list(found.space)
    rows = [
        Row([str(number), *(_shown(one[name]) for name in names)])
        for number, one in enumerate(found.first, start=1)
    ]
    title = "next, before the search draws more" if found.ended else "first configurations"
    return Grid([Column("trial"), *map(Column, names)], rows, title=title)


def _costs(found: "DryRun") -> Grid:
    names = ["configuration", *found.space]
    columns = [Column(names[0], "left"), *map(Column, names[1:])]
    columns += [Column(name) for name in ("parameters", "memory", "a step", "a split", "")]
    rows = [Row(_cost_row(one, names[1:])) for one in _apart(found.measured)]
    return Grid(columns, rows, title="cost, measured by a few steps")


def _apart(measured: "Sequence[Measured]") -> list["Measured"]:
    """Configurations that differ; one that is smallest and base has both names."""
    rows: list[Measured] = []
    for one in measured:
        same = next(
            (at for at, row in enumerate(rows) if row.configuration == one.configuration), -1
        )
        if same < 0:
            rows.append(one)
        else:
            rows[same] = replace(rows[same], name=f"{rows[same].name}, {one.name}")
    return rows


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


def _hours(hours: float) -> str:
    return _time(hours * 3600)


def _time(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < _SHORT else duration(seconds)


def _shown(value: "Value") -> str:
    return f"{value:.4g}" if isinstance(value, float) else "none" if value is None else str(value)
