"""Facts of files that live in an object store: committed all at once, by one writer."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cluster.runs.directory import RunDirectory
from cluster.runs.lease import LeaseLostError, check, lease
from cluster.storage import lease as leases
from cluster.storage.lease import FILE, Holder
from cluster.storage.mirror import INDEX, Mirror, mirror_of
from cluster.storage.places import address_of, folder_of, named
from cluster.storage.storage import storage_at
from cluster.storage.wanted import but_states

# Sends its parts, and is killed before the index.
KILLED = """
import os, signal, sys
from cluster.runs.lease import lease
from cluster.storage.mirror import Mirror, mirror_of
from cluster.storage.places import folder_of
address = sys.argv[1]
with lease(folder_of(address)):
    folder = folder_of(address)
    (folder / "a").write_text("new a")
    (folder / "b").write_text("new b")
    Mirror._put = lambda self, files: os.kill(os.getpid(), signal.SIGKILL)
    mirror_of(address).commit()
"""


class Elsewhere(Mirror):
    """The mirror of another process: the same address, another folder."""

    def __init__(self, address: str, folder: Path) -> None:
        super().__init__(address)
        self.folder = folder


@pytest.fixture
def address(bucket: str) -> str:
    return f"{bucket}/runs/one"


def wrote(mirror: Mirror, **files: str) -> None:
    for name, text in files.items():
        (mirror.folder / name).write_text(text)
    mirror.commit()


def contents(mirror: Mirror) -> dict[str, str]:
    mirror.fetch()
    files = (path for path in mirror.folder.rglob("*") if path.is_file())
    return {path.relative_to(mirror.folder).as_posix(): path.read_text() for path in files}


def test_who_writes_a_run_keeps_what_is_not_sent_yet(address: str) -> None:
    with RunDirectory(folder_of(address)).held() as run:
        run.journal.write({"step": 1})
        assert list(run.fetch().journal.lines()) == [{"step": 1}]
        run.publish()
    assert list(run.fetch().journal.lines()) == [{"step": 1}]


def test_what_is_committed_is_fetched_elsewhere(address: str, tmp_path: Path) -> None:
    here, there = Elsewhere(address, tmp_path / "here"), Elsewhere(address, tmp_path / "there")
    here.begin()
    wrote(here, a="one", b="two")
    assert contents(there) == {"a": "one", "b": "two"}
    (here.folder / "b").unlink()
    wrote(here, a="three")
    assert contents(there) == {"a": "three"}
    assert len(here.storage.names("parts")) == 1, "a part that nobody needs was left"


def test_checkpoints_that_were_not_fetched_stay_in_the_store(address: str, tmp_path: Path) -> None:
    worker, driver = (
        Elsewhere(address, tmp_path / "worker"),
        Elsewhere(address, tmp_path / "driver"),
    )
    worker.begin()
    (worker.folder / "checkpoints" / "step-2").mkdir(parents=True)
    (worker.folder / "checkpoints" / "step-2" / "state").write_text("large")
    wrote(worker, a="one")
    driver.begin(but_states)
    assert [*(driver.folder / "checkpoints").iterdir()] == [
        driver.folder / "checkpoints" / "step-2"
    ]
    # Longer: what has kept its size, within a tick of 10 ms, passes for unchanged.
    wrote(driver, a="three")
    assert contents(worker) == {"a": "three", "checkpoints/step-2/state": "large"}
    driver.drop("checkpoints/")
    shutil.rmtree(driver.folder / "checkpoints")
    driver.commit()
    assert contents(worker) == {"a": "three"}


def test_who_was_taken_over_writes_nothing_more(address: str, tmp_path: Path) -> None:
    old, new = Elsewhere(address, tmp_path / "old"), Elsewhere(address, tmp_path / "new")
    old.begin()
    wrote(old, a="old")
    new.begin()
    with pytest.raises(LeaseLostError, match=f"^{address} was taken over"):
        wrote(old, a="late")
    wrote(new, b="new")
    with pytest.raises(LeaseLostError):
        wrote(old, a="later")
    assert contents(Elsewhere(address, tmp_path / "reader")) == {"a": "old", "b": "new"}


def test_a_write_that_a_signal_has_interrupted_is_the_writer_s_own(
    address: str, tmp_path: Path
) -> None:
    here = Elsewhere(address, tmp_path / "here")
    here.begin()
    wrote(here, a="one")
    before = here._index, here._tag
    wrote(here, b="two")
    here._index, here._tag = before  # the answer did not come
    wrote(here, b="three")
    assert contents(Elsewhere(address, tmp_path / "there")) == {"a": "one", "b": "three"}


def test_a_damaged_part_is_named(address: str, tmp_path: Path) -> None:
    here = Elsewhere(address, tmp_path / "here")
    here.begin()
    wrote(here, a="one")
    [part] = here.storage.names("parts")
    here.storage.put(part, b"0ne")
    with pytest.raises(ValueError, match=f"{address} is damaged: the part of a is missing or has"):
        contents(Elsewhere(address, tmp_path / "there"))


def test_a_writer_killed_between_parts_and_index_has_written_nothing(
    address: str, tmp_path: Path
) -> None:
    here = Elsewhere(address, tmp_path / "here")
    here.begin()
    wrote(here, a="old a")
    killed = subprocess.run([sys.executable, "-c", KILLED, address], timeout=100)
    assert killed.returncode == -signal.SIGKILL
    assert len(here.storage.names("parts")) == 3
    reader = Elsewhere(address, tmp_path / "reader")
    assert contents(reader) == {"a": "old a"}
    began = time.monotonic()
    with lease(folder_of(address)):  # its process is gone from this machine: nobody waits
        assert time.monotonic() - began < leases.SPAN - 10
        assert len(here.storage.names("parts")) == 1, "what the killed one sent was left"
        (folder_of(address) / "a").write_text("newest")
        mirror_of(address).commit()
    assert contents(reader) == {"a": "newest"}


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases that are renewed within a second."""
    for name, seconds in (("BEAT", 0.2), ("_LOOK", 0.1)):
        monkeypatch.setattr(leases, name, seconds)


