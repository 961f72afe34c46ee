"""Facts of a run trained in this process."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from cluster.runs.begin import OpenRun
from cluster.runs.directory import RunDirectory
from cluster.runs.history.journal import Journal
from cluster.runs.records import Best, Line
from cluster.runs.whole.first_weights import warn_if_untrained
from cluster.settings.config import RunConfig, make_run, read_run
from cluster.train import train_here
from scdfm.flow.checkpoint import load_model
from scdfm.flow.training import Round
from scdfm.screen.atomic import write_json
from tests.cluster.small import settings

pytestmark = pytest.mark.slow


def lines_of(directory: Path) -> list[Line]:
    return list(RunDirectory(directory).journal.lines())


def weights(directory: Path) -> bytes:
    return (directory / "model" / "model.safetensors").read_bytes()


def test_a_finished_run_holds_all_that_is_promised(trained: Path) -> None:
    expected = {"run.yaml", "split.json", "manifest.json", "metrics.jsonl", "best.json"}
    assert expected | {"checkpoints", "model", "lease", "result.json"} <= {
        path.name for path in trained.iterdir()
    }
    manifest = json.loads((trained / "manifest.json").read_text())
    assert {"fingerprint", "versions", "commit", "hardware"} <= manifest.keys()
    assert [(one["step"], one["precision"]) for one in manifest["arithmetic"]] == [(0, "float32")]


def test_the_journal_has_the_untrained_round_and_every_step(trained: Path) -> None:
    lines = lines_of(trained)
    rounds = [line["step"] for line in lines if "validation" in line]
    assert rounds == [0, 2, 4, 6]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4, 5, 6]


def test_the_exported_model_is_the_best_round(trained: Path) -> None:
    best = json.loads((trained / "best.json").read_text())
    lines = lines_of(trained)
    scores = {line["step"]: line["validation"]["mse"] for line in lines if "validation" in line}
    assert best["step"] == min(scores, key=scores.__getitem__)
    assert load_model(trained / "model").card.provenance.step == best["step"]


def test_a_best_model_that_never_learnt_is_named(
    run: RunConfig, caplog: pytest.LogCaptureFixture
) -> None:
    def at(step: int) -> str:
        caplog.clear()
        model = train_here(run, on_round=lambda outcome: outcome.step < step).model
        warn_if_untrained(model, run=RunDirectory(run.directory))
        return caplog.text

    assert f"{run.directory / 'model'} has its first weights; train longer" in at(0)
    best = json.loads((run.directory / "best.json").read_text())
    write_json(run.directory / "best.json", {**best, "metrics": {"mse": 1e9}})
    assert at(2) == ""


def test_a_model_of_a_beginning_without_a_state_does_not_pass_for_that_of_the_next(
    run: RunConfig,
) -> None:
    def killed() -> None:  # between its first model and its first state
        train_here(run, on_round=lambda outcome: False)
        shutil.rmtree(run.directory / "checkpoints")

    seen: list[Best | None] = []
    killed()
    train_here(
        run,
        report=lambda line: seen.append(RunDirectory(run.directory).best),
        on_round=lambda outcome: False,
    )
    assert seen[0] is None
    killed()
    assert RunDirectory(run.directory).model is not None
    opened = OpenRun(run.model_copy(update={"seed": 5}))
    with opened.directory.held() as directory:
        opened.prepare(directory)
    assert (directory.best, directory.model) == (None, None)


def test_a_callers_number_of_threads_is_left_as_it_was(run: RunConfig) -> None:
    before, during = torch.get_num_threads(), set[int]()

    def look(outcome: Round) -> bool:
        during.add(torch.get_num_threads())
        return False

    torch.set_num_threads(2)
    try:
        train_here(run.model_copy(update={"threads": 1}), on_round=look)
        assert during == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_running_again_changes_nothing(run: RunConfig) -> None:
    first = train_here(run)
    before = {path: path.stat().st_mtime_ns for path in first.model.iterdir()}
    lines: list[dict[str, Any]] = []
    again = train_here(run, report=lines.append)
    assert again == first
    assert lines == []
    assert {path: path.stat().st_mtime_ns for path in first.model.iterdir()} == before


@pytest.mark.parametrize("source", ["control", "noise", "other_control"])
def test_a_stopped_run_ends_with_the_same_bytes(
    tiny_store_path: Path, tmp_path: Path, source: str
) -> None:
    whole = make_run(settings(tiny_store_path, tmp_path / "a", source=source), where="test")
    parts = make_run(settings(tiny_store_path, tmp_path / "b", source=source), where="test")
    train_here(whole)
    stopped = train_here(parts, on_round=lambda outcome: outcome.step < 2)
    assert not stopped.finished
    assert train_here(parts).finished
    assert weights(parts.directory) == weights(whole.directory)
    final = [RunDirectory(run.directory).states.newest for run in (whole, parts)]
    assert final[0] is not None
    assert final[1] is not None
    assert (final[0] / "model.safetensors").read_bytes() == (
        final[1] / "model.safetensors"
    ).read_bytes()


def test_a_resumed_run_reports_no_step_twice(run: RunConfig) -> None:
    def fall_over(outcome: Round) -> bool:
        if outcome.step == 4:
            raise KeyboardInterrupt
        return True

    with pytest.raises(KeyboardInterrupt):
        train_here(run, on_round=fall_over)
    train_here(run)
    lines = lines_of(run.directory)
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in lines if "validation" in line] == [0, 2, 4, 6]


def test_how_steps_are_computed_is_said_once_and_again_where_it_changes(run: RunConfig) -> None:
    train_here(run, on_round=lambda outcome: outcome.step < 2)
    train_here(run, on_round=lambda outcome: outcome.step < 4)
    file = run.directory / "manifest.json"
    facts = json.loads(file.read_text())
    [begun] = facts["arithmetic"]
    file.write_text(json.dumps(facts | {"arithmetic": [begun | {"device": "cuda"}]}))
    train_here(run)
    kept = json.loads(file.read_text())["arithmetic"]
    assert [(one["step"], one["device"]) for one in kept] == [(0, "cuda"), (4, "cpu")]
    lines = lines_of(run.directory)
    notes = [(line["step"], line["note"]) for line in lines if "computes" in line.get("note", "")]
    assert [step for step, _ in notes] == [0, 4]
    assert notes[1][1].startswith("computes in float32 on cpu, ")


def test_half_the_bits_train_another_model_and_resume_with_the_same_bytes(
    tiny_store_path: Path, tmp_path: Path
) -> None:
    values = settings(tiny_store_path, tmp_path / "a", precision="bf16")
    whole = make_run(values, where="test")
    parts = make_run(values | {"output": str(tmp_path / "b")}, where="test")
    plain = make_run(values | {"output": str(tmp_path / "c"), "precision": "float32"}, where="test")
    for one in (whole, plain):
        train_here(one)
    train_here(parts, on_round=lambda outcome: outcome.step < 2)
    train_here(parts)
    assert weights(parts.directory) == weights(whole.directory)
    assert weights(plain.directory) != weights(whole.directory)


def test_what_a_killed_process_left_half_written_is_swept(run: RunConfig) -> None:
    train_here(run, on_round=lambda outcome: outcome.step < 2)
    checkpoints = run.directory / "checkpoints"
    leftovers = [
        checkpoints / ".step-00000004.123.tmp",
        run.directory / ".model.123.tmp",
        run.directory / ".model.123.old",
    ]
    for leftover in leftovers:
        leftover.mkdir()
        (leftover / "model.safetensors").write_bytes(b"half")
    train_here(run)
    assert sorted(path.name[-1] for path in checkpoints.iterdir()) == ["2", "4", "6"]
    assert not any(leftover.exists() for leftover in leftovers)


def test_another_configuration_under_the_same_name_is_refused(
    run: RunConfig, tiny_store_path: Path, tmp_path: Path
) -> None:
    train_here(run)
    other = make_run(settings(tiny_store_path, tmp_path, seed=2), where="test")
    with pytest.raises(ValueError, match="holds another run: seed was 1 and is now 2"):
        train_here(other)


def test_a_run_that_has_learnt_nothing_may_still_be_changed(
    run: RunConfig, tiny_store_path: Path, tmp_path: Path
) -> None:
    with RunDirectory(run.directory).held() as directory:
        OpenRun(run).prepare(directory)
    other = make_run(settings(tiny_store_path, tmp_path, seed=2, compile="off"), where="test")
    assert train_here(other).finished
    assert read_run(run.directory / "run.yaml") == other
    assert not list(run.directory.glob("*.tmp"))


@pytest.mark.parametrize("end", [b"", b"\xff\n"], ids=["cut off", "no text"])
def test_a_journal_torn_by_a_kill_is_read_up_to_the_tear(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2}\n{"st' + end)
    assert [line["step"] for line in Journal(path).lines()] == [1, 2]
