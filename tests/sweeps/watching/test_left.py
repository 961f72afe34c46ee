"""Time left and device-hours are told once, for the bar and for who looks at a sweep's files."""

from types import SimpleNamespace

import pytest

from sweeps import SweepConfig
from sweeps.directory import SweepDirectory
from sweeps.events import SweepEvent
from sweeps.ledger import Event, Trial
from sweeps.proposals.confirm import Repeat
from sweeps.schema.rules import ConfirmConfig
from sweeps.watch import Watch
from sweeps.watching.left import seconds_left, seconds_of_seeds
from sweeps.watching.now import now
from sweeps.winners.rule import note_rule


def trial(key: str, *, took: float | None = None) -> Trial:
    """A trial that has ended, or one that runs."""
    one = Trial(key=key, number=1, configuration={}, baseline=False)
    if took is not None:
        one.state, one.seconds = "complete", took
    return one


@pytest.mark.parametrize(
    ("trials", "wanted", "at_once", "left"),
    [
        ([trial("a")], 2, 1, None),
        ([trial("a", took=600)], 2, 1, 600),
        ([trial("a", took=600), trial("b")], 3, 1, 1_100),
        ([trial("a", took=600), trial("b")], 2, 4, 500),
        ([trial("a", took=600), trial("b", took=200)], 6, 2, 800),
        ([trial("a", took=50), trial("b")], 2, 1, None),
        ([trial("a", took=50), trial("b")], 3, 1, 50),
        ([trial("a", took=600)], 1, 1, 0),
    ],
    ids=[
        "none ended",
        "new",
        "one runs",
        "the last",
        "side by side",
        "late",
        "late and new",
        "over",
    ],
)
def test_what_is_left_follows_from_the_trials_that_ended(
    trials: list[Trial], wanted: int, at_once: int, left: float | None
) -> None:
    assert seconds_left(trials, wanted=wanted, at_once=at_once, took=lambda one: 100) == left


def test_the_bar_of_a_sweep_and_one_who_looks_at_it_tell_the_same(tiny_sweep: SweepConfig) -> None:
    directory = SweepDirectory(tiny_sweep.directory)
    events: list[SweepEvent] = []
    with directory.held():
        directory.lock.take(tiny_sweep, fingerprint="f" * 64, begun=False)
        total = tiny_sweep.budget.trials
        written: list[Event] = [
            {"event": "session", "trials": total, "concurrent": 1},
            {"event": "start", "trial": "a", "configuration": {"graph.k": 3}, "baseline": False},
            {"event": "complete", "trial": "a", "seconds": 600.0},
        ]
        for event in written:
            directory.ledger.write(event)
        watch = Watch(tiny_sweep, ledger=directory.ledger, report=events.append)
        asked = SimpleNamespace(trial_id="t", config=tiny_sweep.baseline)
        watch.on_trial_start(0, [asked], asked)
        looked = now(directory)
    assert events[-1].left == pytest.approx(600 * (total - 1), abs=5)
    assert looked.left == pytest.approx(events[-1].left, abs=5)
    assert (events[-1].kind, events[-1].states["running"]) == ("start", 1)


def test_of_equal_trials_the_base_is_the_best_for_the_bar_and_the_board(
    tiny_sweep: SweepConfig,
) -> None:
    sweep = tiny_sweep.model_copy(update={"confirm": ConfirmConfig(top=1, seeds=2)})
    directory = SweepDirectory(sweep.directory)
    events: list[SweepEvent] = []
    seeded = {**sweep.baseline, "seed": 1}
    with directory.held():
        directory.lock.take(sweep, fingerprint="f" * 64, begun=False)
        note_rule(directory.ledger, sweep.confirm)
        directory.ledger.write({"event": "session", "trials": 2, "concurrent": 1})
        for name, configuration in (("a", {"graph.k": 3}), ("b", sweep.baseline)):
            start: Event = {"event": "start", "trial": name, "configuration": configuration}
            directory.ledger.write({**start, "baseline": name == "b"})
            for split in (0, 1):
                told: Event = {"event": "split", "trial": name, "split": split, "value": 1.0}
                directory.ledger.write(told)
            directory.ledger.write({"event": "complete", "trial": name, "seconds": 1.0})
        for repeats in ((), (Repeat(seeded, confirms="b"),)):
            watch = Watch(sweep, ledger=directory.ledger, report=events.append, repeats=repeats)
            asked = SimpleNamespace(
                trial_id="t", config=seeded if repeats else {**sweep.baseline, "graph.k": 8}
            )
            watch.on_trial_start(0, [asked], asked)
        looked = now(directory).best
    assert looked is not None
    assert (looked.trial, looked.value) == (2, 1.0)
    assert [(one.best_trial, one.best) for one in events] == [(2, 1.0), (2, 1.0)]


