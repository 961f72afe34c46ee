"""What a result is computed by, also where it is no commit."""

from pathlib import Path

import pytest

from cluster.work.evaluation.code import code, hash_of
from scdfm.metrics import METRICS


def test_an_edit_is_other_code_and_a_new_file_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "plugged_in"
    package.mkdir()
    (package / "__init__.py").write_text("VALUE = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    first = hash_of(["plugged_in"])
    assert hash_of(["plugged_in"]) == first
    (package / "__init__.py").write_text("VALUE = 2\n")
    edited = hash_of(["plugged_in"])
    (package / "more.py").touch()
    assert len({first, edited, hash_of(["plugged_in"])}) == 3


def test_a_module_is_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plugged_module.py").write_text("VALUE = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    first = hash_of(["plugged_module"])
    (tmp_path / "plugged_module.py").write_text("VALUE = 2\n")
    assert hash_of(["plugged_module"]) != first != hash_of([])


def test_what_one_process_alone_knows_has_no_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    known = code()
    assert known is not None
    monkeypatch.setattr(METRICS, "_things", dict(METRICS._things))
    METRICS.add("mine", METRICS["mse"])
    assert METRICS.added == ["mine"]
    assert code() is None
    monkeypatch.undo()
    assert code() == known
