"""Figures of a sweep: what was tried, in which order, and what mattered."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from cluster.report import drawing
from cluster.report.drawing import MODEL, MUTED, ORANGE, RED
from cluster.report.page import Figure, counted, number
from cluster.report.records import Tried

Setting = float | int | str | bool | None


def history(trials: Sequence[Tried], *, metric: str, mode: str) -> Figure:
    """Value of each trial in order, and the best so far."""
    done = [one for one in trials if one.ranked]
    numbers = np.array([one.number for one in done])
    values = np.array([one.value for one in done], dtype=float)
    best = np.minimum.accumulate(values) if mode == "min" else np.maximum.accumulate(values)
    stopped = [one for one in trials if not one.ranked and np.isfinite(one.value)]
    with drawing.canvas() as (figure, [axes]):
        axes.plot(numbers, values, "o", color=MODEL, markersize=5, label="complete")
        if stopped:
            axes.plot(
                [one.number for one in stopped],
                [one.value for one in stopped],
                "x",
                color=MUTED,
                markersize=5,
                label="stopped early",
            )
        axes.step(numbers, best, where="post", color=ORANGE, label="best so far")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("trial")
        axes.set_ylabel(metric)
        drawing.legend(axes, columns=3)
    return Figure(
        name="history",
        title="History of the search",
        text=f"{metric} of {len(trials)} trials in order, {len(done)} of them complete; the first "
        f"complete one has {number(float(values[0]))}, the best {number(float(best[-1]))}.",
        drawing=figure,
    )


def front(trials: Sequence[Tried], *, metric: str, further: str) -> Figure:
    """Complete trials by two metrics, those of the front marked and joined.

    Args:
        trials: Of the sweep.
        metric: The first one of the objective.
        further: Another one.
    """
    done = [one for one in trials if one.ranked]
    best = sorted((one for one in done if one.front), key=lambda one: one.value)
    rest = [one for one in done if not one.front]
    with drawing.canvas() as (figure, [axes]):
        axes.plot(
            [one.value for one in rest],
            [one.further[further] for one in rest],
            "o",
            color=MUTED,
            markersize=5,
            label="other",
        )
        axes.plot(
            [one.value for one in best],
            [one.further[further] for one in best],
            "o-",
            color=RED,
            markersize=6,
            label="front",
        )
        for one in best:
            axes.annotate(
                str(one.number),
                (one.value, one.further[further]),
                xytext=(5, 5),
                textcoords="offset points",
                fontsize=8,
            )
        axes.set_xlabel(metric)
        axes.set_ylabel(further)
        drawing.legend(axes, columns=2)
    said = "; ".join(
        f"trial {one.number} {number(one.value)} and {number(one.further[further])}" for one in best
    )
    return Figure(
        name=f"front-{further}",
        title=f"Front of {metric} and {further}",
        text=f"{metric} and {further} of {counted(len(done), 'complete trial')}; on the front of "
        f"all metrics: {said}.",
        drawing=figure,
    )


def importances(shares: Mapping[str, float]) -> Figure:
    """How much of the difference between trials each setting explains."""
    names = sorted(shares, key=lambda name: shares[name])
    with drawing.canvas(height=1.2 + 0.3 * len(names)) as (figure, [axes]):
        axes.barh(names, [shares[name] for name in names], color=MODEL, height=0.6)
        axes.set_xlabel("share of the variance between trials")
        axes.set_xlim(left=0)
    said = ", ".join(f"{name} {shares[name]:.2f}" for name in reversed(names))
    return Figure(
        name="importances",
        title="Which settings matter",
        text=f"Share of the variance between complete trials (fANOVA): {said}. With few trials "
        "this is a guess.",
        drawing=figure,
    )


def slices(trials: Sequence[Tried], *, metric: str, logarithmic: Sequence[str]) -> Figure:
    """Value of each complete trial by each setting.

    Args:
        trials: Of the sweep.
        metric: What they are judged by.
        logarithmic: Settings that are searched on a logarithmic scale.
    """
    done = [one for one in trials if one.ranked]
    names = list(done[0].settings)
    columns = min(2, len(names))
    rows = -(-len(names) // columns)
    values = [one.value for one in done]
    with drawing.canvas(width=4.6 * columns, height=2.7 * rows, rows=rows, columns=columns) as (
        figure,
        panels,
    ):
        for axes, name in zip(panels, names, strict=False):
            places, ticks = _scale([one.settings[name] for one in done])
            axes.plot(places, values, "o", color=MODEL, markersize=5)
            if ticks:
                axes.set_xticks(range(len(ticks)), [drawing.short(one, width=12) for one in ticks])
                axes.set_xlim(-0.5, len(ticks) - 0.5)
            elif name in logarithmic:
                axes.set_xscale("log")
            axes.set_xlabel(name)
            axes.set_ylabel(metric)
        for axes in panels[len(names) :]:
            axes.set_axis_off()
    return Figure(
        name="slices",
        title="Value by each setting",
        text=f"{metric} of {counted(len(done), 'complete trial')} against each of: "
        f"{', '.join(names)}.",
        drawing=figure,
        wide=columns > 1,
    )


def parallel(trials: Sequence[Tried], *, metric: str, mode: str) -> Figure:
    """Each complete trial as a line through its settings to its value; the best is marked."""
    done = [one for one in trials if one.ranked]
    names = [*done[0].settings, metric]
    sign = 1 if mode == "min" else -1
    # The best is drawn last, on top; further seeds may have chosen another than the first one.
    ranked = sorted(done, key=lambda one: (one.best, -sign * one.value))
    heights, ends = [], []
    for name in names:
        given = [one.value if name == metric else one.settings[name] for one in ranked]
        places, ticks = _scale(given)
        low, high = places.min(), places.max()
        heights.append((places - low) / (high - low) if high > low else np.full(len(places), 0.5))
        ends.append(
            (ticks[0], ticks[-1]) if ticks else (number(low, digits=3), number(high, digits=3))
        )
    lines = np.array(heights).T
    with drawing.canvas(width=9.4, height=3.6) as (figure, [axes]):
        for place, line in enumerate(lines):
            best = place == len(lines) - 1
            half = place >= len(lines) / 2
            axes.plot(
                range(len(names)),
                line,
                color=RED if best else MODEL if half else MUTED,
                linewidth=2.4 if best else 1.2,
                alpha=1 if best else 0.7,
            )
        for colour, label in ((RED, "best"), (MODEL, "better half"), (MUTED, "other half")):
            axes.plot([], [], color=colour, label=label)
        axes.set_xticks(range(len(names)), [drawing.short(name, width=22) for name in names])
        axes.set_yticks([])
        axes.set_ylim(-0.12, 1.12)
        for place, (low_end, high_end) in enumerate(ends):
            axes.annotate(drawing.short(low_end), (place, -0.09), ha="center", fontsize=8)
            axes.annotate(drawing.short(high_end), (place, 1.04), ha="center", fontsize=8)
        drawing.legend(axes, columns=3)
    best_one = ranked[-1]
    said = ", ".join(f"{name} {value}" for name, value in best_one.settings.items())
    return Figure(
        name="parallel",
        title="All settings together",
        text=f"Each complete trial ({len(done)}) is a line through its settings to its {metric}. "
        f"The best, trial {best_one.number}, has {said} and {metric} {number(best_one.value)}.",
        drawing=figure,
        wide=True,
    )


def _scale(given: Sequence[Setting]) -> tuple[NDArray[np.float64], list[str]]:
    """Places of values on an axis, and names of the places where the values are not numbers."""
    numeric = all(isinstance(one, int | float) and not isinstance(one, bool) for one in given)
    if numeric:
        return np.array(given, dtype=float), []
    ticks = sorted({str(one) for one in given})
    return np.array([ticks.index(str(one)) for one in given], dtype=float), ticks
