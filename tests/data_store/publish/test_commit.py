"""Who writes a directory is alone, whoever tidies up at the same time."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import pytest

from data_store.publish.commit import committed
from data_store.publish.swap import locked, tidy, unfinished


@pytest.fixture
def _eager_threads() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_eager_threads")
def test_a_writer_begins_while_others_tidy_up(tmp_path: Path) -> None:
    place, done = tmp_path / "store", Event()

    def tidy_on() -> None:
        while not done.is_set():
            tidy(place)

    others = [Thread(target=tidy_on) for _ in range(2)]
    for other in others:
        other.start()
    try:
        for number in range(150):
            with suppress(FileExistsError), committed(place, overwrite=True) as folder:
                (folder / "manifest.json").write_text(str(number))
    finally:
        done.set()
        for other in others:
            other.join()
    assert int((place / "manifest.json").read_text()) >= 0


def test_a_lock_on_a_directory_that_is_gone_by_then_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, first = tmp_path / "store", [True]

    @contextmanager
    def late(folder: Path) -> Iterator[int]:
        with locked(folder) as number:
            if first and first.pop():
                unfinished(place).rmdir()
            yield number

    monkeypatch.setattr("data_store.publish.commit.locked", late)
    with committed(place) as folder:
        (folder / "manifest.json").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
