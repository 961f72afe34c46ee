"""The accuracy study goes on where it stopped, and its table says what was reached."""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    """The study's modules, by the end of their name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import accuracy
    import accuracy_cases
    import accuracy_lines
    import accuracy_table

    return {
        "study": accuracy,
        "cases": accuracy_cases,
        "lines": accuracy_lines,
        "table": accuracy_table,
    }


@pytest.mark.slow
def test_a_rerun_repeats_failures_and_nothing_else(
    scripts: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    monkeypatch.setitem(scripts["cases"].SETTINGS, "broken", {"training": {"steps": -1}})
    tiny = scripts["cases"].DataSet(
        "demo",
        ({"kind": "additive", "fold": 0},),
        simulators=(5,),
        size={"cells": 400, "genes": 40, "singles": 4, "doubles": 5},
        settings={"preset": "tiny"},
        settings_compared=("small", "broken"),
    )
    cases = scripts["cases"].cases(tiny, settings=None, seeds=1, cellflow=False)

    def lines() -> list[dict[str, Any]]:
        kept = tmp_path / "lines.jsonl"
        places = {"file": kept, "data": tmp_path, "work": tmp_path, "steps": None, "cellflow": None}
        scripts["study"].study(cases, **places)
        return list(scripts["lines"].read(kept))

    first, second = lines(), lines()
    assert [line["setting"] for line in first] == ["small", "broken"]
    assert [line["setting"] for line in second[len(first) :]] == ["broken"]
    assert {"scDFM", "additive"} <= first[0]["rows"].keys()
    page = scripts["table"].page(scripts["lines"].latest(second), command="command")
    assert "| demo | mse over additive | " in page
    assert page.count("- demo 0, broken, seed 0") == 1  # a failure that was repeated is one


def line(data: str, seed: int, rows: dict[str, dict[str, float]], **more: Any) -> dict[str, Any]:
    own = {"data": data, "split": 0, "setting": "small", "seed": seed, "code": "c", "rows": rows}
    return {
        **own,
        "seconds": {"train": 1.0},
        "apart": {},
        "how": "",
        "best_step": 1,
        "values": {},
        **more,
    }


def test_a_table_says_which_models_are_the_untrained_network(
    scripts: dict[str, ModuleType],
) -> None:
    rows = {"scDFM": {"mse": 2.0}}
    some = [line("demo", seed, rows, best_step=step) for seed, step in enumerate((0, 50, 0))]
    told = " ".join(scripts["table"].untrained([*some, line("papalexi", 0, rows)]))
    assert "2 of 3 on demo." in told
    assert "papalexi" not in told
    assert scripts["table"].untrained([line("demo", 0, rows)]) == []


def test_a_study_that_is_repeated_is_held_against_the_first_cell_by_cell(
    scripts: dict[str, ModuleType],
) -> None:
    rows = {"scDFM": {"mse": 2.0, "mmd2": 0.5, "frechet": None}, "additive": {"mse": 3.0}}
    first = [line("demo", seed, rows) for seed in range(8)]
    ours = {"mse": 2.0, "mmd2": 0.5}
    again = [
        line("demo", 0, {**rows, "shrunken": {"mse": 1.0}}, code="d"),  # knows more
        line("demo", 1, {**rows, "scDFM": {**ours, "mse": 2.1}}),
        line("demo", 2, rows, values={"seed": 5}),
        line("demo", 3, {"scDFM": {"mse": 2.1, "mmd2": None}}),
        line("demo", 4, {**rows, "scDFM": {**ours, "frechet": 0.1}}),
        {**line("demo", 5, {}), "error": "ValueError: no cells"},
        line("other", 0, rows),
    ]
    held = scripts["lines"].held_against(again, first)
    assert held.said == [
        "demo 0, small, seed 0: as before",
        "demo 0, small, seed 1: scDFM, mse 2.1, was 2",
        "demo 0, small, seed 2: of other settings than before",
        "demo 0, small, seed 3: lost scDFM mmd2, additive mse, scDFM, mse 2.1, was 2",
        "demo 0, small, seed 4: scDFM, frechet 0.1, was undefined",
        "demo 0, small, seed 5: failed: ValueError: no cells",
        "other 0, small, seed 0: the other study has no result",
        "2 cells of the other study: not done here",
    ]


def test_a_study_that_is_not_repeated_ends_with_another_status(
    scripts: dict[str, ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {"scDFM": {"mse": 2.0}, "additive": {"mse": 3.0}}

    def against(*lines: dict[str, Any]) -> str | int | None:
        file = tmp_path / f"{len(list(tmp_path.iterdir()))}.jsonl"
        for one in lines:
            scripts["lines"].append(file, one)
        told = ["--work", str(tmp_path), "--table", "--lines", str(tmp_path / "mine.jsonl")]
        try:
            scripts["study"].main([*told, "--against", str(file)])
        except SystemExit as end:
            return end.code
        return 0

    scripts["lines"].append(tmp_path / "mine.jsonl", line("demo", 0, rows))
    assert against(line("demo", 0, rows), line("demo", 1, rows)) == 0  # of a part
    assert against(line("demo", 0, {**rows, "shrunken": {"mse": 1.0}})) == 1
    assert against(line("demo", 1, rows)) == 1  # nothing is compared
    assert against() == 2
    assert "--against: no file" in capsys.readouterr().err


def test_a_target_is_judged_by_the_median_and_by_the_worst_where_that_is_promised(
    scripts: dict[str, ModuleType],
) -> None:
    def judged(*mse: float) -> str:
        rows = [{"scDFM": {"mse": one, "mmd2": 1.0}, "additive": {"mse": 2.0}} for one in mse]
        lines = [line("simulated", seed, one) for seed, one in enumerate(rows)]
        table = scripts["table"].targets_table(scripts["table"].together(lines))
        return next(row for row in table if row.startswith("| simulated | mse over additive"))

    assert "| 0.8 (0.9) | 3 | <= 0.85, worst <= 1.1 | 0.7 | yes |" in judged(1.6, 1.8, 1.0)
    assert judged(1.4, 1.4, 1.0).endswith("| goal |")
    assert judged(1.6, 1.0, 2.4).endswith("| **no** (worst) |")
    assert judged(1.8, 1.8, 1.0).endswith("| **no** |")
    assert judged().endswith("| not measured |")


def test_our_pearson_delta_is_held_against_the_median_of_the_peers(
    scripts: dict[str, ModuleType],
) -> None:
    lines = [line("norman_subset", 0, {"scDFM": {"mse": 0.5, "pearson_delta": 0.8}})] + [
        line("norman_subset", seed, {"CellFlow": {"pearson_delta": value}}, setting="CellFlow")
        for seed, value in enumerate((0.7, 0.9, 0.85))
    ]
    table = scripts["table"].targets_table(scripts["table"].together(lines))
    assert any(row.endswith("| 0.8 (0.8) | 1 | >= 0.85 |  | **no** |") for row in table)


def test_settings_are_compared_pair_by_pair(scripts: dict[str, ModuleType]) -> None:
    rows = {"scDFM": {"mse": 9.0}, "flow alone": {"mse": 2.0}}
    slower = {"setting": "other", "validation": 3.0, "seconds": {"train": 2.0}}
    one = scripts["cases"].DataSet("tuning", (), settings_compared=("small", "other"), tuning=True)
    lines = [line("tuning", 0, rows, validation=2.0), line("tuning", 0, rows, **slower)]
    alone = line("tuning", 1, rows, **slower)  # has no partner, so it says nothing
    table = scripts["table"].settings_table([*lines, alone], data=[one])
    assert table[-1] == "| tuning | other | 1.500 (1.500) | 1.000 (1.000) | 2.000 (2.000) | 1 |"


def test_a_torn_line_is_no_result(scripts: dict[str, ModuleType], tmp_path: Path) -> None:
    file = tmp_path / "lines.jsonl"
    file.write_text('{"key": "a"}\n{"key": "b", "ro')
    scripts["lines"].append(file, {"key": "c", "mse": float("nan")})
    assert list(scripts["lines"].read(file)) == [{"key": "a"}, {"key": "c", "mse": None}]
    assert scripts["lines"].done(scripts["lines"].read(file)) == {"a", "c"}


def test_the_results_that_are_kept_are_of_the_settings_that_the_script_has(
    scripts: dict[str, ModuleType],
) -> None:
    cases, lines = scripts["cases"], scripts["lines"]
    known = {one.name: one for one in cases.DATA}
    kept = list(lines.read(BENCHMARKS / "accuracy.jsonl"))
    assert {line["data"] for line in kept} == {*known}
    for line in kept:
        case = cases.Case(known[line["data"]], line["split"], line["setting"], line["seed"])
        assert json.loads(json.dumps(case.values(steps=None))) == line["values"], str(case)
