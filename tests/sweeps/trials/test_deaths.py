"""A death of a trial's process is one failure of that trial, told in a short sentence."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray import cloudpickle
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.air.execution._internal.tracked_actor import TrackedActor
from ray.core.generated.common_pb2 import ActorDiedErrorContext
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    OutOfMemoryError,
    RayActorError,
    RayTaskError,
)
from ray.tune.execution.tune_controller import TuneController

from sweeps.trials.deaths import KilledError, known_to_tune
from sweeps.trials.reason import reason

SHORT = "1 worker(s) were killed due to the node running low on memory"


def failed(folder: Path, error: BaseException) -> Any:
    """A trial of Ray Tune, as it is when it has failed."""
    file = folder / "error.pkl"
    file.write_bytes(cloudpickle.dumps(error))
    return SimpleNamespace(pickled_error_file=str(file), error_file=None)


def died(said: str) -> RayActorError:
    context = ActorDiedErrorContext(error_message=said, actor_id=bytes(16), pid=7)
    return ActorDiedError(cause=context)  # by name, as Ray does: then it can be pickled


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            died(
                "The actor is dead because its worker process has died. Worker exit type: "
                "SYSTEM_ERROR Worker exit detail: Worker unexpectedly exits with a connection "
                "error code 2. End of file. There are some potential root causes."
            ),
            "its process died: killed, out of memory, or crashed",
        ),
        (
            died(
                "The actor died because its node has died. Node Id: 1f3\n\tthe actor's node was "
                "terminated unexpectedly: health check failed. Then more."
            ),
            "The actor died because its node has died",
        ),
        (
            ActorUnavailableError("RPC error: failed to connect to all addresses", None),
            "its process does not answer: it, or its node, may be lost",
        ),
    ],
    ids=["process", "node", "silence"],
)
def test_a_death_is_told_in_a_short_sentence(
    tmp_path: Path, error: RayActorError, said: str
) -> None:
    assert reason(failed(tmp_path, error)) == said


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ("FloatingPointError: x", "FloatingPointError: x"),
        ("zarr.errors.NodeNotFoundError: no a.b.C: d", "NodeNotFoundError: no a.b.C: d"),
        ("data_store.disk.files.UnreachableError: no a: b", "no a: b"),
        ("sweeps.trials.one_code.CodeChangedError", "CodeChangedError"),
        ("expected a.zarr: it is gone", "expected a.zarr: it is gone"),
    ],
    ids=["python", "a library", "ours", "ours without words", "words"],
)
def test_a_trial_whose_own_code_raised_is_told_by_the_last_line_of_it(
    tmp_path: Path, last: str, said: str
) -> None:
    trial = failed(tmp_path, RayTaskError("train", "its traceback", FloatingPointError("x")))
    trial.error_file = str(tmp_path / "error.txt")
    Path(trial.error_file).write_text(f"Traceback\n  line\n{last}\n")
    assert reason(trial) == said


def manager() -> RayActorManager:
    """One whose actors have nothing to clean up."""
    made = RayActorManager.__new__(RayActorManager)
    made._failed_actor_ids = set()
    made._cleanup_actor = lambda tracked_actor: None
    return made


def test_a_kill_by_ray_for_memory_is_a_failure_of_that_trial_alone() -> None:
    told: list[Exception] = []
    actor = SimpleNamespace(actor_id=7, _on_error=None)
    task: Any = SimpleNamespace(_tracked_actor=actor, _on_error=lambda _, error: told.append(error))
    with known_to_tune():
        manager()._actor_task_failed(tracked_actor_task=task, exception=OutOfMemoryError(SHORT))
    assert [type(error) for error in told] == [KilledError]
    assert str(told[0]) == SHORT
    with pytest.raises(RuntimeError, match="unexpected"):  # else known_to_tune is not needed
        manager()._actor_task_failed(tracked_actor_task=task, exception=OutOfMemoryError(SHORT))


class OfTune:
    """A trial of Ray Tune."""

    trial_id, status, placement_group_factory, failures = "1", "PENDING", None, 0

    def handle_error(self, error: Exception) -> None:
        self.failures += 1

    def should_recover(self) -> bool:
        return self.failures <= 1


class Turning:
    """A Ray Tune whose trial waits for the process that another trial has just left."""

    def __init__(self) -> None:
        self.trial: Any = OfTune()
        self.lost = False  # for good
        tune: Any = TuneController.__new__(TuneController)
        tune._resetting_trials, tune._pending_trials = {self.trial}, {self.trial}
        tune._paused_trials, tune._fail_fast, tune._print_trial_errors = set(), False, False
        tune._unstage_trial_with_resources = lambda trial: None
        tune._set_trial_status = lambda trial, status: setattr(trial, "status", status)
        tune._try_recover = lambda trial, exc: setattr(trial, "status", "PENDING")
        tune._actor_stopped = tune._schedule_trial_stop = lambda *_, **__: None
        tune._callbacks = SimpleNamespace(
            on_trial_recover=lambda **_: None,
            on_trial_error=lambda **_: setattr(self, "lost", True),
        )
        tune._scheduler_alg = SimpleNamespace(on_trial_error=lambda *_: None)
        tune._search_alg = SimpleNamespace(on_trial_complete=lambda *_, **__: None)
        tune._iteration, tune._trials = 0, [self.trial]
        tune._actor_manager = SimpleNamespace(
            clear_actor_task_futures=lambda _: None, remove_actor=lambda *_, **__: None
        )
        actor = TrackedActor(actor_id=7, on_error=tune._actor_failed)
        tune._actor_to_trial = {actor: self.trial}
        self.tune = tune
        self.task: Any = SimpleNamespace(
            _tracked_actor=actor,
            _on_error=lambda _, error: tune._trial_task_failure(self.trial, error),
        )

    def lose(self) -> None:
        """Lose the process, once."""
        manager()._actor_task_failed(self.task, died("its node has died"))


def test_a_process_lost_between_two_trials_fails_the_next_one_once() -> None:
    turning = Turning()
    with known_to_tune():
        turning.lose()
        assert (turning.trial.failures, turning.lost) == (1, False)
        assert turning.tune._resetting_trials == set()  # it may be given another process
        turning.lose()
        assert (turning.trial.failures, turning.lost) == (2, True)
    usual = Turning()
    usual.lose()
    assert (usual.trial.failures, usual.lost) == (2, True)  # else known_to_tune is not needed
