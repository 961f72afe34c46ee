"""A damaged checkpoint, a full disk, a kill while it is written: named, and the same bytes."""

import os
import random
import resource
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.runs.directory import RunDirectory
from cluster.settings.config import RunConfig, make_run
from cluster.train import train_here
from scdfm.flow.checkpoint import load_model
from scdfm.flow.training import Round
from tests.cluster.small import settings

pytestmark = pytest.mark.slow


def bytes_of(directory: Path) -> dict[str, bytes]:
    """What a run must have in the end, however often it was disturbed."""
    files = ["metrics.jsonl", "best.json", "result.json", "model/model.safetensors"]
    files += [
        "checkpoints/step-00000006/model.safetensors",
        "checkpoints/step-00000006/optimiser.pt",
    ]
    return {name: (directory / name).read_bytes() for name in files}


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.fixture
def stopped(run: RunConfig) -> RunConfig:
    """A run with checkpoints of the steps 0, 2 and 4."""
    train_here(run, on_round=lambda outcome: outcome.step < 4)
    return run


def test_a_damaged_checkpoint_is_named_and_the_one_before_goes_on(
    stopped: RunConfig, trained: Path
) -> None:
    directory = RunDirectory(stopped.directory)
    newest = directory.states.newest
    assert newest is not None
    assert newest.name == "step-00000004"
    for file in sorted(newest.iterdir()):
        whole = file.read_bytes()
        damage(file)
        found = directory.states.read()
        assert found is not None
        assert found.path.name == "step-00000002"
        [line] = found.damaged
        assert str(file) in line
        file.write_bytes(whole)
    damage(newest / "optimiser.pt")
    told: list[Any] = []
    assert train_here(stopped, report=told.append).finished
    assert bytes_of(stopped.directory) == bytes_of(trained)
    [note] = [line["note"] for line in told if "damaged" in line.get("note", "")]
    assert str(newest / "optimiser.pt") in note
    assert "goes on after step 2" in note


def test_a_run_without_any_whole_checkpoint_names_the_newest(stopped: RunConfig) -> None:
    for state in (stopped.directory / "checkpoints").iterdir():
        damage(state / "progress.json")
    with pytest.raises(ValueError, match=r"step-00000004/progress\.json is damaged") as caught:
        train_here(stopped)
    assert "train from the first step again" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_without_hashes_that_does_not_open_is_damaged_too(stopped: RunConfig) -> None:
    newest = RunDirectory(stopped.directory).states.newest
    assert newest is not None
    (newest / "manifest.json").unlink()
    (newest / "optimiser.pt").write_bytes(b"half")
    found = RunDirectory(stopped.directory).states.read()
    assert found is not None
    assert "4 is not a complete training state" in found.damaged[0]


def test_the_newest_checkpoints_are_kept_and_the_best_model_s(
    tiny_store_path: Path, tmp_path: Path
) -> None:
    values = settings(tiny_store_path, tmp_path)
    training = {**values["training"], "steps": 10, "learning_rate": 0.3, "keep": 2}
    run = make_run(values | {"training": training}, where="test")
    best = train_here(run).best_step
    assert best < 8, "the learning rate is to make later rounds worse"
    kept = sorted(path.name for path in (run.directory / "checkpoints").iterdir())
    assert kept == [f"step-{step:08d}" for step in (best, 8, 10)]


def test_how_many_checkpoints_are_kept_does_not_make_another_run(stopped: RunConfig) -> None:
    training = stopped.training.model_copy(update={"keep": 1})
    train_here(stopped.model_copy(update={"training": training}))
    assert len(list((stopped.directory / "checkpoints").iterdir())) <= 2


def test_a_full_disk_is_one_line_and_the_run_goes_on_later(run: RunConfig, trained: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(outcome: Round) -> bool:
        if outcome.step == 2:
            # No file may grow beyond; the model's weights are larger, the journal is not.
            resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, before[1]))
        return True

    try:
        with pytest.raises(OSError, match="got a full disk") as caught:
            train_here(run, on_round=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(run.directory) in str(caught.value)
    assert "run the command again" in str(caught.value)
    assert train_here(run).finished
    assert bytes_of(run.directory) == bytes_of(trained)


class Snapshots:
    """Copies of a run's directory as kill -9 would leave it, at chosen moments of its writing."""

    def __init__(self, directory: Path, *, to: Path) -> None:
        self.directory, self.to = directory, to
        self.moments: set[int] = set()
        self.step = 0
        self.on = self.copying = False
        sys.addaudithook(self._look)

    def _look(self, event: str, arguments: tuple[Any, ...]) -> None:
        # Hooks cannot be removed again, so this one may sleep.
        if (
            not self.on
            or self.copying
            or event not in ("open", "os.rename", "os.mkdir", "os.remove")
        ):
            return
        name = arguments[0]
        if isinstance(name, str | os.PathLike) and str(name).startswith(str(self.directory)):
            if self.step in self.moments:
                self.copying = True
                shutil.copytree(self.directory, self.to / str(self.step))
                self.copying = False
            self.step += 1


@pytest.fixture
def snapshots(run: RunConfig, tmp_path: Path) -> Iterator[Snapshots]:
    made = Snapshots(run.directory, to=tmp_path / "killed")
    yield made
    made.on = False


def test_a_kill_while_files_are_written_ends_with_the_same_bytes(
    run: RunConfig, trained: Path, snapshots: Snapshots
) -> None:
    snapshots.moments = set(random.Random(7).sample(range(40, 260), 6))
    snapshots.on = True
    train_here(run)
    snapshots.on = False
    assert snapshots.step > 260, "the moments are to be within the run"
    for moment in sorted(snapshots.moments):
        killed = run.model_copy(update={"output": snapshots.to, "name": str(moment)})
        assert train_here(killed).finished
        assert bytes_of(killed.directory) == bytes_of(trained), f"killed at moment {moment}"
        load_model(killed.directory / "model")
