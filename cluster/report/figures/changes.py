"""Figures of a condition's changes: predicted against real, significance, spread and zeros."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from cluster.report import drawing
from cluster.report.drawing import GRID, MODEL, MUTED, ORANGE, RED
from cluster.report.page import Figure, number
from cluster.report.records import Differential, Floats, Pictured
from scdfm.metrics import Pseudobulks
from scdfm.metrics.correlation import pearson_delta

LEAST = 1e-5  # variance that has a place on a logarithmic axis
SUREST = 1e-100  # false discovery rate at the top of a volcano
_TOP = 8  # genes that are named in a figure


def deltas(cells: Pictured, *, model: str) -> Figure:
    """Predicted against real change from control, a point for each gene."""
    real = cells.real_mean - cells.control_mean
    predicted = cells.means[model] - cells.control_mean
    with drawing.canvas() as (figure, [axes]):
        _diagonal(axes, real, predicted)
        drawing.dots(axes, real, predicted, colour=MODEL, size=3.4)
        _name(axes, cells.genes, real, predicted, which=np.argsort(-np.abs(real))[:_TOP])
        axes.set_xlabel("real change of the mean, log1p per 10k")
        axes.set_ylabel("predicted change")
    together = number(_agreement(cells, model=model), digits=3)
    return Figure(
        name=f"change-{cells.slug}",
        title=f"{cells.title}: predicted against real change",
        text=f"Change of the mean of {len(real)} genes from control, predicted by {model} against "
        f"real; Pearson correlation {together}. On the diagonal they are equal.",
        drawing=figure,
    )


def volcano(cells: Pictured, found: Differential) -> Figure:
    """How much each gene changes, and how sure that is."""
    # A rate may be smaller than a float can be, and one such gene would flatten all others.
    sure = -np.log10(np.maximum(found.fdr, SUREST))
    strong = found.significant
    # A gene that one side lacks has changed without bound: it stands at the edge.
    finite = np.isfinite(found.change)
    edge = float(np.abs(found.change[finite]).max(initial=1.0)) * 1.05
    fold = np.clip(found.change, -edge, edge)
    with drawing.canvas() as (figure, [axes]):
        axes.axhline(-np.log10(found.LEVEL), color=MUTED, linewidth=0.8, linestyle="--")
        weak = ~strong
        drawing.dots(axes, fold[weak], sure[weak], colour=MUTED, label="not significant")
        drawing.dots(axes, fold[strong], sure[strong], colour=RED, size=3.4, label="significant")
        named = [gene for gene in found.order[:_TOP] if strong[gene]]
        _name(axes, cells.genes, fold, sure, which=named)
        axes.set_xlabel(found.scale)
        axes.set_ylabel("-log10 false discovery rate")
        drawing.legend(axes)
    up = int((strong & (found.change > 0)).sum())
    return Figure(
        name=f"volcano-{cells.slug}",
        title=f"{cells.title}: genes that differ from control",
        text=f"{int(strong.sum())} of {len(strong)} genes differ between real and control cells "
        f"at a false discovery rate of {found.LEVEL:g}, {up} of them upwards "
        f"(Mann-Whitney U, Benjamini-Hochberg). Rates below {SUREST:g} are drawn there.",
        drawing=figure,
    )


def calibration(cells: Pictured) -> Figure:
    """Variance and share of zeros of each gene, in generated against real cells."""
    real, made = cells.real.astype(np.float64), cells.generated.astype(np.float64)
    with drawing.canvas(width=9.4, columns=2) as (figure, [left, right]):
        variances = np.maximum(real.var(axis=0), LEAST), np.maximum(made.var(axis=0), LEAST)
        left.set_xscale("log")
        left.set_yscale("log")
        low, high = min(map(np.min, variances)), max(map(np.max, variances))
        left.plot([low, high], [low, high], color=MUTED, linewidth=0.8)
        drawing.dots(left, *variances, colour=MODEL)
        left.set_xlabel("variance in real cells")
        left.set_ylabel("in generated cells")
        zeros = (real == 0).mean(axis=0), (made == 0).mean(axis=0)
        right.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8)
        drawing.dots(right, *zeros, colour=ORANGE)
        right.set_xlabel("share of zeros in real cells")
        right.set_ylabel("in generated cells")
    ratio = float(np.median(variances[1] / variances[0]))
    off = float(np.abs(zeros[1] - zeros[0]).mean())
    return Figure(
        name=f"spread-{cells.slug}",
        title=f"{cells.title}: variance and zeros",
        text=f"Each point is a gene, in {len(made)} generated against {len(real)} real cells. The "
        f"variance is {ratio:.3g} times the real one (median over genes); the share of zeros is "
        f"{off:.3g} off on average. On the diagonal they are equal; no variance is drawn as "
        f"{LEAST:g}.",
        drawing=figure,
        wide=True,
    )


def _diagonal(axes: Axes, x: Floats, y: Floats) -> None:
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    axes.axhline(0, color=GRID, linewidth=0.8)
    axes.axvline(0, color=GRID, linewidth=0.8)
    axes.plot([low, high], [low, high], color=MUTED, linewidth=0.8)


def _name(
    axes: Axes,
    names: Sequence[str],
    x: Floats,
    y: Floats,
    *,
    which: Sequence[int] | NDArray[np.int64],
) -> None:
    """Write the names of some genes beside their points, where none lies on another."""
    axes.margins(x=0.1, y=0.08)
    across, up = (max(float(np.ptp(values)), 1e-9) for values in (x, y))
    taken: list[tuple[float, float]] = []
    for gene in which:
        place = float(x[gene]) / across, float(y[gene]) / up
        if any(abs(place[0] - a) < 0.22 and abs(place[1] - b) < 0.06 for a, b in taken):
            continue
        taken.append(place)
        end = x[gene] > x.mean()
        axes.annotate(
            names[gene],
            (float(x[gene]), float(y[gene])),
            xytext=(-4 if end else 4, 2),
            ha="right" if end else "left",
            textcoords="offset points",
            fontsize=7,
        )


def _agreement(cells: Pictured, *, model: str) -> float:
    """As the table has it, undefined where a change is nothing but rounding."""
    unit = Pseudobulks(
        contexts=("",),
        conditions=(cells.title,),
        genes=tuple(cells.genes),
        predicted=cells.means[model][None].astype(np.float64),
        real=cells.real_mean[None].astype(np.float64),
        control=cells.control_mean[None].astype(np.float64),
    )
    return float(pearson_delta(unit)[0])
