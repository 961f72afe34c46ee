"""Whoever reads a sweep calls the same trial best as `scdfm tune` did, further seeds or not."""

import pytest

from cli.show.sweep.state import best_of
from cluster.report.page import Figure, Table, Text
from sweeps import SweepConfig
from sweeps.directory import SweepDirectory
from sweeps.ledger import Event, Ledger
from sweeps.report import search_section
from sweeps.results import Chosen, choice, leaderboard, write_choice
from sweeps.schema.rules import ConfirmConfig
from sweeps.space import trial_key
from sweeps.watching.now import now
from sweeps.winners.concluded import unconfirmed
from sweeps.winners.rule import note_rule, rule_of

TOP = ConfirmConfig(top=2, seeds=3)


@pytest.fixture
def sweep(tiny_sweep: SweepConfig) -> SweepConfig:
    return tiny_sweep.model_copy(update={"confirm": TOP, "splits": tiny_sweep.splits[:1]})


@pytest.fixture
def directory(sweep: SweepConfig) -> SweepDirectory:
    """A sweep whose trial 2 was lucky with its first seed, as the ledger of an older version."""
    directory = SweepDirectory(sweep.directory)
    with directory.held():
        directory.lock.take(sweep, fingerprint="f" * 64, begun=False)
    directory.ledger.write({"event": "session", "trials": 3})
    first, later = {1: 0.5, 2: 0.1, 3: 0.2}, {1: 0.5, 2: 0.9, 3: 0.2}
    for number, value in first.items():
        write(sweep, directory.ledger, number, value)
    for number, value in later.items():
        for seed in (1, 2):
            write(sweep, directory.ledger, number, value + 0.01 * seed, seed=seed)
    return directory


def write(
    sweep: SweepConfig, ledger: Ledger, number: int, value: float, *, seed: int | None = None
) -> None:
    tried = {**sweep.baseline, "loss.mmd_weight": float(number)} if number > 1 else sweep.baseline
    key, again = trial_key(sweep, tried), f"{number} with {seed}"
    start: Event = {"event": "start", "trial": key, "configuration": tried, "baseline": number == 1}
    if seed is not None:
        start |= {"trial": again, "configuration": {**tried, "seed": seed}, "confirms": key}
    ledger.write(start)
    name = start["trial"]
    ledger.write({"event": "split", "trial": name, "split": 0, "value": value})
    ledger.write({"event": "complete", "trial": name, "seconds": 1.0})


def called_best(directory: SweepDirectory) -> tuple[int, int, int]:
    """By inspect, by the report's table, by its figure."""
    found = now(directory).best
    assert found is not None
    section = search_section(directory)
    [board] = [one for one in section.blocks if isinstance(one, Table)]
    [strong] = [row[0].text for row in board.rows if any(cell.strong for cell in row)]
    assert strong == board.rows[0][0].text
    [drawn] = [one for one in section.blocks if isinstance(one, Figure) and one.name == "parallel"]
    return found.trial, int(strong), int(drawn.text.split("The best, trial ")[1].split(",")[0])


@pytest.mark.parametrize("older", [True, False])
def test_a_lucky_trial_is_called_best_by_nobody(
    sweep: SweepConfig, directory: SweepDirectory, older: bool
) -> None:
    if not older:
        note_rule(directory.ledger, TOP)
    rows = leaderboard(sweep, directory.ledger.trials(), directory.ledger.repeats())
    assert rows[0].trial == 3
    write_choice(Chosen(trial=3, choice=choice(sweep, rows)), directory)
    assert now(directory).state == ("done" if older else "stopped")
    assert called_best(directory) == (3, 3, 3)
    directory.ledger.close()
    assert called_best(directory) == (3, 3, 3)
    best = now(directory).best
    assert best is not None
    assert best_of(best, metric="mse") == "trial 3: mse 0.215 over further seeds, base 0.515"
    [board] = [one for one in search_section(directory).blocks if isinstance(one, Table)]
    assert board.columns[:3] == ("trial", "mse", "further seeds")
    assert [cell.text for cell in board.rows[0][:3]] == ["3", "0.2", "0.215"]
    assert board.rows[0][2].strong


def test_without_further_seeds_the_first_one_decides_again(directory: SweepDirectory) -> None:
    note_rule(directory.ledger, None)
    assert called_best(directory) == (2, 2, 2)
    lines = list(directory.ledger.events())
    note_rule(directory.ledger, None)
    assert list(directory.ledger.events()) == lines
    note_rule(directory.ledger, TOP)
    assert rule_of(list(directory.ledger.events())) == TOP
    assert called_best(directory) == (3, 3, 3)


def test_a_report_of_a_sweep_that_goes_on_says_that_another_is_first(
    sweep: SweepConfig, directory: SweepDirectory
) -> None:
    write_choice(Chosen(trial=1, choice="trial 1, the base itself, is the best"), directory)
    told = next(one.text for one in search_section(directory).blocks if isinstance(one, Text))
    assert told.endswith(
        "is the best. The sweep has gone on since, and trial 3 is first now; the best model is "
        "still that of trial 1."
    )


def test_one_of_the_best_whose_further_seed_failed_is_named(sweep: SweepConfig) -> None:
    directory = SweepDirectory(sweep.directory)
    directory.path.mkdir(parents=True)
    for number, value in {1: 0.5, 2: 0.1, 3: 0.2}.items():
        write(sweep, directory.ledger, number, value)
    write(sweep, directory.ledger, 3, 0.2, seed=1)
    tried = {**sweep.baseline, "loss.mmd_weight": 2.0}
    again: Event = {"event": "start", "trial": "again", "baseline": False}
    own = {**tried, "seed": 1}
    directory.ledger.write(again | {"configuration": own, "confirms": trial_key(sweep, tried)})
    directory.ledger.write(
        {"event": "failed", "trial": "again", "seconds": 1.0, "error": "no disk"}
    )
    [line] = unconfirmed(sweep, directory.ledger)
    assert line.startswith("trial 2 is not ranked among the best")
    assert line.endswith("since seed 1 of it failed: no disk; the same command tries that again")
    own = {**sweep.baseline, "seed": 1}
    base: Event = {"event": "start", "trial": "base", "baseline": False}
    key = trial_key(sweep, sweep.baseline)
    directory.ledger.write(base | {"configuration": own, "confirms": key})
    directory.ledger.write({"event": "failed", "trial": "base", "seconds": 1.0, "error": "no disk"})
    assert [one.split()[1] for one in unconfirmed(sweep, directory.ledger)] == ["2", "1"]
