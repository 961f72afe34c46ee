"""How figures look: one style for all, and colours that follow the page into dark mode.

A figure is drawn in a few named colours. As a file it keeps them; inside a page each becomes a CSS
variable, so that the page decides. The same data give the same bytes.
"""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import IO, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from cluster.report.records import Floats

INK, MUTED, GRID = "#23272e", "#7a828e", "#d9dde2"
MODEL, ORANGE, GREEN, PURPLE, RED, SKY = (
    "#2166c4",
    "#d9822b",
    "#1f9e77",
    "#a660b8",
    "#c8443c",
    "#4aa8d8",
)
VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    MODEL: "c0",
    ORANGE: "c1",
    GREEN: "c2",
    PURPLE: "c3",
    RED: "c4",
    SKY: "c5",
}
SERIES = (MODEL, ORANGE, GREEN, PURPLE, RED, SKY, INK, MUTED)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")  # a shape besides a colour

WIDTH, HEIGHT = 4.6, 3.2  # inches; text of 9 points stays readable on a phone

_STYLE: Any = {  # matplotlib's type of it names every setting
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.edgecolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "lines.linewidth": 1.6,
    "mathtext.fontset": "dejavusans",
    "svg.fonttype": "none",  # text stays text: it can be searched and read aloud
    "svg.hashsalt": "scdfm",
    "pdf.fonttype": 42,
}


@contextmanager
def canvas(
    *, width: float = WIDTH, height: float = HEIGHT, rows: int = 1, columns: int = 1
) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure and its axes, row by row; draw within the block.

    Args:
        width: Inches.
        height: Inches.
        rows: Of axes.
        columns: Of axes.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
        yield figure, list(axes.flat)


def dots(
    axes: Axes, x: Floats, y: Floats, *, colour: str, size: float = 3.0, label: str = ""
) -> None:
    """Draw points as one path, which takes a third of the bytes of as many markers.

    Points with a value that is not finite are left out.
    """
    points = np.stack([np.asarray(x, float), np.asarray(y, float)], axis=1)
    points = points[np.isfinite(points).all(axis=1)]
    if label:
        axes.plot([], [], "o", color=colour, markersize=size + 1, label=label)
    if not len(points):
        return
    # A line of no length with round ends is a dot.
    vertices = np.repeat(points, 2, axis=0)
    codes = np.tile([Path.MOVETO, Path.LINETO], len(points))
    path = Path(vertices, codes.astype(Path.code_type))
    path.should_simplify = False
    patch = PathPatch(
        path, fill=False, edgecolor=colour, linewidth=size, capstyle="round", alpha=0.65
    )
    axes.add_patch(patch)
    axes.update_datalim(points)
    axes.autoscale_view()


def legend(axes: Axes, *, columns: int = 2) -> None:
    """A legend above the axes, where it covers nothing."""
    handles, _ = axes.get_legend_handles_labels()
    if handles:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0.2)


def short(name: str, *, width: int = 18) -> str:
    """A name that fits beside an axis; its middle is left out."""
    keep = (width - 2) // 2
    return name if len(name) <= width else f"{name[:keep]}..{name[-keep:]}"


def colours_of(rows: Sequence[str], *, model: str) -> dict[str, str]:
    """A colour for each row of a table: the model's and no change's are always the same."""
    given = {model: MODEL, "control": MUTED, "real": GREEN}
    others = iter([ORANGE, PURPLE, RED, SKY, INK] * len(rows))
    return {row: given[row] if row in given else next(others) for row in rows}


def svg(figure: Figure) -> str:
    """The figure as an SVG file."""
    out = io.StringIO()
    _save(figure, out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def pdf(figure: Figure) -> bytes:
    """The figure as a PDF file."""
    out = io.BytesIO()
    _save(figure, out, format="pdf", metadata={"CreationDate": None})
    return out.getvalue()


def _save(figure: Figure, out: IO[Any], *, format: str, metadata: dict[str, None]) -> None:
    with mpl.rc_context(_STYLE):
        figure.savefig(out, format=format, metadata=metadata)
    # A second layout would start from the first and move everything a little.
    figure.set_layout_engine("none")


def inline(figure: Figure, *, prefix: str, text: str) -> str:
    """The figure as an `<svg>` element for a page, with the page's own colours and font.

    Args:
        figure: Of matplotlib.
        prefix: Of all its ids, which must differ from those of the page's other figures.
        text: What it shows, for who cannot see it.
    """
    drawn = svg(figure)
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>\s*", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r'\bid="', f'id="{prefix}-', drawn)
    drawn = re.sub(r'(url\(|href=")#', rf"\g<1>#{prefix}-", drawn)
    drawn = re.sub(r"font: ([^;\"]*?px) [^;\"]*", r"font: \1 var(--font)", drawn)
    for colour, variable in VARIABLES.items():
        drawn = drawn.replace(colour, f"var(--{variable})")
    view = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawn)
    assert view is not None, "matplotlib writes a viewBox"
    # Points of a figure are shown as pixels and a third, on paper as points.
    size = f'width="{float(view[1]) * 4 / 3:.0f}" height="{float(view[2]) * 4 / 3:.0f}"'
    said = f'role="img" aria-label="{escape(text, quote=True)}"'
    head = f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" {said} {size} {view[0]}'
    return head + drawn[drawn.index(">") :].strip()
