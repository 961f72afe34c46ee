"""Who watches a run sees what its journal says, once, and cannot harm it."""

import itertools
import math
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from cluster.runs.begin import OpenRun
from cluster.runs.directory import RunDirectory
from cluster.runs.identity import changed
from cluster.runs.records import Line
from cluster.settings.config import RunConfig, make_run
from cluster.settings.watch import watched_by
from cluster.train import train_here
from cluster.watchers.registry import WATCHERS
from cluster.watchers.watcher import Curves, End, Session, Watcher, require_client
from cluster.work.group.follow import Follow
from tests.cluster.checkpoints.test_damage import bytes_of
from tests.cluster.small import settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class DiskError(RuntimeError):
    """What ends a session in a test."""


class Nothing(BaseModel, frozen=True, extra="forbid"):
    """No settings."""


class Kept(Watcher, Curves):
    """Keeps what it is told; fails or hangs where a test wants it to."""

    Settings = Nothing

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self.told: list[tuple[int, Mapping[str, float]]] = []
        self.ends: list[End] = []

    def require(self) -> None: ...

    def open(self, session: Session, *, settings: Any) -> Curves:
        self.sessions.append(session)
        return self

    def add(self, step: int, values: Mapping[str, float], *, when: float) -> None:
        self.told.append((step, values))

    def close(self, end: End) -> None:
        self.ends.append(end)


class Refused(Kept):
    """Cannot be reached."""

    def open(self, session: Session, *, settings: Any) -> Curves:
        raise ConnectionError("no route\nto host")


class Full(Kept):
    """Has no room for the second step."""

    def add(self, step: int, values: Mapping[str, float], *, when: float) -> None:
        super().add(step, values, when=when)
        if step == 2:
            raise OSError(28, "No space left on device")


class Hangs(Kept):
    """Does not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def open(self, session: Session, *, settings: Any) -> Curves:
        self.go_on.wait()
        return self


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each watcher has time for all values: clients take long to load on a busy machine."""
    monkeypatch.setattr("cluster.work.watch.watched._PATIENCE", 100.0)


