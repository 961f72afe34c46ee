"""Facts of errors that no restart can mend."""

from pathlib import Path

import pytest

from cluster.runs import refusal


@pytest.mark.parametrize("kind", [ValueError, FloatingPointError, FileNotFoundError])
def test_a_hopeless_error_reaches_the_driver_once(tmp_path: Path, kind: type[Exception]) -> None:
    with refusal.kept(tmp_path, alone=True):
        raise kind("step 3: the cfm loss is nan")
    with pytest.raises(kind, match="step 3"):
        refusal.repeat(tmp_path)
    refusal.repeat(tmp_path)


def test_an_error_that_a_restart_may_mend_goes_to_ray(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError), refusal.kept(tmp_path, alone=True):
        raise ConnectionError("node died")
    assert list(tmp_path.iterdir()) == []


def test_an_old_error_is_forgotten_when_training_starts_again(tmp_path: Path) -> None:
    with refusal.kept(tmp_path, alone=True):
        raise ValueError("old")
    refusal.forget(tmp_path)
    refusal.repeat(tmp_path)


def test_a_worker_that_others_wait_for_fails_and_leaves_its_note(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="flipped"), refusal.kept(tmp_path, alone=False):
        raise ValueError("flipped bit")
    assert refusal.is_written(tmp_path)
    with pytest.raises(ValueError, match="flipped bit"):
        refusal.repeat(tmp_path)