def until(address: str) -> float:
    """When the lease of a place runs out."""
    found = storage_at(address).read(FILE)
    assert found is not None
    ends = Holder.model_validate_json(found.content).until
    assert ends is not None
    return ends


@pytest.mark.usefixtures("soon")
def test_a_second_writer_is_told_who_holds_it(address: str) -> None:
    line = rf"{address} is being written by .+@.* \(process {os.getpid()}\), since 20"
    with lease(folder_of(address)) as token:
        first = until(address)
        while until(address) == first:  # it is renewed
            time.sleep(0.05)
        with pytest.raises(ValueError, match=line), leases.lease(storage_at(address)):
            pass
        check(folder_of(address), token)
    with lease(folder_of(address)) as newer:
        check(folder_of(address), newer)
        with pytest.raises(LeaseLostError, match="was taken over"):
            check(folder_of(address), token)


@pytest.mark.usefixtures("soon")
def test_a_lease_that_ran_out_is_taken_over_and_its_holder_notices(address: str) -> None:
    storage = storage_at(address)
    gone = Holder.me(until=time.time() + 0.5).model_copy(update={"machine": "another"})
    storage.put_if(FILE, gone.model_dump_json().encode(), tag=None)
    with leases.lease(storage) as token:
        assert gone.until is not None
        assert time.time() >= gone.until
        with pytest.raises(LeaseLostError):
            leases.check(storage, gone.token)
        leases.check(storage, token)
        storage.put(FILE, gone.model_dump_json().encode())
        time.sleep(0.5)
        with pytest.raises(LeaseLostError):
            leases.check(storage, token)
    found = storage.read(FILE)
    assert found is not None
    assert gone.token in found.content.decode(), "who lost the lease gave it free"


def test_a_block_that_wrote_nothing_leaves_nothing(address: str) -> None:
    with pytest.raises(ValueError, match="no such gene"), lease(folder_of(address)):
        raise ValueError("no such gene")
    assert storage_at(address).names() == []


def test_a_place_is_named_by_its_address() -> None:
    folder = folder_of("s3://bucket/runs/a") / "model"
    assert address_of(folder) == "s3://bucket/runs/a/model"
    assert named(folder) == "s3://bucket/runs/a/model"
    assert named(Path("s3:/bucket/runs")) == "s3://bucket/runs"
    assert named(Path("runs/a")) == "runs/a"
    assert INDEX not in str(folder)
