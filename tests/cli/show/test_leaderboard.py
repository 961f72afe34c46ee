"""The trials of a sweep on the terminal."""

import io
from pathlib import Path

from rich.console import Console

from cli.show.leaderboard import draw
from sweeps.results import Row


def row(**changes: object) -> Row:
    values = {
        "rank": 1,
        "trial": 2,
        "baseline": False,
        "state": "complete",
        "value": 0.0123456,
        "splits": (0.01, 0.0146912),
        "configuration": {"graph.k": 10, "loss.mmd_weight": 0.25},
        "seconds": 75.0,
        "error": None,
        "directory": Path("runs/s/trials/a"),
    }
    return Row.model_validate({**values, **changes})


def drawn(*rows: Row) -> list[list[str]]:
    out = io.StringIO()
    Console(file=out, width=200).print(draw(rows, metric="mse", mode="min"))
    return [line.split("  ") for line in out.getvalue().splitlines() if line.strip(" ─")]


def words(line: list[str]) -> list[str]:
    return [word.strip() for word in line if word.strip()]


def test_a_trial_shows_value_splits_settings_and_time() -> None:
    head, first = drawn(row())
    assert words(head) == [
        "rank", "trial", "mse ↓", "split 0", "split 1", "graph.k", "loss.mmd_weight", "time",
    ]  # fmt: skip
    assert words(first) == ["1", "2", "0.012346", "0.01", "0.014691", "10", "0.25", "1 min 15 s"]


def test_a_listed_configuration_is_known_by_its_name() -> None:
    head, first, other = drawn(row(name="no graph"), row(rank=2))
    assert words(head)[:3] == ["rank", "trial", "name"]
    assert words(first)[:3] == ["1", "2", "no graph"]
    assert words(other)[:3] == ["2", "2", "-"]


def test_one_split_needs_no_column_of_its_own() -> None:
    assert "split 0" not in words(drawn(row(splits=(0.01,)))[0])


def test_the_base_and_how_a_trial_ended_are_told() -> None:
    lost = {"rank": None, "value": None, "splits": (None, None)}
    lines = drawn(
        row(baseline=True),
        row(state="pruned", **lost),
        row(state="failed", error="ValueError: too wide", **lost),
    )
    assert words(lines[1])[-1] == "base"
    assert words(lines[2])[-1] == "pruned"
    assert words(lines[3])[-1] == "failed, ValueError: too wide"
    assert words(lines[2])[0] == "-"


def test_a_score_of_fewer_splits_is_in_brackets_and_says_so() -> None:
    lost = {"rank": None, "value": None, "splits": (0.01, None), "state": "pruned"}
    line = drawn(row(so_far=0.02, of_splits=1, **lost))[1]
    assert "(0.02)" in words(line)
    assert words(line)[-1] == "pruned (score so far: 1 of 2 splits)"
