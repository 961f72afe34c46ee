"""Time left and device-hours are told once, for the bar and for who looks at a sweep's files."""

from types import SimpleNamespace

import pytest

from sweeps import SweepConfig
from sweeps.directory import SweepDirectory
from sweeps.events import SweepEvent
from sweeps.ledger import Event, Trial
from sweeps.proposals.confirm import Repeat
from sweeps.watch import Watch
from sweeps.watching.left import seconds_left
from sweeps.watching.now import now


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
