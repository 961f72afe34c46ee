"""Figures over all conditions: how far predictions are off, and which part each belongs to."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axis import Axis
from matplotlib.colors import ListedColormap

from cluster.report import drawing
from cluster.report.drawing import GREEN, GRID, MARKERS, MODEL, MUTED, ORANGE, PURPLE
from cluster.report.page import Figure, counted, number

_NAMED = 40  # conditions that have room for a name below the axis
_PARTS = {"train": MODEL, "validation": ORANGE, "test": GREEN, "left out": PURPLE}
_MATRIX = 160  # names along a side, at most
_SMALLEST = 3.5  # points of text that can be read when it is enlarged


def by_condition(
    values: Mapping[str, Sequence[float]], *, conditions: Sequence[str], metric: str, model: str
) -> Figure:
    """One metric of every condition, sorted by the model's, a series for each row.

    Args:
        values: By row, one value for each condition.
        conditions: Their names.
        metric: What is shown.
        model: The row of the model.

    Source: scDFM (Yu et al. 2026), figure 3.
    """
    order = np.argsort(np.nan_to_num(np.array(values[model]), nan=np.inf), kind="stable")
    places = np.arange(len(conditions))
    named = len(conditions) <= _NAMED
    with drawing.canvas(width=9.4, height=3.8) as (figure, [axes]):
        colours = drawing.colours_of(list(values), model=model)
        size = 5.0 if named else 2.5
        for marker, (row, series) in zip(MARKERS * len(values), values.items(), strict=False):
            axes.plot(
                places,
                np.array(series)[order],
                marker,
                color=colours[row],
                markersize=size,
                alpha=0.85,
                label=row,
            )
        axes.set_ylim(bottom=0 if metric in ("l2", "mse", "mae") else None)
        axes.set_ylabel(metric)
        if named:
            names = [drawing.short(conditions[one]) for one in order]
            axes.set_xticks(places, names, rotation=60, ha="right", rotation_mode="anchor")
        else:
            axes.set_xlabel(f"{len(conditions)} conditions, sorted by {model}")
        drawing.legend(axes, columns=7)
    medians = ", ".join(
        f"{row} {number(float(np.nanmedian(series)), digits=3)}"
        for row, series in values.items()
        if np.isfinite(series).any()
    )
    return Figure(
        name=f"{metric}-by-condition",
        title=f"{metric} of every test condition",
        text=f"{metric} of {counted(len(conditions), 'test condition')}, sorted by {model}. "
        f"Median over conditions: {medians}.",
        drawing=figure,
        wide=True,
    )


def split_matrix(
    parts: Mapping[tuple[str, str], str], *, sides: tuple[str, str], title: str
) -> Figure | None:
    """Which part each condition belongs to, as a matrix.

    Args:
        parts: train, validation, test or left out, by the names of row and column.
        sides: What rows and columns are.
        title: Of the figure.

    Returns:
        None where no part is left, or a side has too many names for a matrix.

    Source: scDFM (Yu et al. 2026), figures 2 and 6.
    """
    rows = list(dict.fromkeys(row for row, _ in parts))
    columns = list(dict.fromkeys(column for _, column in parts))
    if not parts or max(len(rows), len(columns)) > _MATRIX:
        return None
    kinds = [kind for kind in _PARTS if kind in parts.values()]
    grid = np.full((len(rows), len(columns)), np.nan)
    for (row, column), part in parts.items():
        grid[rows.index(row), columns.index(column)] = kinds.index(part)
    height = min(8.0, 1.6 + 0.16 * len(rows))
    width = min(9.4, max(4.6, 1.6 + 0.16 * len(columns)))
    with drawing.canvas(width=width, height=height) as (figure, [axes]):
        axes.grid(False)
        palette = ListedColormap([_PARTS[kind] for kind in kinds])
        axes.pcolormesh(
            grid, cmap=palette, vmin=-0.5, vmax=len(kinds) - 0.5, edgecolors=GRID, linewidth=0.3
        )
        axes.invert_yaxis()
        _names(axes.xaxis, columns, room=width)
        _names(axes.yaxis, rows, room=height)
        axes.tick_params(axis="x", labelrotation=90)
        axes.tick_params(length=0)
        axes.set_xlabel(sides[1])
        axes.set_ylabel(sides[0])
        for kind in kinds:
            axes.plot([], [], "s", color=_PARTS[kind], label=kind)
        drawing.legend(axes, columns=len(kinds))
        axes.spines[:].set_color(MUTED)
    counts = {kind: sum(part == kind for part in parts.values()) for kind in kinds}
    said = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    return Figure(
        name="split",
        title=title,
        text=f"A matrix of {counted(len(rows), sides[0])} by {counted(len(columns), sides[1])}; "
        f"of its fields {said}.",
        drawing=figure,
        wide=width > drawing.WIDTH,
    )


def _names(axis: Axis, names: Sequence[str], *, room: float) -> None:
    """Names in the middle of the fields, as large as there is room, in inches."""
    size = min(7.0, 50 * room / len(names))
    shown = [drawing.short(one, width=14) for one in names] if size >= _SMALLEST else []
    axis.set_ticks([k + 0.5 for k in range(len(shown))], shown, fontsize=size)
