"""Facts of a run that lives in an object store: as one on a disk, byte for byte."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cluster.door.model import load_model
from cluster.runs.begin import OpenRun
from cluster.runs.directory import RunDirectory
from cluster.runs.find_model import model_directory
from cluster.runs.inspect_run import describe_run
from cluster.runs.lease import lease
from cluster.settings.config import RunConfig, make_run, read_run, write_run
from cluster.storage import lease as leases
from cluster.storage.mirror import mirror_of
from cluster.storage.reading import fetched
from cluster.train import train_here
from cluster.work.evaluate import evaluate
from cluster.work.evaluation.kept import kept_beside
from cluster.work.watch.now import now
from scdfm.flow.training import Round
from tests.cluster.small import settings

# Trains, and is killed when the state of step 4 was sent and the index was not.
KILLED = """
import os, signal, sys
from pathlib import Path
from cluster.settings.config import read_run
from cluster.storage.mirror import Mirror
from cluster.train import train_here

put = Mirror._put

def put_or_die(self, files):
    if any("step-00000004" in name for name in files):
        os.kill(os.getpid(), signal.SIGKILL)
    put(self, files)

Mirror._put = put_or_die
train_here(read_run(Path(sys.argv[1])))
"""


def far(store: Path, bucket: str, **changes: Any) -> RunConfig:
    values = settings(store, Path()) | {"output": f"{bucket}/runs"}
    return make_run(values | changes, where="test")


def test_a_run_in_an_object_store_learns_the_same_bytes(
    tiny_store_path: Path, bucket: str, trained: Path
) -> None:
    run = far(tiny_store_path, bucket)
    assert run.model_dump(mode="json")["output"] == f"{bucket}/runs"
    result = train_here(run)
    for name in ("model/model.safetensors", "metrics.jsonl", "split.json", "best.json"):
        assert (result.directory / name).read_bytes() == (trained / name).read_bytes(), name
    address = f"{bucket}/runs/tiny"
    assert load_model(address).card.provenance.run == "tiny"
    assert model_directory(Path(f"{address}/model")) == result.model
    facts = describe_run(fetched(address))
    assert now(RunDirectory(fetched(address))).state == "done"
    assert (facts["path"], facts["finished"], facts["step"]) == (address, True, 6)
    before = mirror_of(address).names()
    assert train_here(run) == result
    assert mirror_of(address).names() == before, "a run that is done was written again"
    record = evaluate(Path(address), cells=4)
    assert "evaluation/evaluation.json" in mirror_of(address).names()
    mirror_of(address).folder.joinpath("evaluation/evaluation.json").unlink()
    model = model_directory(Path(address))
    kept = kept_beside(model).of(model / "model.safetensors")
    assert kept is not None
    assert (kept.weights, kept.cells) == (record.weights, record.cells)


@pytest.mark.timeout(300)
def test_a_run_killed_before_its_index_goes_on_to_the_same_bytes(
    tiny_store_path: Path, bucket: str, trained: Path, tmp_path: Path
) -> None:
    run = far(tiny_store_path, bucket)
    write_run(run, tmp_path / "run.yaml")
    assert read_run(tmp_path / "run.yaml") == run
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "run.yaml")], timeout=280)
    assert killed.returncode == -9
    kept = OpenRun(run).directory
    assert (kept.states.step, kept.stored_step()) == (2, 2)
    result = train_here(run)
    for name in ("model/model.safetensors", "metrics.jsonl"):
        assert (result.directory / name).read_bytes() == (trained / name).read_bytes(), name


def test_other_settings_and_a_second_writer_are_refused(
    tiny_store_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("BEAT", 0.2), ("_LOOK", 0.1)):
        monkeypatch.setattr(leases, name, seconds)
    run = far(tiny_store_path, bucket, training={"steps": 2, "validate_every": 2})
    line = rf"^{bucket}/runs/tiny is being written by .* since 20"
    with lease(run.directory), pytest.raises(ValueError, match=line):
        train_here(run)
    train_here(run)
    other = far(tiny_store_path, bucket, training={"steps": 2, "validate_every": 2}, seed=2)
    with pytest.raises(ValueError, match=rf"^{bucket}/runs/tiny holds another run: seed was 1 and"):
        train_here(other)


def test_folds_live_there_too(tiny_store_path: Path, bucket: str, tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "training": {"steps": 2, "validate_every": 1},
        "validation": {"cells": 4, "steps": 2, "folds": 2},
    }
    here = make_run(settings(tiny_store_path, tmp_path, **changes), where="test")
    there = far(tiny_store_path, bucket, **changes)
    one, other = train_here(here), train_here(there)
    weights = "model/model.safetensors"
    assert (one.directory / weights).read_bytes() == (other.directory / weights).read_bytes()
    assert describe_run(fetched(f"{bucket}/runs/tiny"))["folds"]["finished"] == 2
    names = mirror_of(f"{bucket}/runs/tiny/folds/0").names()
    assert not any(name.startswith("checkpoints/") for name in names)


def test_an_ensemble_lives_there_too(tiny_store_path: Path, bucket: str, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"training": {"steps": 2, "validate_every": 1}, "ensemble": 2}
    here = make_run(settings(tiny_store_path, tmp_path, **changes), where="test")
    one, other = train_here(here), train_here(far(tiny_store_path, bucket, **changes))
    hashes = (one.model / "ensemble.json").read_bytes()
    assert (other.model / "ensemble.json").read_bytes() == hashes
    names = mirror_of(f"{bucket}/runs/tiny").names()
    assert "model/members/1/model.safetensors" in names
    assert not any(name.startswith("members/") for name in names)
    assert "result.json" in mirror_of(f"{bucket}/runs/tiny/members/1").names()
    found = fetched(f"{bucket}/runs/tiny")
    assert describe_run(found)["ensemble"] == {"of": 2, "finished": 2}
    assert load_model(found).genes


def test_why_a_run_in_an_object_store_ended_is_read_from_there(
    tiny_store_path: Path, bucket: str
) -> None:
    run = far(tiny_store_path, bucket)

    def fail(outcome: Round) -> bool:
        raise OSError("the network is gone")

    with pytest.raises(OSError, match="the network"):
        train_here(run, on_round=fail)
    found = now(RunDirectory(fetched(f"{bucket}/runs/tiny")))
    assert found.state == "stopped"
    assert found.fault is not None
    assert found.fault["said"] == "the network is gone"