@pytest.fixture
def watched(
    tiny_store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """Makes a run that something watches, and nothing else."""

    def made(watcher: Watcher) -> RunConfig:
        monkeypatch.setitem(WATCHERS._things, "kept", watcher)
        watch = {"tensorboard": False, "kept": True}
        return make_run(settings(tiny_store_path, tmp_path, watch=watch), where="test")

    return made


def fail_once(run: RunConfig, *, at: int, once: Callable[[], bool] = lambda: True) -> None:
    """Train until a step that comes after the last checkpoint, and fail there, once it is time."""

    def report(line: Line) -> None:
        if "loss" in line and line["step"] == at:
            deadline = time.monotonic() + 100
            while not once() and time.monotonic() < deadline:
                time.sleep(0.1)
            raise DiskError

    with pytest.raises(DiskError):
        train_here(run, report=report)


def test_tensorboard_reads_every_value_of_the_journal_once(run: RunConfig, trained: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    fail_once(run, at=4)  # steps 3 and 4 are written again
    train_here(run)
    assert bytes_of(run.directory) == bytes_of(trained)
    folder = run.directory / "tensorboard"
    assert len(list(folder.iterdir())) == 2
    shown = reader.EventAccumulator(str(folder)).Reload()
    lines = list(RunDirectory(run.directory).journal.lines())
    for tag, name in (
        ("loss/loss", "loss"),
        ("loss/cfm", "cfm"),
        ("training/gradient_norm", "gradient_norm"),
        ("training/learning_rate", "learning_rate"),
    ):
        found = [(event.step, event.value) for event in shown.Scalars(tag)]
        wanted = [(line["step"], line[name]) for line in lines if "loss" in line]  # type: ignore[literal-required]
        assert [step for step, _ in found] == [1, 2, 3, 4, 5, 6], tag
        assert found == [(step, pytest.approx(value, rel=1e-6)) for step, value in wanted]
    rounds = [(event.step, event.value) for event in shown.Scalars("validation/mse")]
    assert rounds == [
        (line["step"], pytest.approx(line["validation"]["mse"], rel=1e-6))
        for line in lines
        if "validation" in line
    ]
    for tag in ("speed/steps_per_second", "speed/cells_per_second", "memory/memory"):
        assert all(event.value > 0 for event in shown.Scalars(tag)), tag
    assert all(event.value >= 0 for event in shown.Scalars("speed/waiting"))


def test_a_watcher_is_told_of_a_session_and_of_how_it_ends(watched: Any) -> None:
    run = watched(kept := Kept())
    fail_once(run, at=4)
    train_here(run, on_round=lambda outcome: outcome.step < 4)
    train_here(run)
    assert kept.ends == ["failed", "stopped", "done"]
    assert [one.step for one in kept.sessions] == [None, 2, 4]
    assert [one.number for one in kept.sessions] == [1, 2, 3]
    assert len({one.key for one in kept.sessions}) == 1
    assert kept.sessions[0].key
    assert kept.sessions[0].settings["model.width"] == 16
    times = list(RunDirectory(run.directory).times.lines())
    assert all(line["memory"] > 0 for line in times if "steps_per_second" in line)
    assert all(line["cells_per_second"] > 0 for line in times if "steps_per_second" in line)


@pytest.mark.parametrize(
    ("watcher", "said"),
    [
        (Refused(), "ConnectionError: no route to host; training goes on"),
        (Full(), "OSError: [Errno 28] No space left on device; training goes on"),
        (Hangs(), "it had not taken all values 0.2 s after the end; training goes on"),
    ],
    ids=["refused", "full", "hangs"],
)
def test_a_watcher_that_fails_is_named_once_and_changes_no_byte(
    watched: Any, trained: Path, watcher: Kept, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(watcher, Hangs):
        monkeypatch.setattr("cluster.work.watch.watched._PATIENCE", 0.2)
    run = watched(watcher)
    directory = RunDirectory(run.directory)
    told: list[Line] = []
    followed: list[Line] = []
    with Follow(directory, steps=6, report=followed.append):
        train_here(run, report=told.append)
    line = f"watch.kept shows no more of this session: {said}"
    for heard in (told, followed):
        assert [one["note"] for one in heard if "watch." in one.get("note", "")] == [line]
    assert bytes_of(run.directory) == bytes_of(trained)
    if isinstance(watcher, Hangs):
        watcher.go_on.set()


def test_a_score_that_is_undefined_is_shown_as_undefined(watched: Any) -> None:
    from cluster.work.watch.values import values_of

    values = values_of({"step": 1, "validation": {"mse": None, "l2": 1.0}}, facts={})
    assert math.isnan(values["validation/mse"])
    assert values["validation/l2"] == 1.0


def test_a_missing_client_is_refused_before_anything_is_written(watched: Any) -> None:
    class Missing(Kept):
        def require(self) -> None:
            require_client("no_such_client", name="kept")

    run = watched(Missing())
    with pytest.raises(ValueError, match=r"watch\.kept needs the package no_such_client.*pip"):
        OpenRun(run).check()
    assert not run.directory.exists()


def test_who_watches_does_not_make_another_run(run: RunConfig) -> None:
    other = run.model_copy(update={"watch": {"tensorboard": False}})
    assert changed(run, other) == {}
    train_here(run, on_round=lambda outcome: outcome.step < 2)
    assert train_here(other).finished
    assert len(list((run.directory / "tensorboard").iterdir())) == 1


def test_watchers_are_switched_on_by_true_or_by_settings(
    tiny_store_path: Path, tmp_path: Path
) -> None:
    def watch(**given: Any) -> dict[str, Any]:
        values = settings(tiny_store_path, tmp_path, watch=given)
        return make_run(values, where="run.yaml").watch

    assert watch() == {"tensorboard": True}
    assert watch(tensorboard=False) == {"tensorboard": False}
    told = watch(wandb={"mode": "offline"}, mlflow=True)
    assert told["wandb"] == {"project": "scdfm", "entity": None, "mode": "offline"}
    assert [*watched_by(told)] == ["tensorboard", "wandb", "mlflow"]
    assert watch(**told) == told
    for wrong, line in (
        ({"wandbb": True}, "watch: watcher 'wandbb' does not exist; did you mean 'wandb'?"),
        ({"wandb": {"projekt": "a"}}, "wandb: unknown setting 'projekt'; did you mean 'project'?"),
        ({"wandb": 3}, "wandb: expected true, false or settings as `name: value`, got 3"),
        ({"tensorboard": {"a": 1}}, "tensorboard: unknown setting 'a'"),
    ):
        with pytest.raises(ValueError, match=r"run\.yaml: watch: ") as raised:
            watch(**wrong)
        assert line in str(raised.value)


def records_of(file: Path) -> Iterator[bytes]:
    """Records of a file of W&B: after 7 bytes blocks of 32 KiB, as LevelDB writes them."""
    content, at, whole = file.read_bytes(), 7, b""
    while at + 7 <= len(content):
        size, kind = struct.unpack_from("<HB", content, at + 4)
        if 32_768 - at % 32_768 < 7 or not kind:
            at += 32_768 - at % 32_768
            continue
        whole += content[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # all of a record, or its end
            yield whole
            whole = b""


def test_wandb_offline_keeps_a_run_of_each_session(run: RunConfig, trained: Path) -> None:
    records = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    run = run.model_copy(update={"watch": {"wandb": {"mode": "offline", "project": "cells"}}})
    fail_once(run, at=4, once=lambda: any(run.directory.glob("wandb/offline-run-*/*.wandb")))
    train_here(run)
    files = sorted(run.directory.glob("wandb/offline-run-*/*.wandb"))
    assert len(files) == 2
    runs, steps = set[str](), set[int]()
    for record in map(records.Record.FromString, itertools.chain(*map(records_of, files))):
        if record.WhichOneof("record_type") == "run":
            runs.add(f"{record.run.project}/{record.run.run_id}")
        for item in record.history.item:
            if "loss/loss" in (item.key, *item.nested_key):
                steps.add(record.history.step.num)
    assert runs == {f"cells/{RunDirectory(run.directory).times.key}"}
    assert steps == {1, 2, 3, 4, 5, 6}
    assert bytes_of(run.directory) == bytes_of(trained)


def test_mlflow_has_every_step_once(run: RunConfig, tmp_path: Path, trained: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    address = f"sqlite:///{tmp_path}/mlflow.db"
    watch = {"tensorboard": False, "mlflow": {"tracking_uri": address, "experiment": "cells"}}
    run = run.model_copy(update={"watch": watch})
    client = mlflow.MlflowClient(tracking_uri=address)

    def found() -> Any:
        experiment = client.get_experiment_by_name("cells")
        return client.search_runs([experiment.experiment_id]) if experiment else []

    # Its database takes seconds to be made.
    fail_once(run, at=4, once=lambda: any("loss/loss" in one.data.metrics for one in found()))
    train_here(run)
    [one] = found()
    assert (one.info.run_name, one.info.status) == ("tiny", "FINISHED")
    assert one.data.params["model.width"] == "16"
    for name, steps in (("loss/loss", [1, 2, 3, 4, 5, 6]), ("validation/mse", [0, 2, 4, 6])):
        history = client.get_metric_history(one.info.run_id, name)
        assert sorted(value.step for value in history) == steps
    assert bytes_of(run.directory) == bytes_of(trained)
