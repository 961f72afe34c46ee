"""A page with one of everything, from values that were made up; and a browser that shows it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cluster.report.figures import cells, changes, conditions, curves, search
from cluster.report.files import write_page
from cluster.report.page import Block, Cell, Page, Part, Scores, Section, Table, Terms, Text
from cluster.report.records import Differential, Pictured, Tried
from tests.report.chromium import Browser, browser, installed

HOSTILE = "<script>window.broken = true</script> & \"A+B\" 'β'"  # a name is text, whatever it is
ROWS = ("scDFM", "control", "additive")
NAMES = (HOSTILE, *(f"G{k}+H{k}" for k in range(14)))


@pytest.fixture(scope="session")
def pictured() -> Pictured:
    """A condition whose prediction is good, over 40 genes."""
    draw = np.random.default_rng(0)
    mean = draw.gamma(1.0, 2.0, 40)
    changed = mean * np.exp(draw.normal(0, 0.6, 40))

    def some(of: np.ndarray, count: int) -> np.ndarray:
        return np.log1p(draw.poisson(of, (count, 40))).astype(np.float32)

    control, real, generated = some(mean, 60), some(changed, 50), some(changed, 50)
    return Pictured(
        context="all",
        condition=HOSTILE,
        title=HOSTILE,
        genes=(*(f"GENE{k}" for k in range(39)), HOSTILE),
        control=control,
        real=real,
        generated=generated,
        real_mean=real.mean(axis=0),
        control_mean=control.mean(axis=0),
        means={
            "scDFM": generated.mean(axis=0),
            "control": control.mean(axis=0),
            "additive": real.mean(axis=0) + 0.1,
        },
    )


@pytest.fixture(scope="session")
def scores() -> Scores:
    """15 conditions, two metrics; one value is undefined."""
    draw = np.random.default_rng(1)
    values = {
        metric: {row: draw.gamma(2.0, 0.01, len(NAMES)).tolist() for row in ROWS}
        for metric in ("mse", "pearson_delta")
    }
    values["pearson_delta"]["control"][0] = float("nan")
    return Scores(
        name="conditions",
        caption="Each condition",
        conditions=NAMES,
        tags=("single", *["double"] * 14),
        rows=ROWS,
        rivals=ROWS[:2],
        modes={"mse": "min", "pearson_delta": "max"},
        values=values,
    )


@pytest.fixture(scope="session")
def page(pictured: Pictured, scores: Scores) -> Page:
    """A page with every block and every figure."""
    found = Differential.between(pictured.real, pictured.control)
    table = Table(
        name="scores",
        caption="All conditions",
        columns=("metric", *ROWS),
        rows=(
            (Cell("mse", "mse"), Cell("0.01", 0.01, strong=True), Cell("0.5", 0.5), Cell("-")),
            (Cell("l2", "l2"), Cell("3", 3.0), Cell("20", 20.0, note="1 to 30"), Cell("9", 9.0)),
            (Cell("mae", "mae"), Cell("0.1", 0.1), Cell("0.3", 0.3), Cell("0.2", 0.2)),
        ),
    )
    tried = [
        Tried(
            k + 1, 1 / (k + 2), k != 2, {"rate": 10.0 ** (-k), "width": 32 * k, "kind": "ab"[k % 2]}
        )
        for k in range(5)
    ]
    half = len(pictured.real) * 2
    split = conditions.split_matrix(
        {("A", "A"): "train", ("A", "B"): "test", ("B", "B"): "validation"},
        sides=("gene", "gene"),
        title="Split",
    )
    assert split is not None
    blocks: list[Block] = [
        cells.case_study(pictured, genes=found.order[:20], model="scDFM"),
        changes.deltas(pictured, model="scDFM"),
        changes.volcano(pictured, found),
        changes.calibration(pictured),
        cells.cell_map(
            np.random.default_rng(2).normal(size=(half, 2)),
            kinds=["control", "real", "generated", "real"] * (half // 4),
            conditions=[HOSTILE] * half,
            names={HOSTILE: HOSTILE},
        ),
        conditions.by_condition(
            scores.values["mse"], conditions=NAMES, metric="mse", model="scDFM"
        ),
        split,
        curves.losses({"loss": [(1, 3.0), (2, 1.0)]}),
        curves.validation([(1, 0.5), (2, 0.25)], metric="mse", mode="min", chosen=2),
        search.history(tried, metric="mse", mode="min"),
        search.importances({"rate": 0.75, "width": 0.25}),
        search.slices(tried, metric="mse", logarithmic=["rate"]),
        search.parallel(tried, metric="mse", mode="min"),
    ]
    return Page(
        title=f"Report: {HOSTILE}",
        parts=[
            Part("one", [Section("Scores", [Text(HOSTILE), table, scores])]),
            Part("two", [Section("Figures", blocks)], about="Another"),
        ],
        ending=[Section("Glossary", [Terms({HOSTILE: "a name"})], folded=True)],
    )


@pytest.fixture(scope="session")
def html(page: Page, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page as a file."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_page(page, path)
    return path


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A headless Chromium for all tests."""
    program = installed()
    if program is None:
        pytest.skip("needs chromium, chromium-browser or google-chrome on PATH, found none")
    with browser(program) as started:
        yield started
