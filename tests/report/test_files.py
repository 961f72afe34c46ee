"""A report's files, without a browser."""

import base64
import csv
import io
import re
from pathlib import Path
from xml.etree import ElementTree

from cluster.report.files import write_figures, write_page
from cluster.report.page import Page, Scores, Section
from tests.report.conftest import HOSTILE


def test_the_same_page_gives_the_same_bytes(page: Page, html: Path, tmp_path: Path) -> None:
    write_page(page, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == html.read_bytes()


def test_ids_are_unique_and_all_that_is_referred_to_is_there(html: Path) -> None:
    text = html.read_text()
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert {*re.findall(r'(?:url\(|href=")#([^")]+)', text)} <= {*ids}


def test_a_download_holds_every_condition_and_metric(html: Path, scores: Scores) -> None:
    found = re.search(
        r'download="conditions.csv" href="data:text/csv;base64,([^"]+)"', html.read_text()
    )
    assert found is not None
    rows = list(csv.DictReader(io.StringIO(base64.b64decode(found[1]).decode())))
    assert len(rows) == 2 * len(scores.conditions)
    assert rows[0]["condition"] == HOSTILE
    assert float(rows[3]["control"]) == scores.values["mse"]["control"][3]
    assert rows[15] == {
        "condition": HOSTILE,
        "tag": "single",
        "metric": "pearson_delta",
        "scDFM": repr(scores.values["pearson_delta"]["scDFM"][0]),
        "control": "",
        "additive": repr(scores.values["pearson_delta"]["additive"][0]),
    }


def test_markdown_names_figures_that_lie_beside_it(page: Page, tmp_path: Path) -> None:
    write_page(page, tmp_path / "report.md")
    text = (tmp_path / "report.md").read_text()
    named = re.findall(r"^!\[[^]]+\]\((.+?)\)$", text, re.MULTILINE)
    assert len(named) == 13
    for path in named:
        root = ElementTree.parse(tmp_path / path).getroot()
        assert root.tag.endswith("svg")
    assert "<script>" not in text.replace("\\<script>", "")


def test_figures_are_written_as_svg_and_pdf(page: Page, tmp_path: Path) -> None:
    [figures] = page.parts[1].sections
    two = [Section("Figures", figures.blocks[:2])]
    names = write_figures(Page("two", (), ending=two), tmp_path)
    assert len(names) == 2
    for name in names.values():
        assert (tmp_path / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert "var(" not in (tmp_path / f"{name}.svg").read_text()
