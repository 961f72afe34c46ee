"""A page as one HTML file: styles, figures, data and a few lines of script are inside it.

Nothing is fetched: a policy in the page forbids it. All text is escaped by the template.
"""

import base64
from typing import TypedDict

import jinja2
from markupsafe import Markup, escape

from cluster.report.drawing import inline
from cluster.report.page import ARROWS, Figure, Page, Scores, Section, number


def as_html(page: Page) -> str:
    """The page as text of an HTML file."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cluster.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    ids = {id(section): f"s{place}" for place, section in enumerate(page.sections, start=1)}
    drawn = {id(one): f"f{place}" for place, one in enumerate(page.figures, start=1)}

    def svg(figure: Figure) -> Markup:
        text = inline(figure.drawing, prefix=drawn[id(figure)], text=figure.text)
        return Markup(text)

    def anchor(section: Section) -> str:
        return ids[id(section)]

    # Styles and script are ours; escaped they would be something else.
    assets = {
        name: Markup(_text(environment, file))
        for name, file in (("style", "page.css"), ("script", "page.js"))
    }
    return environment.get_template("page.html").render(
        page=page,
        svg=svg,
        anchor=anchor,
        download=download,
        scores=_scores,
        number=number,
        breakable=breakable,
        arrows=ARROWS,
        **assets,
    )


def breakable(name: str) -> Markup:
    """A name that a narrow column may break where its parts meet."""
    return Markup(str(escape(name)).replace("_", "_<wbr>").replace("+", "+<wbr>"))


def download(text: str) -> str:
    """A `data:` address that holds a CSV file."""
    return f"data:text/csv;base64,{base64.b64encode(text.encode()).decode()}"


class _Shown(TypedDict):
    """What the page's script reads of a table that shows one metric at a time."""

    modes: dict[str, str]  # an arrow for each metric
    best: dict[str, str]
    rivals: list[bool]  # of the rows
    values: dict[str, list[list[float | None]]]  # by metric, row after row


def _scores(block: Scores) -> _Shown:
    """What the page's script shows one metric of; a value as text, to the digits that matter."""
    return {
        "modes": {metric: ARROWS[mode] for metric, mode in block.modes.items()},
        "best": {**block.modes},
        "rivals": [row in block.rivals for row in block.rows],
        "values": {
            metric: [[_json(value) for value in by_row[row]] for row in block.rows]
            for metric, by_row in block.values.items()
        },
    }


def _json(value: float) -> float | None:
    """Five digits; null where it is undefined."""
    return None if value != value else float(f"{value:.5g}")


def _text(environment: jinja2.Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]
