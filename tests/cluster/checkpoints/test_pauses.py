"""A run that is asked to stop keeps its last step, and ends with the same bytes as one that ran."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.runs.directory import RunDirectory
from cluster.runs.history.times import TimeLine, Times
from cluster.runs.records import Line
from cluster.runs.stop import StoppedError
from cluster.settings.config import RunConfig, make_run
from cluster.train import train_here
from cluster.work.group.follow import Follow
from tests.cluster.checkpoints.test_damage import bytes_of
from tests.cluster.small import settings

pytestmark = pytest.mark.slow


def made(store: Path, output: Path, **training: Any) -> RunConfig:
    values = settings(store, output)
    return make_run(values | {"training": {**values["training"], **training}}, where="test")


def train_until_asked(run: RunConfig, *, after: int) -> list[Line]:
    """Train; ask to stop when the line of a logged step is told."""
    told: list[Line] = []
    directory = RunDirectory(run.directory)

    def report(line: Line) -> None:
        told.append(line)
        if "loss" in line and line["step"] == after:
            directory.stop.ask()

    with pytest.raises(StoppedError):
        train_here(run, report=report)
    directory.stop.forget()
    return told


@pytest.mark.parametrize(("log_every", "average_rounds"), [(1, 1), (3, 2)])
def test_a_run_stopped_anywhere_writes_the_same_bytes(
    tiny_store_path: Path, tmp_path: Path, log_every: int, average_rounds: int
) -> None:
    averaged = {"log_every": log_every, "average_rounds": average_rounds}
    whole = made(tiny_store_path, tmp_path / "whole", **averaged)
    train_here(whole)
    # Lines are told of steps 1 to 6, or of 2, 3, 4 and 6: a line is also due before a round.
    for after in (1, 2, 3, 4, 5, 6) if log_every == 1 else (2, 3, 4):
        run = made(tiny_store_path, tmp_path / str(after), **averaged)
        told = train_until_asked(run, after=after)
        # It is seen at the end of the next step, or within the round that comes before.
        kept = after if after % 2 == 0 else after + 1
        directory = RunDirectory(run.directory)
        assert directory.states.step == kept
        assert not directory.finished
        assert max(line["step"] for line in told if "validation" in line) < kept
        assert train_here(run).finished
        assert bytes_of(run.directory) == bytes_of(whole.directory), f"asked after step {after}"


def test_losses_of_steps_before_a_stop_are_part_of_the_next_line(
    tiny_store_path: Path, tmp_path: Path
) -> None:
    whole = made(tiny_store_path, tmp_path / "a", log_every=4, validate_every=6)
    parts = made(tiny_store_path, tmp_path / "b", log_every=4, validate_every=6)
    train_here(whole)
    directory = RunDirectory(parts.directory)
    # The round before the first step is told at the end of the validation; the step sees the wish.
    with pytest.raises(StoppedError):
        train_here(parts, on_round=lambda outcome: directory.stop.ask() or True)
    assert directory.states.step == 1
    state = directory.states.newest
    assert state is not None
    assert len(json.loads((state / "progress.json").read_text())["unlogged"]) == 1
    directory.stop.forget()
    assert train_here(parts).finished
    assert bytes_of(parts.directory) == bytes_of(whole.directory)


def test_the_answer_names_the_step_that_is_kept(tiny_store_path: Path, tmp_path: Path) -> None:
    run = made(tiny_store_path, tmp_path)
    directory = RunDirectory(run.directory)

    def report(line: Line) -> None:
        if "loss" in line and line["step"] == 2:
            directory.stop.ask()

    with pytest.raises(StoppedError, match="train it again to go on"):
        train_here(run, report=report)
    assert directory.stop.kept == 2


def test_times_have_a_file_of_their_own_and_add_up_over_sessions(
    tiny_store_path: Path, tmp_path: Path
) -> None:
    run = made(tiny_store_path, tmp_path)
    directory = RunDirectory(run.directory)
    train_until_asked(run, after=3)
    first = directory.times.seconds()
    with directory.times.path.open("a") as file:
        file.write('{"session": 1, "st')  # as a kill leaves it
    told: list[Line] = []
    train_here(run, report=told.append)
    assert directory.times.sessions == 2
    assert directory.times.seconds() > first > 0
    assert "steps_per_second" not in directory.journal.path.read_text()
    logged = [line for line in directory.history() if "loss" in line]
    assert [line["step"] for line in logged] == [1, 2, 3, 4, 5, 6]
    assert all(line["steps_per_second"] > 0 for line in logged)
    assert [line["steps_per_second"] for line in told if "loss" in line] == pytest.approx(
        [line["steps_per_second"] for line in logged if line["step"] > 4], rel=1e-3
    )
    assert told[0] == {"step": 4, "steps": 6}, "who watches knows at once where it goes on"


def test_who_follows_a_resumed_run_hears_where_it_goes_on(
    tiny_store_path: Path, tmp_path: Path
) -> None:
    run = made(tiny_store_path, tmp_path)
    train_until_asked(run, after=3)
    told: list[Line] = []
    with Follow(RunDirectory(run.directory), steps=6, report=told.append):
        train_here(run)
    assert told[0] == {"step": 4, "steps": 6}
    assert [line["step"] for line in told if "loss" in line] == [5, 6]
    assert all("steps_per_second" in line for line in told if "loss" in line)


def test_a_session_that_begins_between_two_looks_is_passed_on_once(
    tiny_store_path: Path, tmp_path: Path, trained: Path
) -> None:
    run = made(tiny_store_path, tmp_path)
    directory = RunDirectory(run.directory)
    told: list[Line] = []
    follow = Follow(directory, steps=6, report=told.append)
    run.directory.mkdir(parents=True)
    lines = RunDirectory(trained).journal.path.read_text()

    class Late(Times):
        """A session begins, and its lines are written, after the first look at the times."""

        def lines(self) -> Iterator[TimeLine]:
            yield from super().lines()
            if not directory.journal.path.is_file():
                directory.times.begin(0, lines=0)
                directory.journal.path.write_text(lines)

    follow.times = Late(directory.times.path)
    follow.look()
    follow.look()
    assert [line["step"] for line in told] == [
        json.loads(text)["step"] for text in lines.splitlines()
    ]


def test_another_number_of_threads_is_said_and_recorded(
    tiny_store_path: Path, tmp_path: Path
) -> None:
    run = made(tiny_store_path, tmp_path)
    train_until_asked(run, after=3)
    train_here(run.model_copy(update={"threads": 2}))
    directory = RunDirectory(run.directory)
    notes = [(line["step"], line["note"]) for line in directory.journal.lines() if "note" in line]
    said = "1 worker of 2 threads, before 1 worker of 1 thread: the last digits may differ"
    assert [step for step, note in notes if note.endswith(said)] == [4]
    assert directory.manifest is not None
    computed = directory.manifest.arithmetic
    assert [(one.step, one.workers, one.threads) for one in computed] == [(0, 1, 1), (4, 1, 2)]


def test_a_run_of_before_goes_on(tiny_store_path: Path, tmp_path: Path, trained: Path) -> None:
    run = made(tiny_store_path, tmp_path)
    train_here(run, on_round=lambda outcome: outcome.step < 4)
    directory = RunDirectory(run.directory)
    # As the code before wrote it: no hashes, no times, rates in the journal, a shorter progress.
    for state in (run.directory / "checkpoints").iterdir():
        (state / "manifest.json").unlink()
        progress = json.loads((state / "progress.json").read_text())
        for name in ("judged", "unlogged", "norms", "workers", "threads"):
            del progress[name]
        (state / "progress.json").write_text(json.dumps(progress))
    (run.directory / "model" / "manifest.json").unlink()
    rated = list(directory.history())
    directory.times.path.unlink()
    directory.journal.path.write_text("".join(json.dumps(line) + "\n" for line in rated))
    manifest = json.loads((run.directory / "manifest.json").read_text())
    for one in manifest["arithmetic"]:
        del one["workers"], one["threads"]
    (run.directory / "manifest.json").write_text(json.dumps(manifest))
    assert train_here(run).finished
    ours, theirs = bytes_of(run.directory), bytes_of(trained)
    for name in ("model/model.safetensors", "checkpoints/step-00000006/optimiser.pt"):
        assert ours[name] == theirs[name]
    assert math.isfinite(directory.times.seconds())
    assert not any("before" in line.get("note", "") for line in directory.journal.lines())
