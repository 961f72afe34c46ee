"""Code that changes while a sweep runs ends it, before a trial is called failed for that."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sweeps.directory import SweepDirectory
from sweeps.pairs.code import changed_files, code_now
from sweeps.pairs.finished import FinishedPairs
from sweeps.schema.files import make_sweep
from sweeps.trials.ahead import Aside, Split
from sweeps.trials.guard import Faults, GuardedCallback
from sweeps.trials.one_code import CodeChangedError, OneCode
from sweeps.watch import Watch
from sweeps.winners import testing


@pytest.mark.parametrize("hook", ["on_trial_start", "on_trial_recover", "on_trial_error"])
def test_a_trial_of_other_code_ends_the_session_and_is_left_open(
    tiny: dict[str, Any], tmp_path: Path, hook: str
) -> None:
    code = tmp_path / "cluster" / "train.py"
    code.parent.mkdir()
    code.write_text("def train(run): ...")
    sweep = make_sweep({**tiny, "output": str(tmp_path)}, where="sweep")
    sweep.directory.mkdir()
    ledger, faults = SweepDirectory(sweep.directory).ledger, Faults()
    watch = Watch(sweep, ledger=ledger, report=lambda event: None)
    callback = GuardedCallback(faults, OneCode(tmp_path), watch)
    trial = SimpleNamespace(trial_id="a", config=sweep.baseline, last_result={}, error_file=None)
    told = {"iteration": 1, "trials": [trial], "trial": trial}
    callback.on_trial_start(**told)
    assert not faults.any
    code.write_text("def train(run, faster): ...")
    getattr(callback, hook)(**told)
    assert [event["event"] for event in ledger.events()] == ["start"]
    said = r"\(cluster/train.py\): run the command again"
    with pytest.raises(CodeChangedError, match=said), faults.raised():
        pass


def test_an_editors_lock_is_no_code_and_a_file_that_vanishes_has_changed(tmp_path: Path) -> None:
    folder = tmp_path / "scdfm"
    folder.mkdir()
    (folder / "a.py").write_text("A = 1")
    before = code_now(tmp_path)
    (folder / ".#a.py").symlink_to("me@machine.1:2")  # as Emacs locks a file
    assert code_now(tmp_path) == before
    (folder / "a.py").unlink()
    (folder / "a.py").symlink_to("gone")  # listed, and not there when it is read
    assert changed_files(code_now(tmp_path), before=before) == ["scdfm/a.py"]


def test_no_model_is_tested_and_no_split_trained_ahead_by_other_code(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = make_sweep({**tiny, "output": str(tmp_path)}, where="sweep")
    began = {**code_now(), "scdfm/model/flow.py": "another"}
    monkeypatch.setattr("sweeps.trials.one_code.code_at_start", lambda root: began)
    with pytest.raises(CodeChangedError, match=r"\(scdfm/model/flow.py\): run the command again"):
        testing.tested([], sweep=sweep, fingerprint="f" * 64)
    pairs, first = FinishedPairs(sweep, fingerprint="f" * 64), Split(sweep.baseline, "one", 0)
    with pytest.raises(CodeChangedError, match="trained by its trial"):
        Aside().train(first, pairs, tmp_path, 1, "of another")
    assert not sweep.directory.exists()
