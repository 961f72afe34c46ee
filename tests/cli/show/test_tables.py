"""Tables and lines at the width of a terminal: split, stacked, never cut."""

import io

import pytest
from rich.console import Console

from cli.show.fitting import fitted, packed
from cli.show.leaderboard import draw
from cli.show.report import pages
from cli.show.tables import Column, Grid, Row
from cli.show.terminal import console
from tests.cli.show.test_leaderboard import row
from tests.cli.show.test_report import score, table

WIDTHS = [30, 60, 80, 200]


def drawn(*parts: object, width: int) -> str:
    out = io.StringIO()
    for part in parts:
        Console(file=out, width=width).print(part, markup=False)
    return out.getvalue()


def words(text: str) -> set[str]:
    return set(text.split())


def numbered(count: int) -> Grid:
    columns = [Column("name", "left"), *(Column(f"measure_{at}") for at in range(count))]
    return Grid(columns, [Row([who, *(f"0.{at}2345" for at in range(count))]) for who in "AB"])


@pytest.mark.parametrize("width", WIDTHS)
def test_every_number_and_name_is_shown_whole_at_any_width(width: int) -> None:
    text = drawn(numbered(9), width=width)
    assert {f"0.{at}2345" for at in range(9)} | {f"measure_{at}" for at in range(9)} <= words(text)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width


def test_a_wide_table_comes_in_pieces_that_all_name_their_rows() -> None:
    text = drawn(numbered(9), width=60)
    heads = [line for line in text.splitlines() if "measure" in line]
    assert len(heads) > 1
    assert all(line.split()[0] == "name" for line in heads)


def test_a_table_of_thirty_columns_comes_in_pieces_in_a_pipe() -> None:
    stream = io.StringIO()
    table = Grid([Column("row"), *(Column(f"metric {k}") for k in range(30))], [Row(["a"] * 31)])
    console(stream).print(table)
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 140
    assert all(f"metric {k}" in stream.getvalue() for k in range(30))
    assert sum(line.split()[:1] == ["row"] for line in lines) > 1


def test_a_long_sentence_widens_no_table_in_a_pipe() -> None:
    error = f"ValueError: expected {'/a/path' * 3} " + " ".join(
        f"and number {k}" for k in range(20)
    )
    names = {"graph.k": 4, "model.width": 16}
    rows = [row(configuration=names), row(configuration=names, state="failed", error=error)]
    stream = io.StringIO()
    console(stream).print(draw(rows, metric="mse", mode="min"))
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 140
    assert set(error.split()) <= words(stream.getvalue())
    # The columns stay in their places beside the lines of the sentence.
    heading = next(line for line in lines if "time" in line.split())
    beside = lines[next(at for at, line in enumerate(lines) if "failed, ValueError:" in line) + 1]
    assert not beside[: heading.index("time") + 4].strip()


def test_the_words_beside_a_bar_fill_the_lines_below_it() -> None:
    assert packed(["one two", "three", "four five six", "seven"], width=24, first=10) == [
        "one two",
        "  three  four five six",
        "  seven",
    ]


def test_what_does_not_fit_side_by_side_is_stacked() -> None:
    grid = Grid([Column("model", "left"), Column("value")], [Row(["a" * 12, "0.12345678901"])])
    assert drawn(grid, width=20).split() == ["model", "a" * 12, "value", "0.12345678901"]


@pytest.mark.parametrize("width", [60, 80])
def test_a_leaderboard_fits_a_terminal(width: int) -> None:
    names = {f"training.some_setting_{at}": 0.0022212 for at in range(7)}
    error = "ValueError: expected something else than what came"
    text = drawn(
        draw(
            [row(configuration=names), row(configuration=names, state="failed", error=error)],
            metric="mse",
            mode="min",
        ),
        width=width,
    )
    assert "…" not in text
    assert names.keys() | {"0.0022212", "0.012346"} <= words(text)
    assert set(error.split()) <= words(text)
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("width", [60, 80])
def test_an_evaluation_fits_a_terminal(width: int) -> None:
    tables = {
        name: table(0.00222, score(0.9))
        for name in ("scDFM", "perturbed mean", "additive, shrunken")
    }
    text = drawn(*pages(tables), width=width)
    assert "…" not in text
    assert {"0.00222", "0.90000", "pearson_delta"} <= words(text)


def test_a_long_line_breaks_between_its_parts() -> None:
    line = "validation at step 5: mse 0.01  pearson_delta 0.4433  l2 0.52"
    assert fitted(line, width=40) == [
        "validation at step 5: mse 0.01",
        "  pearson_delta 0.4433  l2 0.52",
    ]
    assert fitted(line, width=None) == [line]


@pytest.mark.parametrize("label", ["choice       ", "best model   "])
def test_a_sentence_begins_beside_its_label(label: str) -> None:
    line = f"{label}trial 3 is ahead of the base in 2 of 3 splits, which is within noise"
    rows = fitted(line, width=40)
    assert rows[0] == f"{label}trial 3 is ahead of the"
    assert {row[: len(label)].strip() for row in rows[1:]} == {""}
    assert " ".join(rows).split() == line.split()
    assert max(map(len, rows)) <= 40


def test_a_sentence_breaks_between_words_and_a_path_not_at_all() -> None:
    line = "expected a store at /a/long/path/that/has-a-name/store.zarr, found nothing"
    rows = fitted(line, width=30)
    assert " ".join(word.strip() for word in rows) == line
    assert "  /a/long/path/that/has-a-name/store.zarr," in rows
