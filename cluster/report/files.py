"""A report's files: HTML or Markdown, and figures as SVG and PDF."""

import logging
from collections import Counter
from pathlib import Path

from cluster.report.drawing import pdf, svg
from cluster.report.html import as_html
from cluster.report.markdown import as_markdown
from cluster.report.page import Page
from scdfm.screen.atomic import replaced, write_text
from scdfm.screen.progress import phase

log = logging.getLogger(__name__)


def write_page(page: Page, out: Path) -> None:
    """Write a page as its name's ending says: .html, or .md with a folder of figures beside it."""
    phase(log, "drawing figures")
    if out.suffix == ".md":
        folder = out.with_name(f"{out.stem}-figures")
        names = write_figures(page, folder, kinds=("svg",))
        write_text(out, as_markdown(page, folder=folder.name, names=names))
    else:
        write_text(out, as_html(page))


def write_figures(
    page: Page, folder: Path, *, kinds: tuple[str, ...] = ("svg", "pdf")
) -> dict[int, str]:
    """Write every figure into a folder.

    Args:
        page: Whose figures.
        folder: Where; made if it is missing.
        kinds: svg, pdf or both.

    Returns:
        File name of each figure, without its ending, by its `id`.
    """
    folder.mkdir(exist_ok=True)
    seen: Counter[str] = Counter()
    names = {}
    for figure in page.figures:
        seen[figure.name] += 1
        again = f"-{seen[figure.name]}" if seen[figure.name] > 1 else ""
        names[id(figure)] = name = f"{figure.name}{again}"
        if "svg" in kinds:
            write_text(folder / f"{name}.svg", svg(figure.drawing))
        if "pdf" in kinds:
            with replaced(folder / f"{name}.pdf") as draft:
                draft.write_bytes(pdf(figure.drawing))
    return names
