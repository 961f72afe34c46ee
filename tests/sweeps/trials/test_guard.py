"""What our ledger or search raises ends the sweep; it is no failure of a trial."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState
from ray.tune import Callback
from ray.tune.error import TuneError
from ray.tune.search import Searcher

from cluster.storage.lease import LeaseLostError
from cluster.storage.storage import StorageError
from sweeps.directory import SweepDirectory
from sweeps.proposals.search import Failures, StudySearch
from sweeps.schema.files import make_sweep
from sweeps.trials.full import Room
from sweeps.trials.guard import Faults, GuardedCallback, GuardedSearch
from sweeps.trials.one_code import OneCode
from sweeps.watch import Watch


def test_a_ledger_that_cannot_be_written_ends_the_sweep_and_no_trial(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    sweep = make_sweep({**tiny, "output": str(tmp_path)}, where="sweep")
    sweep.directory.mkdir()
    ledger, faults = SweepDirectory(sweep.directory).ledger, Faults()
    watch = Watch(sweep, ledger=ledger, report=lambda event: None)
    storage = InMemoryStorage()
    own = StudySearch(sweep, storage=storage, name="tiny", earlier=(), first=[sweep.baseline])
    search = GuardedSearch(faults, own)
    callback = GuardedCallback(faults, watch, Failures(own))
    ends = {"value": 1.0, "rung": 4, "split": 1, "complete": True}
    trial = SimpleNamespace(
        trial_id="a", config=search.suggest("a"), last_result=ends, error_file=None
    )
    told = {"iteration": 1, "trials": [trial], "trial": trial}
    callback.on_trial_start(**told)
    kept = ledger.path.rename(tmp_path / "kept.jsonl")
    ledger.path.mkdir()
    # Ray Tune would catch this, call the trial failed, and start it again.
    callback.on_trial_complete(**told)
    assert faults.any
    ledger.path.rmdir()
    kept.rename(ledger.path)
    callback.on_trial_error(**told)
    search.on_trial_complete("a", ends)
    assert search.suggest("b") == Searcher.FINISHED
    assert [event["event"] for event in ledger.events()] == ["start"]
    study = optuna.load_study(study_name="tiny", storage=storage)
    assert study.trials[-1].state == TrialState.RUNNING
    with pytest.raises(IsADirectoryError), faults.raised():
        raise TuneError("Traceback")


def in_text(fault: Exception) -> None:
    """Raise as Ray Tune does: a traceback as text."""
    try:
        try:
            raise ConnectionRefusedError
        except ConnectionRefusedError:
            raise fault from None
    except type(fault):
        raise TuneError("Traceback")  # noqa: B904 - it does so


@pytest.mark.parametrize("fault", [StorageError("away"), LeaseLostError("taken"), OSError(28, "")])
def test_what_ray_tune_wraps_into_the_text_of_a_traceback_is_raised_itself(
    fault: Exception,
) -> None:
    with pytest.raises(type(fault)) as caught, Faults().raised():
        in_text(fault)
    assert caught.value is fault
    with pytest.raises(TuneError), Faults().raised():
        raise TuneError("of its own")


def test_every_hook_of_ours_is_guarded() -> None:
    guarded = vars(GuardedCallback(Faults()))
    for kind in (OneCode, Room, Watch, Failures):
        hooks = {name for name in vars(kind) if name.startswith("on_")}
        assert hooks
        assert hooks <= guarded.keys()
        assert all(hasattr(Callback, name) for name in hooks)
