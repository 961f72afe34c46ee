"""What a sweep has spent, what it may spend, and how more is allowed."""

import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.storages import InMemoryStorage
from ray.tune.search import Searcher

from sweeps import SweepConfig
from sweeps.budget import Spent, beside, extend, extended, require_used_up, without_gain
from sweeps.directory import SweepDirectory
from sweeps.dry_run import dry_run, planned
from sweeps.ledger import Event, Ledger, State, Trial
from sweeps.proposals.search import StudySearch
from sweeps.running import SweepFailedError, _left
from sweeps.study import _pending, left_of, nothing_left, queued, to_come, tune
from sweeps.watch import Watch
from sweeps.winners.concluded import conclude


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def begun(sweep: SweepConfig, *events: Event) -> Ledger:
    """The ledger of a sweep with these events."""
    sweep.directory.mkdir(parents=True, exist_ok=True)
    ledger = SweepDirectory(sweep.directory).ledger
    for event in events:
        ledger.write(event)
    return ledger


def trial(key: str, state: State, *values: float, seconds: float = 60.0) -> list[Event]:
    """Events of a trial on two splits."""
    start: Event = {
        "event": "start",
        "trial": key,
        "configuration": {"graph.k": 4},
        "baseline": False,
    }
    ends: list[Event] = [
        {"event": "split", "trial": key, "split": at, "value": value}
        for at, value in enumerate(values)
    ]
    if state != "running":
        ends.append({"event": state, "trial": key, "seconds": seconds})
    return [start, *ends]


def sweep_of(tiny: dict[str, Any], **budget: Any) -> SweepConfig:
    return SweepConfig.model_validate(tiny | {"budget": budget})


def test_hours_of_devices_are_those_of_each_session(tiny: dict[str, Any]) -> None:
    sweep = sweep_of(tiny, trials=9, device_hours=0.1)
    ledger = begun(
        sweep,
        *trial("old", "complete", 1, 1, seconds=60),  # a session of an older version
        {"event": "session", "devices": 4.0},
        *trial("a", "pruned", 1, seconds=60),
        {"event": "session", "devices": 0.5},
        *trial("b", "failed", seconds=60),
    )
    assert ledger.device_hours(usual=1) == pytest.approx(5.5 / 60)
    assert Spent.of(sweep, ledger).over(sweep.budget) is None
    begun(sweep, *trial("c", "complete", 1, 1, seconds=90))
    assert Spent.of(sweep, ledger).over(sweep.budget) == "budget.device_hours"


def test_a_sweep_ends_after_trials_that_found_nothing_better(tiny: dict[str, Any]) -> None:
    sweep = sweep_of(tiny, trials=9, no_gain=2)
    ledger = begun(sweep, *trial("a", "complete", 3, 3), *trial("b", "complete", 1, 1))
    assert Spent.of(sweep, ledger).no_gain == 0
    begun(sweep, *trial("c", "pruned", 2), *trial("d", "infeasible"), *trial("e", "running"))
    assert Spent.of(sweep, ledger).over(sweep.budget) is None
    begun(sweep, *trial("f", "complete", 2, 1))
    assert Spent.of(sweep, ledger).over(sweep.budget) == "budget.no_gain"
    begun(sweep, *trial("g", "complete", 0.5, 0.5))
    assert Spent.of(sweep, ledger).over(sweep.budget) is None


def test_more_is_better_where_it_is(tiny: dict[str, Any]) -> None:
    sweep = SweepConfig.model_validate(tiny | {"objective": {"metric": "pearson_delta"}})
    values = {"a": 0.2, "b": 0.1, "c": 0.1}
    trials = [
        Trial(
            key=key,
            number=at,
            configuration={},
            baseline=False,
            state="complete",
            values={0: value},
        )
        for at, (key, value) in enumerate(values.items(), start=1)
    ]
    assert without_gain(sweep, trials) == 2


def test_what_is_infeasible_costs_no_trial(tiny: dict[str, Any]) -> None:
    sweep = sweep_of(tiny, trials=2)
    ledger = begun(sweep, *trial("a", "infeasible"), *trial("b", "complete", 1, 1))
    assert Spent.of(sweep, ledger).over(sweep.budget) is None


def test_a_sweep_that_is_not_there_is_not_extended(tiny: dict[str, Any]) -> None:
    """Told before the store is opened, which here is none."""
    nowhere = {**tiny["base"], "store": "nowhere.zarr"}
    sweep = sweep_of({**tiny, "name": "nope", "base": nowhere}, trials=2)
    for asked in (tune, dry_run):
        with pytest.raises(ValueError, match=r"no sweep \S*nope yet, so --extend has nothing to"):
            asked(sweep, extend=2)
    assert not sweep.directory.exists()


def test_a_budget_that_is_used_up_is_extended_and_asking_again_adds_nothing(
    tiny: dict[str, Any],
) -> None:
    sweep = sweep_of(tiny, trials=2)
    ledger = begun(sweep, *trial("a", "complete", 1, 1))
    with pytest.raises(ValueError, match=r"1 of 2 trials are left; run `scdfm tune` without"):
        require_used_up(sweep, ledger)
    begun(sweep, *trial("b", "complete", 2, 2))
    assert extend(sweep, ledger, more=3).budget.trials == 5
    assert extended(sweep, ledger).budget.trials == 5
    with pytest.raises(ValueError, match="3 of 5 trials are left"):
        extend(sweep, ledger, more=3)
    begun(sweep, *(event for key in "cde" for event in trial(key, "pruned", 3)))
    assert extend(sweep, ledger, more=1).budget.trials == 6
    # A budget that was changed in the file since then counts.
    assert extended(sweep_of(tiny, trials=4), ledger).budget.trials == 4


