"""A trial that meets a full disk ends the session, and is not over."""

import errno
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import RayTaskError

from data_store.disk.room import FullError
from sweeps.directory import SweepDirectory
from sweeps.schema.files import make_sweep
from sweeps.trials.full import Room
from sweeps.trials.guard import Faults, GuardedCallback
from sweeps.watch import Watch
from tests.sweeps.trials.test_deaths import failed


@pytest.mark.parametrize("hook", ["on_trial_recover", "on_trial_error"])
@pytest.mark.parametrize(
    ("error", "ends"),
    [
        (FullError("expected room for trials/a", errno.ENOSPC), True),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "trials/a"), True),
        (PermissionError(errno.EACCES, "Permission denied", "trials/a"), False),
        (FloatingPointError("diverged"), False),
    ],
    ids=["full", "quota", "late disk", "other"],
)
def test_a_trial_that_meets_a_full_disk_ends_the_session_and_is_left_open(
    tiny: dict[str, Any],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    hook: str,
    error: Exception,
    ends: bool,
) -> None:
    sweep = make_sweep({**tiny, "output": str(tmp_path)}, where="sweep")
    sweep.directory.mkdir()
    ledger, faults = SweepDirectory(sweep.directory).ledger, Faults()
    watch = Watch(sweep, ledger=ledger, report=lambda event: None)
    callback = GuardedCallback(faults, Room(), watch)
    raised = RayTaskError("train", "Traceback (most recent call last):", error, ip="10.0.0.7")
    trial = failed(tmp_path, raised.as_instanceof_cause())
    trial.trial_id, trial.config, trial.last_result = "a", sweep.baseline, {}
    told = {"iteration": 1, "trials": [trial], "trial": trial}
    callback.on_trial_start(**told)
    getattr(callback, hook)(**told)
    assert faults.any == ends
    assert ("a trial on node 10.0.0.7 met an error" in caplog.text) == ends
    if ends:
        assert [event["event"] for event in ledger.events()] == ["start"]
        with pytest.raises(type(error), match="trials/a"), faults.raised():
            pass
