import csv
from pathlib import Path
from typing import Any

import pytest

from sweeps import SweepConfig
from sweeps.ledger import Event, State, Trial, fold
from sweeps.results import leaderboard, write_leaderboard


def trial(number: int, state: State, *values: float) -> Trial:
    return Trial(
        key=f"key{number}",
        number=number,
        configuration={"graph.k": number},
        baseline=number == 1,
        state=state,
        values=dict(enumerate(values)),
    )


def test_only_trials_with_all_splits_are_ranked(tiny: dict[str, Any]) -> None:
    sweep = SweepConfig.model_validate(tiny)
    trials = [
        trial(1, "complete", 0.3, 0.3),
        trial(2, "pruned", 0.1),
        trial(3, "complete", 0.2, 0.2),
        trial(4, "failed"),
        trial(5, "running", 0.1, 0.1),
    ]
    rows = leaderboard(sweep, trials)
    assert [(row.rank, row.trial) for row in rows] == [
        (1, 3),
        (2, 1),
        (None, 2),
        (None, 4),
        (None, 5),
    ]
    assert rows[2].value is None
    assert rows[2].splits == (0.1, None)


def test_a_trial_that_ended_early_has_its_score_so_far_apart_from_values(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    """Splits differ in how hard they are, so a mean over fewer of them is no value."""
    start: Event = {"event": "start", "configuration": {"graph.k": 4}, "baseline": False}
    events: list[Event] = [
        *({**start, "trial": key, "number": number} for number, key in enumerate("abc")),
        {"event": "split", "trial": "a", "split": 0, "value": 0.3},
        {"event": "split", "trial": "a", "split": 1, "value": 0.5},
        {"event": "complete", "trial": "a", "seconds": 1},
        {"event": "round", "trial": "b", "rung": 1, "value": 0.25},
        {"event": "split", "trial": "b", "split": 0, "value": 0.25},
        {"event": "round", "trial": "b", "rung": 3, "value": 0.125},
        {"event": "pruned", "trial": "b", "seconds": 1},
        {"event": "failed", "trial": "c", "seconds": 1, "error": "lost"},
    ]
    rows = leaderboard(SweepConfig.model_validate(tiny), fold(events))
    assert [(row.value, row.so_far, row.of_splits) for row in rows] == [
        (0.4, None, None),
        (None, 0.125, 2),
        (None, None, None),
    ]
    write_leaderboard(rows, path=tmp_path / "board.csv")
    told = list(csv.DictReader((tmp_path / "board.csv").read_text().splitlines()))
    assert [(row["value"], row["so_far"], row["of_splits"]) for row in told] == [
        ("0.4", "", ""),
        ("", "0.125", "2"),
        ("", "", ""),
    ]


def test_the_highest_wins_where_higher_is_better(tiny: dict[str, Any]) -> None:
    sweep = SweepConfig.model_validate(tiny | {"objective": {"metric": "pearson_delta"}})
    rows = leaderboard(sweep, [trial(1, "complete", 0.3, 0.3), trial(2, "complete", 0.4, 0.4)])
    assert rows[0].trial == 2


def test_equal_values_rank_in_the_order_of_the_trials(tiny: dict[str, Any]) -> None:
    sweep = SweepConfig.model_validate(tiny)
    rows = leaderboard(sweep, [trial(2, "complete", 1, 1), trial(1, "complete", 1, 1)])
    assert [row.trial for row in rows] == [1, 2]


def test_the_file_has_a_column_for_each_split_and_setting(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    sweep = SweepConfig.model_validate(tiny)
    path = tmp_path / "leaderboard.csv"
    write_leaderboard(leaderboard(sweep, [trial(1, "complete", 0.25, 0.75)]), path=path)
    (row,) = csv.DictReader(path.read_text().splitlines())
    assert (row["value"], row["split 0"], row["split 1"]) == ("0.5", "0.25", "0.75")
    assert (row["graph.k"], row["baseline"]) == ("1", "True")


def test_a_sweep_without_trials_has_an_empty_leaderboard(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "leaderboard.csv"
    write_leaderboard(leaderboard(SweepConfig.model_validate(tiny), []), path=path)
    assert list(csv.DictReader(path.read_text().splitlines())) == []


def test_a_row_is_a_plain_structure(tiny: dict[str, Any]) -> None:
    row = leaderboard(SweepConfig.model_validate(tiny), [trial(1, "complete", 1, 2)])[0]
    assert row.model_dump(mode="json")["value"] == pytest.approx(1.5)