def test_a_dry_run_of_an_extension_plans_its_trials_and_writes_nothing(
    tiny: dict[str, Any],
) -> None:
    sweep = sweep_of(tiny, trials=2)
    ledger = begun(sweep, *trial("a", "complete", 1, 1))
    with pytest.raises(ValueError, match="1 of 2 trials are left"):
        planned(sweep, ledger, extend=3)
    begun(sweep, *trial("b", "complete", 2, 2))
    before = ledger.path.read_bytes()
    assert to_come(planned(sweep, ledger, extend=None), ledger) == 0
    assert to_come(planned(sweep, ledger, extend=3), ledger) == 3
    assert ledger.path.read_bytes() == before
    extend(sweep, ledger, more=4)
    assert to_come(planned(sweep, ledger, extend=None), ledger) == 4


def test_extending_a_sweep_that_found_nothing_better_begins_to_count_anew(
    tiny: dict[str, Any],
) -> None:
    sweep = sweep_of(tiny, trials=40, no_gain=2)
    ledger = begun(sweep, *(event for key in "abc" for event in trial(key, "complete", 1, 1)))
    assert Spent.of(sweep, ledger).over(sweep.budget) == "budget.no_gain"
    plan = planned(sweep, ledger, extend=5)  # of a dry run, before anything is written
    assert (to_come(plan, ledger), nothing_left(plan, ledger)) == (5, False)
    more = extend(sweep, ledger, more=5)
    assert more.budget.trials == 8
    assert Spent.of(more, ledger).over(more.budget) is None


@pytest.mark.parametrize(
    ("part", "allowed"), [("hours", 1.0), ("device_hours", 0.02 / 3600)], ids=["hours", "devices"]
)
def test_time_that_a_session_used_up_is_used_up_for_the_next(
    tiny: dict[str, Any], part: str, allowed: float
) -> None:
    sweep = sweep_of(tiny, trials=9, **{part: allowed})
    an_hour_ago = time.time() - 3601
    ledger = begun(
        sweep,
        {"event": "session", "time": an_hour_ago},
        *({**event, "time": an_hour_ago} for event in trial("a", "running")),
    )
    watch = Watch(sweep, ledger=ledger, report=lambda event: None)
    asked = SimpleNamespace(trial_id="t", config=sweep.baseline)
    watch._keys["t"] = "a"
    assert _pending(sweep, ledger)
    with suppress(KeyboardInterrupt), _left(watch):
        watch.on_trial_start(0, [asked], asked)
        time.sleep(0.03)
        raise KeyboardInterrupt
    assert Spent.of(sweep, ledger).over(sweep.budget) == f"budget.{part}"
    assert not _pending(sweep, ledger)
    assert (left_of(sweep, ledger), to_come(sweep, ledger)) == (9, 0)
    with pytest.raises(
        SweepFailedError, match=rf"none of 1 trials .* raise budget\.{part}, or see"
    ):
        conclude(sweep, ledger)
    # What it took is not added again by the next session, which ends it.
    (known,) = ledger.trials()
    again = Watch(sweep, ledger=ledger, report=lambda event: None)
    assert again.device_hours == pytest.approx(known.seconds / 3600)
    assert (known.state, known.seconds >= 0.03) == ("running", True)


def test_trials_that_a_kill_left_open_are_ended_though_enough_found_nothing_better(
    tiny: dict[str, Any],
) -> None:
    sweep = sweep_of(tiny, trials=9, no_gain=2)
    best, *others = (dict(sweep.baseline, **{"graph.k": k}) for k in (4, 8, 12, 8))
    open_one = others.pop() | {"model.width": 8}
    events = [*trial("a", "complete", 1, 1), *trial("open", "running", 2)]
    events += [*trial("b", "complete", 2, 2), *trial("c", "complete", 2, 2)]
    starts = iter([best, open_one, *others])
    ledger = begun(
        sweep,
        *(
            {**event, "configuration": next(starts)} if event["event"] == "start" else event
            for event in events
        ),
    )
    assert Spent.of(sweep, ledger).over(sweep.budget) == "budget.no_gain"
    assert _pending(sweep, ledger)
    assert (left_of(sweep, ledger), to_come(sweep, ledger)) == (6, 1)
    earlier = ledger.trials()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    search = StudySearch(
        sweep,
        storage=InMemoryStorage(),
        name="toy",
        earlier=earlier,
        first=queued(sweep, earlier, ending=True),
        trials=left_of(sweep, ledger),
        enough=lambda: without_gain(sweep, ledger.trials()) >= 2,
    )
    assert search.suggest("1") == open_one
    assert search.suggest("2") is None  # until it is known how the open one ends
    search.on_trial_complete("1", {"value": 2.0, "rung": 2, "complete": True})
    assert search.suggest("3") == Searcher.FINISHED
    begun(sweep, {"event": "complete", "trial": "open", "seconds": 1.0})
    assert not _pending(sweep, ledger)


def test_time_that_is_used_up_is_not_extended_by_trials(tiny: dict[str, Any]) -> None:
    sweep = sweep_of(tiny, trials=2, device_hours=0.01)
    ledger = begun(sweep, *trial("a", "complete", 1, 1))
    with pytest.raises(
        ValueError, match=r"budget.device_hours is used up .* --set budget.device_h"
    ):
        extend(sweep, ledger, more=3)


def test_a_fresh_sweep_has_the_next_free_name(tiny: dict[str, Any]) -> None:
    sweep = sweep_of(tiny, trials=2)
    assert beside(sweep).name == "tiny"
    for name in ("tiny", "tiny-2"):
        (sweep.output / name).mkdir(parents=True)
    assert beside(sweep).name == "tiny-3"
