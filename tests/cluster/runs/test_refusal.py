"""Facts of errors that no restart can mend."""

from pathlib import Path

import pytest

from cluster.runs.refusal import Refusal


@pytest.mark.parametrize("kind", [ValueError, FloatingPointError, FileNotFoundError])
def test_a_hopeless_error_reaches_the_driver_once(tmp_path: Path, kind: type[Exception]) -> None:
    with Refusal(tmp_path).kept(alone=True):
        raise kind("step 3: the cfm loss is nan")
    with pytest.raises(kind, match="step 3"):
        Refusal(tmp_path).repeat()
    Refusal(tmp_path).repeat()


def test_an_error_that_a_restart_may_mend_goes_to_ray(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError), Refusal(tmp_path).kept(alone=True):
        raise ConnectionError("node died")
    assert list(tmp_path.iterdir()) == []


def test_an_old_error_is_forgotten_when_training_starts_again(tmp_path: Path) -> None:
    with Refusal(tmp_path).kept(alone=True):
        raise ValueError("old")
    Refusal(tmp_path).forget()
    Refusal(tmp_path).repeat()


def test_a_worker_that_others_wait_for_fails_and_leaves_its_note(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="flipped"), Refusal(tmp_path).kept(alone=False):
        raise ValueError("flipped bit")
    assert Refusal(tmp_path).written
    with pytest.raises(ValueError, match="flipped bit"):
        Refusal(tmp_path).repeat()
