from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from sweeps import SweepConfig
from sweeps.ledger import State, Trial
from sweeps.objective import RUNG, VALUE
from sweeps.proposals.prune import say_if_base_is_pruned, scheduler
from sweeps.space import Configuration


def trial(number: int, state: State, *values: float) -> Trial:
    return Trial(
        key=f"key{number}",
        number=number,
        configuration={},
        baseline=False,
        state=state,
        rounds=dict(enumerate(values, start=1)),
    )


def decision(
    sweep: SweepConfig,
    earlier: list[Trial],
    *,
    rung: int,
    value: float,
    configuration: Configuration | None = None,
) -> str:
    """What becomes of a new trial that reaches a rung with a value."""
    known = scheduler(sweep, earlier=earlier)
    new = cast(Any, SimpleNamespace(trial_id="new", config=configuration or {}))
    known.on_trial_add(cast(Any, None), new)
    return str(known.on_trial_result(cast(Any, None), new, {RUNG: rung, VALUE: value}))


def test_a_new_trial_is_compared_with_trials_of_earlier_sessions(tiny: dict[str, Any]) -> None:
    sweep = SweepConfig.model_validate(tiny)
    earlier = [trial(1, "complete", 0.2, 0.2), trial(2, "pruned", 0.3)]
    assert decision(sweep, earlier, rung=1, value=0.9) == TrialScheduler.STOP
    assert decision(sweep, earlier, rung=1, value=0.1) == TrialScheduler.CONTINUE
    assert decision(sweep, [], rung=1, value=0.9) == TrialScheduler.CONTINUE


@pytest.mark.parametrize("rule", ["asha", "median"])
def test_the_base_is_never_stopped_and_stops_others(tiny: dict[str, Any], rule: str) -> None:
    prune = {"scheduler": rule} | ({"least": 1} if rule == "median" else {})
    sweep = SweepConfig.model_validate(tiny | {"prune": prune})
    earlier = [trial(1, "complete", 0.2, 0.2), trial(2, "pruned", 0.3)]
    base = decision(sweep, earlier, rung=1, value=0.9, configuration=sweep.baseline)
    assert base == TrialScheduler.CONTINUE
    assert decision(sweep, earlier, rung=1, value=0.9) == TrialScheduler.STOP
    known = [replace(trial(1, "complete", 0.2, 0.2), configuration=sweep.baseline, baseline=True)]
    assert decision(sweep, [*known, *earlier[1:]], rung=1, value=0.9) == TrialScheduler.STOP


def test_a_base_that_an_older_version_pruned_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    base = replace(trial(3, "pruned", 0.3), baseline=True)
    say_if_base_is_pruned([trial(1, "pruned", 0.3), replace(base, state="running")])
    assert not caplog.messages
    say_if_base_is_pruned([trial(1, "complete", 0.3), base])
    (line,) = caplog.messages
    assert line.startswith("an older version pruned the base, trial 3, and it is not trained again")


def test_a_trial_that_is_to_be_continued_is_not_compared_with_itself(tiny: dict[str, Any]) -> None:
    sweep = SweepConfig.model_validate(tiny)
    assert decision(sweep, [trial(1, "running", 0.1)], rung=1, value=0.9) == TrialScheduler.CONTINUE


def test_what_reached_its_last_round_is_not_pruned(tiny: dict[str, Any]) -> None:
    sweep = SweepConfig.model_validate(tiny | {"prune": {"grace": 4}})
    earlier = [trial(1, "complete", 0.1, 0.1, 0.1, 0.1)]
    assert decision(sweep, earlier, rung=4, value=0.9) == TrialScheduler.CONTINUE


def test_no_scheduler_prunes_nothing(tiny: dict[str, Any]) -> None:
    sweep = SweepConfig.model_validate(tiny | {"prune": {"scheduler": "none"}})
    assert isinstance(scheduler(sweep, earlier=[]), FIFOScheduler)


def test_the_median_is_taken_of_the_same_round_only(tiny: dict[str, Any]) -> None:
    median = {"scheduler": "median", "least": 3}
    sweep = SweepConfig.model_validate(tiny | {"prune": median})
    # Their first rounds are poor, so a mean over all rounds so far would let any value go on.
    earlier = [trial(number, "pruned", 9.0, 0.1 * number) for number in (1, 2, 3)]
    assert decision(sweep, earlier, rung=2, value=0.21) == TrialScheduler.STOP
    assert decision(sweep, earlier, rung=2, value=0.19) == TrialScheduler.CONTINUE
    assert decision(sweep, earlier[:2], rung=2, value=0.9) == TrialScheduler.CONTINUE
    assert decision(sweep, earlier, rung=4, value=99.0) == TrialScheduler.CONTINUE  # its last


def test_the_median_knows_which_way_is_better(tiny: dict[str, Any]) -> None:
    changed = {
        "prune": {"scheduler": "median", "least": 1},
        "objective": {"metric": "pearson_delta"},
    }
    sweep = SweepConfig.model_validate(tiny | changed)
    earlier = [trial(1, "pruned", 0.5)]
    assert decision(sweep, earlier, rung=1, value=0.4) == TrialScheduler.STOP
    assert decision(sweep, earlier, rung=1, value=0.6) == TrialScheduler.CONTINUE
