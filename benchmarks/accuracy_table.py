"""The tables of an accuracy study: what must be reached, every row, settings compared, failures.

A cell of the study is a data set, a split and a seed. Values over cells are shown as their median
and, in brackets, the worst.
"""

import json
import statistics
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from accuracy_cases import BASE, CELLFLOW, DATA, DataSet
from accuracy_lines import Line

from scdfm.metrics import METRICS

Rows = Mapping[str, Mapping[str, float | None]]  # values by row and metric
Place = tuple[str, int, int]  # data set, split, seed

SHOWN = ("mse", "pearson_delta", "mmd2", "energy_distance")
BEATEN = ("flow alone", "shrunken", "additive", "perturbed mean", "control")
FIRST = "small"  # the setting that is judged
OURS, FLOW = "scDFM", "flow alone"
_OF_A_CELL = ("split", "seed", "threads")
BEFORE = 0.00916  # mse of `make demo` at 8fdac73, before the base


@dataclass(frozen=True)
class Target:
    """What a model must reach on a data set.

    Attributes:
        data: Name of the data set.
        metric: Of the row that is judged.
        over: The row, or the number, that it is divided by.
        must: Of the middle.
        goal: Likewise, where there is one.
        worst: What the worst cell must reach.
        middle: How cells are summarised.
        must_row: The row whose median is what must be reached.
        row: What is judged.
    """

    data: str
    metric: str
    over: str | float | None = None
    must: float | None = None
    goal: float | None = None
    worst: float | None = None
    middle: Literal["median", "mean"] = "median"
    must_row: str | None = None
    row: str = OURS

    @property
    def name(self) -> str:
        """In words."""
        of = "" if self.row == OURS else f"{self.row}: "
        if self.over is None:
            return of + self.metric
        return f"{of}{self.metric} over {'before' if isinstance(self.over, float) else self.over}"

    def value(self, rows: Rows) -> float | None:
        """Of one cell; none where a row lacks it."""
        ours = rows.get(self.row, {}).get(self.metric)
        if self.over is None or ours is None:
            return ours
        under = self.over
        if isinstance(under, str):
            under = rows.get(under, {}).get(self.metric) or 0.0
        return ours / under if under else None


TARGETS = (
    Target("norman_subset", "mse", must=0.00070, goal=0.00060),
    Target("norman_subset", "pearson_delta", must=0.87, goal=0.90),
    Target("norman_subset", "mse", over=CELLFLOW, must=0.6),
    Target("norman_subset", "pearson_delta", must_row=CELLFLOW),
    Target("simulated", "mse", over="additive", must=0.85, goal=0.7, worst=1.1),
    Target("simulated", "mmd2", over="additive", must=0.95, goal=0.8),
    Target("simulated", "mse", over="scaled", must=1.0, row=FLOW),
    Target("papalexi", "mse", over="perturbed mean", must=1.02, goal=0.98),
    Target("glioblastoma", "mse", over="perturbed mean", must=0.95, goal=0.85, middle="mean"),
    Target("mcfaline", "mse", over="control", must=1.03, goal=1.0),
    Target("demo", "mse", over="additive", must=0.8),
    Target("demo", "mse", over=BEFORE, must=0.8),
)


class Summary(NamedTuple):
    """Of some cells."""

    middle: float
    worst: float
    cells: int


