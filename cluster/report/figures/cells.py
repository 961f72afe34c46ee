"""Figures of cells: a condition's strongest genes, and all cells on a map.

Expression is log1p(counts per 10k).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from cluster.report import drawing
from cluster.report.drawing import GREEN, INK, MARKERS, MODEL, MUTED
from cluster.report.page import Figure
from cluster.report.records import Floats, Pictured

MAP_COLOURS = {"control": MUTED, "real": GREEN, "generated": MODEL}


def case_study(cells: Pictured, *, genes: NDArray[np.int64], model: str) -> Figure:
    """Box plots of real cells for some genes, with each row's predicted mean.

    Args:
        cells: Of one condition.
        genes: Which of its genes, the strongest first.
        model: The row of the model.

    Source: scDFM (Yu et al. 2026), figures 7 and 8.
    """
    names = [cells.genes[gene] for gene in genes]
    places = np.arange(len(genes))
    with drawing.canvas(width=9.4, height=3.8) as (figure, [axes]):
        _boxes(axes, cells.real[:, genes], places=places)
        axes.plot(
            places,
            cells.real_mean[genes],
            "_",
            color=INK,
            markersize=11,
            markeredgewidth=2,
            label="real mean",
        )
        colours = drawing.colours_of(list(cells.means), model=model)
        for marker, (row, mean) in zip(
            MARKERS * len(cells.means), cells.means.items(), strict=False
        ):
            axes.plot(places, mean[genes], marker, color=colours[row], markersize=5, label=row)
        axes.set_xticks(places, names, rotation=60, ha="right", rotation_mode="anchor")
        axes.set_ylabel("log1p(counts per 10k)")
        drawing.legend(axes, columns=7)
    error = {row: np.abs(mean - cells.real_mean)[genes].mean() for row, mean in cells.means.items()}
    said = ", ".join(f"{row} {value:.3g}" for row, value in error.items())
    return Figure(
        name=f"case-{cells.slug}",
        title=f"{cells.title}: the {len(genes)} genes that change most",
        text=f"Box plots of {len(cells.real)} real cells for the genes {', '.join(names)}, boxes "
        "from the first to the third quartile, whiskers to 1.5 times that. Mean distance of the "
        f"predicted from the real means over these genes: {said}.",
        drawing=figure,
        wide=True,
    )


def _boxes(axes: Axes, values: Floats, *, places: NDArray[np.int64]) -> None:
    line = {"color": GREEN, "linewidth": 1}
    axes.boxplot(
        values,
        positions=places,
        widths=0.62,
        showfliers=False,
        patch_artist=False,
        boxprops=line,
        whiskerprops=line,
        capprops=line,
        medianprops=line,
    )
    axes.plot([], [], "s", markerfacecolor="none", color=GREEN, label="real cells")


def cell_map(
    points: Floats, *, kinds: Sequence[str], conditions: Sequence[str], names: Mapping[str, str]
) -> Figure:
    """Control, real and generated cells on one map, a panel for each condition.

    Args:
        points: Place of each cell, (cells, 2).
        kinds: control, real or generated, of each cell.
        conditions: Of each cell; controls are shown in all panels.
        names: Title of each condition's panel.

    Source: scDFM (Yu et al. 2026), figure 4.
    """
    kind, condition = np.array(kinds), np.array(conditions)
    columns = min(2, len(names))
    rows = -(-len(names) // columns)
    with drawing.canvas(width=4.6 * columns, height=3.4 * rows, rows=rows, columns=columns) as (
        figure,
        panels,
    ):
        for axes, (one, title) in zip(panels, names.items(), strict=False):
            for what, colour in MAP_COLOURS.items():
                here = (kind == what) & ((condition == one) | (what == "control"))
                drawing.dots(
                    axes, points[here, 0], points[here, 1], colour=colour, size=2.6, label=what
                )
            axes.set_title(drawing.short(title, width=44), loc="right", pad=16)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.set_xlabel("UMAP 1")
            axes.set_ylabel("UMAP 2")
            drawing.legend(axes, columns=3)
        for axes in panels[len(names) :]:
            axes.set_axis_off()
    counts = ", ".join(f"{int((kind == what).sum())} {what}" for what in MAP_COLOURS)
    return Figure(
        name="cell-map",
        title="Cells on a map (UMAP)",
        text=f"UMAP of {counts} cells, a panel for each of: {', '.join(names.values())}. Where "
        "generated cells lie on the real ones and apart from the controls, the prediction has "
        "their shape; distances on such a map mean little.",
        drawing=figure,
        wide=columns > 1,
    )
