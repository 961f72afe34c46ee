"""Facts of atomic writing: all of it, or what was there before."""

import hashlib
import json
from pathlib import Path

import pytest

from scdfm.screen.atomic import (
    discard_drafts,
    replaced,
    replaced_directory,
    require_writable,
    sha256,
    write_json,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fail_late(path: Path) -> None:
    path.write_text("half")
    raise RuntimeError("late")


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with replaced(path) as draft:
        draft.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


def test_an_error_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError, match="late"), replaced(path) as draft:
        fail_late(draft)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_number_that_is_not_finite_is_null_however_deep_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": [1.5, float("nan"), {"b": float("inf")}], "c": (None, "x")})
    assert json.loads(path.read_text()) == {"a": [1.5, None, {"b": None}], "c": [None, "x"]}


def test_a_directory_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "above" / "model"
    for parts in (("one", "two"), ("three",)):
        with replaced_directory(path) as draft:
            for part in parts:
                (draft / part).write_text(part)
    assert names(path) == ["three"]
    assert names(path.parent) == ["model"]


def test_an_error_leaves_the_old_directory(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with replaced_directory(path) as draft:
        (draft / "one").touch()
    with pytest.raises(RuntimeError, match="late"), replaced_directory(path) as draft:
        fail_late(draft / "two")
    assert names(path) == ["one"]
    assert names(tmp_path) == ["model"]


def test_drafts_of_killed_processes_are_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".model.1.tmp").mkdir()
    (tmp_path / ".model.1.tmp" / "half").touch()
    (tmp_path / ".best.json.1.tmp").touch()
    (tmp_path / ".model.1.old").mkdir()
    (tmp_path / "kept.tmp").touch()
    (tmp_path / ".hidden").touch()
    discard_drafts(tmp_path)
    assert names(tmp_path) == [".hidden", "kept.tmp"]


def test_the_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"cells" * 100_000)
    assert sha256(path) == hashlib.sha256(b"cells" * 100_000).hexdigest()


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that takes no files")
def test_a_folder_that_takes_no_files_is_refused_also_to_root(tmp_path: Path) -> None:
    """/proc looks writable to root, as a disk does that is mounted read-only."""
    with pytest.raises(PermissionError, match=r"cannot write to /proc: it .*; name another"):
        require_writable(Path("/proc"))
    require_writable(tmp_path)
    assert not [*tmp_path.iterdir()]