def done(key: str, *, value: float, took: float, k: int = 4) -> Trial:
    """A trial that has finished both splits of the tiny sweep."""
    one = trial(key, took=took)
    one.configuration, one.values = {"graph.k": k}, {0: value, 1: value}
    return one


@pytest.mark.parametrize(
    ("trials", "repeats", "wanted", "left"),
    [
        # Two places and the base, two further seeds each: six trainings, two at a time.
        (["base", "good", "better"], 0, 3, 6 / 2 * 100),
        (["base", "good", "better"], 1, 3, 5 / 2 * 100),
        (["base"], 0, 3, 4 / 2 * 100),
        (["base"], 0, 1, 2 / 2 * 100),
        ([], 0, 3, 0),
    ],
    ids=["known", "one is trained", "a place is free", "the base alone", "nothing has ended"],
)
def test_further_seeds_take_as_long_as_whole_trials(
    tiny_sweep: SweepConfig, trials: list[str], repeats: int, wanted: int, left: float
) -> None:
    sweep = tiny_sweep.model_copy(update={"confirm": ConfirmConfig(top=2, seeds=3)})
    found = [
        done(key, value=value, took=100, k=k)
        for key, value, k in (("base", 3.0, 4), ("good", 2.0, 8), ("better", 1.0, 12))
        if key in trials
    ]
    for one in found:
        one.baseline = one.key == "base"
    pruned = trial("pruned", took=1)
    pruned.state = "pruned"
    trained = [done("again", value=2.0, took=100, k=8) for _ in range(repeats)]
    for one in trained:
        one.configuration = {**one.configuration, "seed": 1}
    every = [*found, pruned] if found else []
    seconds = seconds_of_seeds(
        sweep, every, repeats=trained, wanted=wanted + bool(found), at_once=2
    )
    assert seconds == left


def test_the_time_left_of_a_search_has_its_further_seeds(tiny_sweep: SweepConfig) -> None:
    sweep = tiny_sweep.model_copy(update={"confirm": ConfirmConfig(top=1, seeds=2)})
    directory = SweepDirectory(sweep.directory)
    events: list[SweepEvent] = []
    with directory.held():
        directory.lock.take(sweep, fingerprint="f" * 64, begun=False)
        note_rule(directory.ledger, sweep.confirm)
        written: list[Event] = [
            {"event": "session", "trials": 3, "concurrent": 1},
            {"event": "start", "trial": "a", "configuration": {"graph.k": 3}, "baseline": True},
            {"event": "split", "trial": "a", "split": 0, "value": 1.0},
            {"event": "split", "trial": "a", "split": 1, "value": 1.0},
            {"event": "complete", "trial": "a", "seconds": 600.0},
        ]
        for event in written:
            directory.ledger.write(event)
        watch = Watch(sweep, ledger=directory.ledger, report=events.append)
        asked = SimpleNamespace(trial_id="t", config={"graph.k": 8})
        watch.on_trial_start(0, [asked], asked)
        looked = now(directory)
    assert looked.left_of_seeds == 600
    assert looked.left == pytest.approx(1800, abs=5)  # of it two more trials
    assert events[-1].left == pytest.approx(looked.left, abs=5)


def test_device_hours_of_earlier_further_seeds_are_in_the_bar_too(tiny_sweep: SweepConfig) -> None:
    directory = SweepDirectory(tiny_sweep.directory)
    events: list[SweepEvent] = []
    seeded = [{"graph.k": 3, "seed": seed} for seed in (1, 2)]
    with directory.held():
        directory.lock.take(tiny_sweep, fingerprint="f" * 64, begun=False)
        session: Event = {"event": "session", "trials": 2, "concurrent": 1, "devices": 1.0}
        start: Event = {"event": "start", "baseline": False}
        written: list[Event] = [
            session,
            {**start, "trial": "a", "configuration": {"graph.k": 3}},
            {"event": "complete", "trial": "a", "seconds": 600.0},
            {**session, "confirming": True},
            {**start, "trial": "b", "configuration": seeded[0], "confirms": "a"},
            {"event": "complete", "trial": "b", "seconds": 300.0},
            {"event": "end"},
            {**session, "confirming": True},
        ]
        for event in written:
            directory.ledger.write(event)
        repeats = [Repeat(seeded[1], confirms="a")]
        watch = Watch(tiny_sweep, ledger=directory.ledger, report=events.append, repeats=repeats)
        asked = SimpleNamespace(trial_id="t", config=seeded[1])
        watch.on_trial_start(0, [asked], asked)
        looked = now(directory)
    assert looked.device_hours == pytest.approx(900 / 3600, abs=1e-3)
    assert events[-1].device_hours == pytest.approx(looked.device_hours, abs=1e-3)
    assert watch.device_hours == pytest.approx(600 / 3600, abs=1e-3)  # what a budget counts
