"""The evaluation table: rows beside each other, the best in bold, the undefined counted."""

import csv
import io
import math

import pytest
from rich.console import Console

from cli.show.report import as_csv, best_rows, difference_grid, pages, undefined
from cluster.work.evaluation.record import Difference
from scdfm.metrics import Table
from scdfm.metrics.table import Score

UNDEFINED = Score(value=math.nan, conditions=0, undefined=2)


def score(value: float) -> Score:
    return Score(value=value, conditions=2, undefined=0)


def table(mse: float, pearson: Score, *, contexts: tuple[str, ...] = ("all",)) -> Table:
    scores = {"mse": score(mse), "pearson_delta": pearson}
    return Table(
        overall=scores, contexts=dict.fromkeys(contexts, scores), conditions={"A+B": scores}
    )


@pytest.fixture
def tables() -> dict[str, Table]:
    return {
        "scDFM": table(0.002, score(0.9)),
        "control": table(0.01, UNDEFINED),
        "perturbed mean": table(0.008, score(0.2)),
    }


def drawn(tables: dict[str, Table], *, terminal: bool = False) -> str:
    out = io.StringIO()
    console = Console(
        file=out, width=200, force_terminal=terminal, color_system="standard" if terminal else None
    )
    for part in pages(tables):
        console.print(part, markup=False)
    return out.getvalue()


def test_each_row_has_its_values_and_each_metric_its_direction(tables: dict[str, Table]) -> None:
    text = drawn(tables)
    assert "mse ↓" in text
    assert "pearson_delta ↑" in text
    lines = {line.split("  ")[1].strip(): line for line in text.splitlines() if "0.0" in line}
    assert lines["scDFM"].split()[1:] == ["0.00200", "0.90000"]
    assert lines["control"].split()[1:] == ["0.01000", "-"]


def test_the_best_follows_the_direction_of_the_metric(tables: dict[str, Table]) -> None:
    rows = {name: table.overall for name, table in tables.items()}
    assert best_rows(rows, metric="mse", mode="min") == {"scDFM"}
    assert best_rows(rows, metric="mse", mode="max") == {"control"}
    assert best_rows(rows, metric="pearson_delta", mode="max") == {"scDFM"}


def test_equals_are_all_best_and_the_undefined_never() -> None:
    rows = {"a": {"mse": score(1.0)}, "b": {"mse": score(1.0)}, "c": {"mse": UNDEFINED}}
    assert best_rows(rows, metric="mse", mode="min") == {"a", "b"}
    assert best_rows({"c": {"mse": UNDEFINED}}, metric="mse", mode="min") == set()


def test_the_best_is_bold_on_a_terminal_only(tables: dict[str, Table]) -> None:
    assert "\x1b[1m0.00200" in drawn(tables, terminal=True).replace(" ", "")
    assert "\x1b" not in drawn(tables)


def test_the_undefined_are_counted_below(tables: dict[str, Table]) -> None:
    line = "pearson_delta is undefined in units: 2 of control"
    assert undefined({name: table.overall for name, table in tables.items()}) == [line]
    assert drawn(tables).rstrip().endswith(line)


def test_several_contexts_have_a_table_each() -> None:
    two = {"scDFM": table(0.1, score(0.5), contexts=("K562", "RPE1"))}
    assert "context K562" in drawn(two)
    assert "context RPE1" in drawn(two)
    one = {"scDFM": table(0.1, score(0.5), contexts=("K562",))}
    assert "K562" not in drawn(one)


def test_csv_holds_every_score_exactly(tables: dict[str, Table]) -> None:
    lines = list(csv.DictReader(io.StringIO(as_csv(tables))))
    assert len(lines) == 3 * 3 * 2
    found = {(x["row"], x["scope"], x["name"], x["metric"]): x for x in lines}
    assert float(found["scDFM", "condition", "A+B", "mse"]["value"]) == 0.002
    assert found["control", "overall", "", "pearson_delta"]["value"] == ""
    assert found["control", "overall", "", "pearson_delta"]["undefined"] == "2"


def test_a_difference_within_noise_is_marked(tables: dict[str, Table]) -> None:
    def less(low: float, high: float, *, within_noise: bool) -> dict[str, Difference]:
        counts = {"wins": 3, "losses": 2, "conditions": 5}
        ends = {"value": (low + high) / 2, "interval": (low, high)}
        return {"mse": Difference(**ends, **counts, within_noise=within_noise)}

    differences = {
        "control": less(-0.01, -0.005, within_noise=False),
        "perturbed mean": less(-0.003, 0.001, within_noise=True),
    }
    assert not any(one["mse"].identical for one in differences.values())
    out = io.StringIO()
    for part in pages(tables, differences=differences):
        Console(file=out, width=200).print(part, markup=False)
    rows = [line.split("  ") for line in out.getvalue().splitlines() if "0.0" in line]
    lines = {row[1].strip(): " ".join(row) for row in rows}
    assert "0.00800 ~" in lines["perturbed mean"]
    assert "~" not in lines["control"]
    assert "~ within noise of scDFM" in out.getvalue()


def test_rows_with_the_same_scores_are_identical_and_have_no_interval() -> None:
    def differs(value: float, end: float) -> Difference:
        ends = {"value": value, "interval": (-end, end), "within_noise": True}
        return Difference(**ends, wins=0, losses=0, conditions=5)

    known = [("same", "mse", differs(0.0, 0.0), 5), ("other", "mse", differs(0.0, 0.1), 5)]
    [grid] = difference_grid(known, title="a less each other row")
    out = io.StringIO()
    Console(file=out, width=200).print(grid, markup=False)
    same, other = (line for line in out.getvalue().splitlines() if " mse " in line)
    assert same.rstrip().endswith("identical")
    assert " to " not in same
    assert "-0.10000 to +0.10000" in other
    # The table above has a sign for each of these words, and the same words in its legend.
    rows = {name: table(0.1, score(0.5)) for name in ("a", "same", "other")}
    out = io.StringIO()
    for part in pages(rows, differences={row: {metric: one} for row, metric, one, _ in known}):
        Console(file=out, width=200).print(part, markup=False)
    text = out.getvalue()
    signs = {line.split()[0]: line.split()[2] for line in text.splitlines() if " 0." in line}
    assert (signs["same"], signs["other"]) == ("=", "~")
    assert text.index("= identical to a") < text.index("~ within noise of a")
    assert other.rstrip().endswith("within noise")


def test_values_of_other_units_are_not_said_to_be_identical() -> None:
    """0.75 of two units is not 0.81 of four, even if these two score the same in both rows."""
    same = Difference(value=0.0, interval=(0, 0), wins=0, losses=0, conditions=2, within_noise=True)
    fewer = Score(value=0.75, conditions=2, undefined=2)
    rows = {"a": table(0.1, score(0.81)), "fewer": table(0.1, fewer)}
    out = io.StringIO()
    for part in pages(rows, differences={"fewer": {"mse": same, "pearson_delta": same}}):
        Console(file=out, width=200).print(part, markup=False)
    [line] = (line for line in out.getvalue().splitlines() if line.strip().startswith("fewer"))
    assert line.split() == ["fewer", "0.10000", "=", "0.75000"]