def summary(
    values: Iterable[float | None], *, metric: str, middle: Literal["median", "mean"] = "median"
) -> Summary | None:
    """Middle and worst of what is known; none where nothing is."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    worst = max if METRICS[metric].mode == "min" else min
    of = statistics.median if middle == "median" else statistics.mean
    return Summary(of(known), worst(known), len(known))


def together(lines: Iterable[Line], *, setting: str = FIRST) -> dict[Place, Rows]:
    """The rows of each cell by a setting, those of the peer beside ours."""
    found: dict[Place, dict[str, Mapping[str, float | None]]] = {}
    for line in lines:
        if line["setting"] in (setting, CELLFLOW) and "error" not in line:
            at = found.setdefault((line["data"], line["split"], line["seed"]), {})
            own = line["rows"]
            # Baselines are the same in both; a peer's line brings its own row alone.
            at.update({CELLFLOW: own[CELLFLOW]} if line["setting"] == CELLFLOW else own)
    return found


def page(lines: Sequence[Line], *, command: str) -> str:
    """All tables as Markdown."""
    cells = together(lines)
    codes = sorted({line["code"] for line in lines})
    parts = [
        "# Accuracy",
        "",
        "Median over splits and seeds (worst), unless it says mean. Simulated screens are drawn",
        "from seeds that no choice was made on. Written by this command, which goes on where it",
        "was stopped:",
        "",
        f"    {command}",
        "",
        textwrap.fill(f"Code: {', '.join(codes) or 'none'}.", 100),
        "",
        "## What must be reached",
        "",
        *targets_table(cells),
        *untrained(lines),
    ]
    # The row, not the method: that learns from training units alone, the row and a model's base
    # from those of validation, too.
    base = {
        at: {**rows, OURS: rows["shrunken"]}
        for at, rows in together(lines, setting=BASE).items()
        if "shrunken" in rows
    }
    if base:
        parts += ["", "The row `shrunken`, which needs no training:", "", *targets_table(base)]
    for one in DATA:
        own = {at: rows for at, rows in cells.items() if at[0] == one.name}
        if own:
            kind = " (choices were made on it)" if one.tuning else ""
            parts += ["", f"## {one.name}{kind}", "", *rows_table(own)]
            parts += ["", *_how(line for line in lines if line["data"] == one.name)]
    parts += _section("Settings compared", settings_table(lines))
    parts += _section("Failures", failures(lines))
    return "\n".join(parts) + "\n"


def targets_table(cells: Mapping[Place, Rows]) -> list[str]:
    """A line for each target."""
    lines = ["| data | measure | result | cells | must | goal | reached |", "|" + "---|" * 7]
    for target in TARGETS:
        if target.row == FLOW and not any(FLOW in rows for rows in cells.values()):
            continue
        own = [rows for at, rows in cells.items() if at[0] == target.data]
        found = summary(
            (target.value(rows) for rows in own), metric=target.metric, middle=target.middle
        )
        must = _must(target, own)
        bound = "<=" if METRICS[target.metric].mode == "min" else ">="
        wanted = "-" if must is None else f"{bound} {must:.3g}"
        if target.worst is not None:
            wanted += f", worst {bound} {target.worst:.3g}"
        goal = "" if target.goal is None else f"{target.goal:.3g}"
        middle = "mean " if target.middle == "mean" else ""
        result = "-" if found is None else f"{middle}{found.middle:.3g} ({found.worst:.3g})"
        lines.append(
            f"| {target.data} | {target.name} | {result} | {0 if found is None else found.cells} "
            f"| {wanted} | {goal} | {_reached(target, found, must)} |"
        )
    return lines


def untrained(lines: Iterable[Line]) -> list[str]:
    """How many of the models have their first weights; nothing where none has."""
    steps: dict[str, list[int]] = {}
    for line in lines:
        if line["setting"] == FIRST and "error" not in line:
            steps.setdefault(line["data"], []).append(line["best_step"])
    found = [
        f"{sum(step == 0 for step in steps[one.name])} of {len(steps[one.name])} on {one.name}"
        for one in DATA
        if 0 in steps.get(one.name, ()) and not one.tuning
    ]
    if not found:
        return []
    said = (
        "Models that are the untrained network, for no round of training scored better: "
        f"{', '.join(found)}. The first guess of its flow is the base, so there `{FLOW}` is the "
        "base's own doing."
    )
    return ["", textwrap.fill(said, 100)]


def _must(target: Target, cells: Sequence[Rows]) -> float | None:
    if target.must_row is None:
        return target.must
    theirs = (rows.get(target.must_row, {}).get(target.metric) for rows in cells)
    found = summary(theirs, metric=target.metric)
    return None if found is None else found.middle


def _reached(target: Target, found: Summary | None, must: float | None) -> str:
    if found is None or must is None:
        return "not measured"
    sign = 1 if METRICS[target.metric].mode == "min" else -1

    def within(value: float, bound: float) -> bool:
        return sign * value <= sign * bound

    if not within(found.middle, must):
        return "**no**"
    if target.worst is not None and not within(found.worst, target.worst):
        return "**no** (worst)"
    return "goal" if target.goal is not None and within(found.middle, target.goal) else "yes"


def rows_table(cells: Mapping[Place, Rows]) -> list[str]:
    """Every row of a data set."""
    lines = [f"| {len(cells)} cells | {' | '.join(SHOWN)} |", "|" + "---|" * (1 + len(SHOWN))]
    for row in dict.fromkeys(name for rows in cells.values() for name in rows):
        shown = []
        for metric in SHOWN:
            values = (rows.get(row, {}).get(metric) for rows in cells.values())
            found = summary(values, metric=metric)
            shown.append("-" if found is None else f"{found.middle:.4g} ({found.worst:.4g})")
        lines.append(f"| {row} | {' | '.join(shown)} |")
    return lines


def _how(lines: Iterable[Line]) -> list[str]:
    """How each of our cells was predicted, and how it differs from the rows to beat."""
    found: list[str] = []
    for line in lines:
        if line["setting"] != FIRST or "error" in line:
            continue
        if not found:
            own = {name: value for name, value in line["values"].items() if name not in _OF_A_CELL}
            found += [f"Settings: `{json.dumps(own)}`.", ""]
        apart = ", ".join(
            f"{row} {value:+.2g} ({low:+.2g} to {high:+.2g})"
            for row, (value, low, high) in line["apart"].items()
            if row in BEATEN
        )
        told = (
            f"- split {line['split']}, seed {line['seed']}: {line['how']}; "
            f"{line['seconds']['train']:.0f} s of training, best step {line['best_step']}; "
            f"mse less that of (95 %): {apart or 'no interval'}"
        )
        found += textwrap.wrap(told, 100, subsequent_indent="  ")
    return found


def settings_table(lines: Sequence[Line], *, data: Sequence[DataSet] = DATA) -> list[str]:
    """Each setting over the first one, split by split and seed by seed, on what they share."""
    own = [line for line in lines if "error" not in line and line["setting"] != CELLFLOW]
    by_place = {(line["data"], line["split"], line["seed"], line["setting"]): line for line in own}
    found = []
    for one in data:
        for setting in one.settings_compared:
            pairs = [
                (line, by_place.get((*place[:3], FIRST)))
                for place, line in by_place.items()
                if place[0] == one.name and place[3] == setting
            ]
            both = [(line, first) for line, first in pairs if first is not None]
            if not one.tuning or not both:
                continue
            shown = [
                summary((of(line) / of(first) for line, first in both), metric="mse")
                for of in (_validation, _test, _seconds)
            ]
            text = " | ".join(f"{s.middle:.3f} ({s.worst:.3f})" for s in shown if s is not None)
            found.append(f"| {one.name} | {setting} | {text} | {len(both)} |")
    if len(found) < 2:
        return []
    head = "| data | setting | validation | mse of the flow alone | seconds of training | cells |"
    return [
        f"Each over `{FIRST}` without its base channel; chosen on validation.",
        "",
        head,
        "|" + "---|" * 6,
        *found,
    ]


def _validation(line: Line) -> float:
    return float(line["validation"])


def _test(line: Line) -> float:
    rows = line["rows"]
    return float(rows.get(FLOW, rows[OURS])["mse"])


def _seconds(line: Line) -> float:
    return float(line["seconds"]["train"])


def failures(lines: Iterable[Line]) -> list[str]:
    """What failed, and has not succeeded since."""
    return [
        f"- {line['data']} {line['split']}, {line['setting']}, seed {line['seed']}, "
        f"{line['code']}: {line['error']}"
        for line in lines
        if "error" in line
    ]


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["", f"## {title}", "", *lines] if lines else []
