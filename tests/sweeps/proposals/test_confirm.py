"""Further seeds of the best few, and what may then be said of the best."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweeps import SweepConfig
from sweeps.dry_run import further_trainings
from sweeps.ledger import Event, Ledger, State, Trial
from sweeps.proposals.confirm import (
    Verdict,
    compare,
    confirmed,
    failed_before,
    missing,
    scores,
    verdicts,
)
from sweeps.results import choice, leaderboard, write_leaderboard


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def sweep(tiny: dict[str, Any]) -> SweepConfig:
    space = {"graph.k": {"type": "int", "low": 1, "high": 9}}
    return SweepConfig.model_validate(tiny | {"space": space, "confirm": {"top": 2, "seeds": 3}})


def trial(sweep: SweepConfig, number: int, *values: float, state: State = "complete") -> Trial:
    """A trial whose graph.k is its number; the base is number 4, as its graph.k is."""
    return Trial(
        key=key(sweep, number),
        number=number,
        configuration={"graph.k": number},
        baseline=number == 4,
        state=state,
        values=dict(enumerate(values)),
    )


def key(sweep: SweepConfig, number: int) -> str:
    (repeat, *_) = missing(sweep, [{"graph.k": number}], repeats=())
    return repeat.confirms


def repeat(sweep: SweepConfig, number: int, seed: int, *values: float) -> Trial:
    again = trial(sweep, number, *values)
    again.key = f"{number} with {seed}"
    again.configuration = {"graph.k": number, "seed": seed}
    again.confirms = key(sweep, number)
    return again


def test_the_best_few_and_the_base_are_trained_with_further_seeds(sweep: SweepConfig) -> None:
    best = [{"graph.k": 7}, {"graph.k": 2}, {"graph.k": 4}]
    wanted = [(7, 1), (7, 2), (2, 1), (2, 2), (4, 1), (4, 2)]
    found = missing(sweep, best, repeats=())
    assert [(one.configuration["graph.k"], one.configuration["seed"]) for one in found] == wanted
    done = [repeat(sweep, 7, 1, 0.1, 0.1), repeat(sweep, 4, 2, 0.1, 0.1)]
    found = missing(sweep, best, repeats=done)
    assert len(found) == 4
    assert sweep.run(found[0].configuration, split=1).seed == 2
    plain = sweep.model_copy(update={"confirm": None})
    assert missing(plain, best, repeats=()) == []
    assert missing(sweep, [], repeats=()) == []


def test_a_trial_that_was_lucky_once_is_not_the_best(sweep: SweepConfig, tmp_path: Path) -> None:
    trials = [
        trial(sweep, 4, 0.5, 0.5),
        trial(sweep, 7, 0.1, 0.1),  # lucky
        trial(sweep, 2, 0.2, 0.2),
        trial(sweep, 3, 0.3, 0.3),
    ]
    repeats = [repeat(sweep, 7, seed, 0.6, 0.6) for seed in (1, 2)]
    repeats += [repeat(sweep, 2, seed, 0.21, 0.19) for seed in (1, 2)]
    repeats += [repeat(sweep, 4, seed, 0.52, 0.49) for seed in (1, 2)]
    rows = leaderboard(sweep, trials, repeats)
    assert [row.trial for row in rows] == [2, 4, 7, 3]  # 3 stands by its first seed
    assert rows[0].over_seeds == pytest.approx(0.2)
    assert rows[0].verdict is not None
    assert rows[0].verdict.high < 0
    assert choice(sweep, rows).startswith("trial 2 is better than the base: mse -0.305 (95 % -0.3")
    assert choice(sweep, rows).endswith("4 pairs of split and further seed, chosen among 2 trials)")
    write_leaderboard(rows, path=tmp_path / "board.csv")
    head, first, *_ = (tmp_path / "board.csv").read_text().splitlines()
    assert "value,sd,over_seeds,split 0" in head
    assert "difference,low,high,pairs,among" in head
    assert float(first.split(",")[6]) == pytest.approx(0.2)


def test_the_base_is_the_best_where_all_others_were_lucky(sweep: SweepConfig) -> None:
    trials = [trial(sweep, 4, 0.5, 0.5), *(trial(sweep, at, 0.1, 0.1) for at in (1, 2, 3))]
    repeats = [repeat(sweep, at, seed, 0.9, 0.9) for at in (1, 2) for seed in (1, 2)]
    repeats += [repeat(sweep, 4, seed, 0.5, 0.5) for seed in (1, 2)]
    rows = leaderboard(sweep, trials, repeats)
    assert rows[0].baseline
    assert choice(sweep, rows) == "trial 4, the base itself, is the best"


def test_the_seed_that_chose_a_trial_has_no_say_between_it_and_the_base(
    sweep: SweepConfig,
) -> None:
    trials = [trial(sweep, 4, 0.5, 0.5), trial(sweep, 7, 0.1, 0.1), trial(sweep, 2, 0.2, 0.2)]
    repeats = [repeat(sweep, at, seed, 0.5, 0.4) for at in (4, 7, 2) for seed in (1, 2)]
    rows = leaderboard(sweep, trials, repeats)
    assert [row.trial for row in rows] == [4, 2, 7]  # as good with further seeds, all of them
    assert [row.over_seeds for row in rows] == pytest.approx([0.45] * 3)
    repeats[2] = repeat(sweep, 7, 1, 0.5, 0.39)
    assert leaderboard(sweep, trials, repeats)[0].trial == 7


def test_a_trial_that_scores_as_the_base_does_is_not_the_best(sweep: SweepConfig) -> None:
    trials = [trial(sweep, at, 0.5, 0.4) for at in (1, 2, 4)]
    rows = leaderboard(sweep, trials)
    assert [row.trial for row in rows] == [4, 1, 2]
    assert choice(sweep, rows) == "trial 4, the base itself, is the best"
    assert leaderboard(sweep, [*trials, trial(sweep, 7, 0.5, 0.39)])[0].trial == 7


def test_a_difference_within_noise_is_a_tie(sweep: SweepConfig) -> None:
    trials = [trial(sweep, 4, 0.5, 0.4), trial(sweep, 7, 0.4, 0.45)]
    rows = leaderboard(sweep, trials)
    assert rows[0].verdict == compare({(0, 0): 0.4, (0, 1): 0.45}, {(0, 0): 0.5, (0, 1): 0.4})
    assert rows[0].verdict is not None
    assert rows[0].verdict.tie
    assert choice(sweep, rows).startswith("trial 7 and the base tie: mse -0.025 (95 % ")
    assert rows[1].verdict is None


def test_the_interval_of_one_chosen_among_many_holds_for_all_of_them(sweep: SweepConfig) -> None:
    trials = [
        trial(sweep, 4, 0.5, 0.4),
        trial(sweep, 7, 0.1, 0.2),
        trial(sweep, 2, 0.6, 0.6),
        trial(sweep, 3, 0.9, state="pruned"),
    ]
    rows = leaderboard(sweep, trials)
    # Three trials: t(1 - 0.025 / 3, 1) = 38.188; differences -0.4 and -0.2.
    assert rows[0].verdict is not None
    assert rows[0].verdict.high == pytest.approx(-0.3 + 38.188 * 0.1, abs=1e-3)
    assert choice(sweep, rows).endswith("2 pairs of split and seed, chosen among 3 trials)")


@pytest.mark.parametrize("top", [0, 3], ids=["not confirmed", "confirmed"])
def test_the_best_of_equal_configurations_is_rarely_called_better(top: int) -> None:
    trials, splits, seeds, repeats = 20, 5, 3, 400
    draw, better = np.random.default_rng(0), 0
    for _ in range(repeats):
        # The base is the first; splits differ, configurations do not.
        drawn = draw.normal(size=(trials + 1, seeds, splits)) + draw.normal(size=splits)
        best = drawn[1:, 0].mean(axis=1).argsort() + 1
        known = {
            str(one): {
                (seed, split): float(drawn[one, seed, split])
                for seed in range(seeds if one in {0, *best[:top]} and top else 1)
                for split in range(splits)
            }
            for one in range(trials + 1)
        }
        base = known.pop("0")
        chosen = min(best[: top or 1], key=lambda one: drawn[one].mean())
        found = verdicts(known, base, own=0, compared=trials)[str(chosen)]
        assert found is not None
        assert found.pairs == (2 * splits if top else splits)
        better += found.high < 0
    assert better <= 0.05 * repeats


def test_what_cannot_be_told_is_said(sweep: SweepConfig) -> None:
    one_split = sweep.model_copy(update={"splits": sweep.splits[:1]})
    rows = leaderboard(one_split, [trial(sweep, 4, 0.5), trial(sweep, 7, 0.4)])
    assert "one split and one seed cannot tell" in choice(one_split, rows)
    rows = leaderboard(sweep, [trial(sweep, 4, 0.5, state="pruned"), trial(sweep, 7, 0.4, 0.4)])
    pruned = "the base did not finish all splits to compare with: an older version pruned it"
    assert choice(sweep, rows).endswith(pruned)
    rows = leaderboard(sweep, [trial(sweep, 4, 0.5, state="failed"), trial(sweep, 7, 0.4, 0.4)])
    assert choice(sweep, rows).endswith("the base did not finish all splits to compare with")


def test_a_base_that_the_search_left_out_is_compared_by_its_further_seeds(
    sweep: SweepConfig,
) -> None:
    repeats = [repeat(sweep, at, seed, 0.1 * at, 0.1 * at) for at in (4, 7) for seed in (1, 2)]
    rows = leaderboard(sweep, [trial(sweep, 7, 0.7, 0.7)], repeats)
    assert rows[0].verdict is not None
    assert (rows[0].verdict.pairs, rows[0].verdict.tie) == (4, False)
    assert "is worse than the base: mse +0.3" in choice(sweep, rows)


def test_an_interval_is_that_of_students_t_over_pairs() -> None:
    base = {(seed, split): 1.0 for seed in (0, 1) for split in (0, 1)}
    other = {(0, 0): 0.8, (0, 1): 1.0, (1, 0): 0.6, (2, 0): 9.0}
    # Three pairs: mean -0.2, sd 0.2, t(0.975, 2) = 4.302653.
    half = 4.302653 * 0.2 / 3**0.5
    found = compare(other, base)
    assert found is not None
    assert found.pairs == 3
    assert (found.low, found.high) == (pytest.approx(-0.2 - half), pytest.approx(-0.2 + half))
    assert compare({(0, 0): 1.0}, base) is None
    assert not Verdict(difference=-1, low=-2, high=-0.5, pairs=3).tie


def test_seeds_that_did_not_end_confirm_nothing(sweep: SweepConfig) -> None:
    first = trial(sweep, 7, 0.1, 0.1)
    half = repeat(sweep, 7, 1, 0.2)
    half.state = "running"
    repeats = [half, repeat(sweep, 7, 2, 0.3, float("nan"))]
    known = scores(first, own=0, repeats=repeats)
    assert known == {(0, 0): 0.1, (0, 1): 0.1, (2, 0): 0.3}
    assert confirmed(sweep, known) is None


def test_a_dry_run_counts_the_trainings_with_further_seeds_that_are_missing(
    sweep: SweepConfig,
) -> None:
    sweep.directory.mkdir(parents=True)
    ledger = Ledger(sweep.directory)
    assert further_trainings(sweep, ledger, left=9) == 6  # two more of the two best and the base
    assert further_trainings(sweep, ledger, left=1) == 4  # of one trial and the base
    plain = sweep.model_copy(update={"confirm": None})
    assert further_trainings(plain, ledger, left=9) == 0
    trials = [trial(sweep, 4, 3, 3), trial(sweep, 7, 1, 1), trial(sweep, 2, 2, 2)]
    _write(ledger, *trials)
    assert further_trainings(sweep, ledger, left=0) == 6
    _write(ledger, *(repeat(sweep, number, 1, 1, 1) for number in (4, 7)))
    assert further_trainings(sweep, ledger, left=0) == 4
    assert further_trainings(sweep, ledger, left=1) == 5  # one more of the base, four of others
    _write(ledger, *(repeat(sweep, number, 2, 1, 1) for number in (4, 7)))
    _write(ledger, *(repeat(sweep, 2, seed, 1, 1) for seed in (1, 2)))
    assert further_trainings(sweep, ledger, left=0) == 0


def test_a_further_seed_that_failed_is_tried_again_once_by_each_command(sweep: SweepConfig) -> None:
    sweep.directory.mkdir(parents=True)
    ledger = Ledger(sweep.directory)
    best = [{"graph.k": number} for number in (7, 2)]
    _write(ledger, *(trial(sweep, number, 1, 1) for number in (4, 7, 2)))
    first, *others = [repeat(sweep, number, seed) for number in (7, 2, 4) for seed in (1, 2)]
    first.state = "failed"
    _write(ledger, first, *others)
    for _ in range(2):
        wanted = missing(sweep, best, repeats=ledger.repeats())
        assert [one.configuration for one in wanted] == [first.configuration]
        again = failed_before(wanted, repeats=ledger.repeats())
        assert again == [first.key]
        ledger.write({"event": "session", "confirming": True, "again": again})
        assert [one.key for one in ledger.repeats() if not one.over] == again
        # Killed here, the next session goes on with it and calls no end of it a second one.
        wanted = missing(sweep, best, repeats=ledger.repeats())
        assert [one.configuration for one in wanted] == [first.configuration]
        assert failed_before(wanted, repeats=ledger.repeats()) == []
        ledger.write({"event": "failed", "trial": first.key, "seconds": 1.0})
    ledger.write({"event": "session", "confirming": True, "again": again})
    ledger.write({"event": "complete", "trial": first.key, "seconds": 1.0})
    assert missing(sweep, best, repeats=ledger.repeats()) == []
    assert sum(one.seconds for one in ledger.repeats() if one.key == first.key) == 4


def _write(ledger: Ledger, *trials: Trial) -> None:
    for one in trials:
        start: Event = {
            "event": "start",
            "trial": one.key,
            "configuration": one.configuration,
            "baseline": one.baseline,
        }
        ledger.write(start if one.confirms is None else {**start, "confirms": one.confirms})
        for split, value in one.values.items():
            ledger.write({"event": "split", "trial": one.key, "split": split, "value": value})
        end: Event = {"event": "failed"} if one.state == "failed" else {"event": "complete"}
        ledger.write({**end, "trial": one.key, "seconds": 1.0})
