"""What is said of a model that is damaged, untrained, or of a run that has not ended."""

import json
import shutil
from pathlib import Path

import fsspec
import pytest
import ray

from cli.main import run
from cluster.predict.actors import predict
from cluster.runs.directory import RESULT, RunDirectory
from cluster.runs.records import Line
from cluster.runs.whole.first_weights import warn_if_untrained
from cluster.runs.whole.unfinished import unfinished
from cluster.storage.mirror import mirror_of
from cluster.storage.places import folder_of
from scdfm.flow.checkpoint import OPTIMISER, load_model, save_model
from scdfm.flow.files import WEIGHTS
from tests.cluster.predict.asking import request
from tests.sweeps.begun import begun_sweep

pytestmark = pytest.mark.slow


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "copy")


def with_step_0(model: Path) -> None:
    """Write a model again as one of the round before the first step."""
    read = load_model(model)
    first = read.card.provenance.model_copy(update={"step": 0})
    card = read.card.model_copy(update={"provenance": first})
    save_model(type(read)(read.field, card, read.graph, read.split, read.base), model)


def flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def test_a_run_that_has_not_ended_is_told_with_the_step_of_its_best_model(copy: Path) -> None:
    (copy / RESULT).unlink()
    line = unfinished(copy / "model")
    assert line is not None
    assert line.startswith(f"{copy} has not ended: it is at step ")
    with_step_0(copy / "model")
    line = unfinished(copy / "model")
    assert line is not None
    assert line.endswith("its best model so far is of step 0, the untrained network")


def test_an_untrained_model_whose_flow_is_the_base_is_called_so(copy: Path) -> None:
    with_step_0(copy / "model")
    read = load_model(copy / "model")
    model = read.card.model.model_copy(update={"base_channel": True, "base_velocity": True})
    card = read.card.model_copy(update={"model": model})
    save_model(type(read)(read.field, card, read.graph, read.split, read.base), copy / "model")
    line = unfinished(copy / "model")
    assert line is not None
    assert line.endswith(
        "the untrained network, whose flow is the base: training added nothing to it"
    )


def test_of_rounds_that_scored_the_same_it_is_said_by_what_one_was_chosen(
    copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = RunDirectory(copy).journal
    rounds: list[Line] = [line for line in journal.lines() if "validation" in line]
    with_step_0(copy / "model")

    def said(*scores: float) -> str:
        journal.rewind(-1)
        for line, score in zip(rounds, scores, strict=False):
            journal.write({**line, "validation": {"mse": score}, "shape": line["step"] + 1.0})
        caplog.clear()
        warn_if_untrained(copy / "model", run=RunDirectory(copy))
        return caplog.text

    assert "before its first step, so" in said(0.1, 0.2, 0.3)
    assert (
        "before its first step: 1 of 2 rounds had the same mse, and of equal ones that is kept "
        "whose flow by itself makes the nearest cells (shape in metrics.jsonl), so"
    ) in said(0.1, 0.1, 0.3)


def test_an_untrained_model_is_told_by_its_card_alone(copy: Path, tmp_path: Path) -> None:
    with_step_0(copy / "model")
    model = shutil.copytree(copy / "model", tmp_path / "elsewhere")
    assert unfinished(model) == f"{model} is of step 0, the untrained network"


def test_inspect_says_that_a_model_is_the_untrained_network(
    copy: Path, tiny_store_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = begun_sweep(tiny_store_path, output=tmp_path)

    def shown(path: Path) -> str:
        assert run(["inspect", str(path)]) == 0
        return capsys.readouterr().out

    assert "untrained" not in shown(copy) + shown(copy / "model")
    with_step_0(copy / "model")
    assert "step 0, the untrained network" in shown(copy)
    assert "step 0, the untrained network" in shown(copy / "model")
    assert "untrained" not in shown(directory.path)
    shutil.copytree(copy / "model", directory.best)
    assert "step 0, the untrained network" in shown(directory.path)


def test_a_prediction_by_a_damaged_model_is_refused_before_ray_and_before_a_file(
    copy: Path, tmp_path: Path
) -> None:
    flip_a_byte(copy / "model" / WEIGHTS)
    (tmp_path / "out").mkdir()
    was = ray.is_initialized()
    with pytest.raises(ValueError, match="is damaged"):
        predict(request(copy, tmp_path / "out" / "cells.zarr"))
    assert ray.is_initialized() == was
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("part", ["", "model"])
def test_inspect_and_verify_name_the_damaged_file(
    copy: Path, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    at = copy / part
    assert run(["verify", str(at)]) == 0
    flip_a_byte(copy / "model" / WEIGHTS)
    assert run(["verify", str(at)]) == 1
    assert f"{WEIGHTS}: its bytes changed" in capsys.readouterr().err
    for shown in ([], ["--json"]):
        assert run(["inspect", str(at), *shown]) != 0
        assert f"{WEIGHTS} is damaged" in capsys.readouterr().err


def test_verify_of_a_run_reads_its_training_states(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    states = sorted((copy / "checkpoints").glob("*/manifest.json"))
    if not states:
        pytest.skip("this run has kept no training state")
    flip_a_byte(states[-1])
    capsys.readouterr()
    assert run(["verify", str(copy), "--json"]) == 1
    [fault] = json.loads(capsys.readouterr().out)["faults"]
    assert fault["path"].endswith("manifest.json")


@pytest.mark.parametrize("missing", ["model.json", "model.safetensors"])
def test_verify_names_a_missing_file_of_a_model(
    copy: Path, missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (copy / "model" / missing).unlink()
    assert run(["verify", str(copy)]) == 1
    assert f"model/{missing}: missing" in capsys.readouterr().err


def test_verify_reads_states_and_runs_below_in_an_object_store(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    system, address = fsspec.filesystem("memory"), "memory://verified/tiny"
    for inner in (address, f"{address}/members/0"):
        mirror = mirror_of(inner)
        mirror.begin()
        shutil.copytree(copy, mirror.folder, dirs_exist_ok=True)
        mirror.commit()

    def verified() -> tuple[int, str]:
        """As by a process that has fetched nothing yet."""
        shutil.rmtree(folder_of(address))
        mirror_of.cache_clear()
        return run(["verify", address]), capsys.readouterr().err

    assert verified()[0] == 0
    for inner in ("checkpoints", "members/0/checkpoints"):
        place = f"{address}/{inner}".replace("/checkpoints", "/parts/checkpoints")
        part = next(one for one in system.find(place) if OPTIMISER in one)
        content = system.cat_file(part)
        system.pipe_file(part, b"other" + content[5:])
        status, said = verified()
        assert status == 1
        assert f"/{OPTIMISER}: its bytes changed" in said
        assert f": {inner}/" in said
        system.rm_file(part)
        assert f"/{OPTIMISER}: missing" in verified()[1]
        system.pipe_file(part, content)
