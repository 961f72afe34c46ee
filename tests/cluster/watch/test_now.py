"""Where a run stands, as another process sees it in its files."""

import json
import logging
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cluster.runs.directory import RunDirectory
from cluster.settings.config import RunConfig, make_run
from cluster.train import train_here
from cluster.work.watch.now import Now, now, plain
from scdfm.flow.training import Round
from tests.cluster.small import settings

pytestmark = pytest.mark.slow


def at(run: RunConfig) -> Now:
    return now(RunDirectory(run.directory))


def test_a_run_that_is_done_says_so_with_its_curves(trained: Path) -> None:
    found = now(RunDirectory(trained))
    assert (found.state, found.step, found.steps) == ("done", 6, 6)
    assert [step for step, _ in found.loss] == [1, 2, 3, 4, 5, 6]
    assert [step for step, _ in found.scores] == [0, 2, 4, 6]
    assert found.losses["loss"] == found.loss[-1][1]
    assert found.best == RunDirectory(trained).best
    assert found.fault is None
    assert found.speed is not None
    assert found.speed.left == 0
    assert found.speed.waiting is not None
    assert 0 <= found.speed.waiting < 1
    assert json.loads(json.dumps(plain(found)))["score"] == found.scores[-1][1]


def test_a_run_is_waiting_then_running_then_stopped(run: RunConfig) -> None:
    seen: dict[int, Now] = {}

    def look(outcome: Round) -> bool:
        seen[outcome.step] = at(run)
        return outcome.step < 4

    train_here(run, on_round=look)
    assert {one.state for one in seen.values()} == {"running"}
    assert [one.step for one in seen.values()] == [0, 2, 4]
    assert at(run).state == "stopped"
    directory = RunDirectory(run.directory)
    with directory.held(), directory.said.kept():
        assert at(run).state == "waiting"
        logging.getLogger("cluster.nodes").warning("waiting for 2 workers x 4 CPUs")
        assert at(run).doing == "waiting for 2 workers x 4 CPUs"
        directory.times.begin(4, lines=0)
        time.sleep(0.002)  # times have milliseconds
        assert at(run).state == "running"
        time.sleep(0.002)
        logging.getLogger("cluster.nodes").warning("waiting for 1 worker x 4 CPUs")
        assert (at(run).state, at(run).doing) == ("waiting", "waiting for 1 worker x 4 CPUs")
    assert at(run).state == "stopped"
    assert train_here(run).finished
    assert at(run).state == "done"


def test_the_error_that_ended_a_run_is_kept_until_it_is_begun_again(run: RunConfig) -> None:
    def fail(outcome: Round) -> bool:
        if outcome.step == 2:
            raise OSError("the disk\nis gone")
        return True

    with pytest.raises(OSError, match="the disk"):
        train_here(run, on_round=fail)
    found = at(run)
    assert (found.state, found.step) == ("stopped", 2)
    assert found.fault is not None
    assert (found.fault["level"], found.fault["said"]) == ("error", "the disk is gone")
    assert found.logs == (run.directory / "log.jsonl",)
    train_here(run)
    assert at(run).fault is None


def test_a_run_that_is_refused_leaves_no_log(tiny_store_path: Path, tmp_path: Path) -> None:
    wrong = settings(tiny_store_path, tmp_path, genes={"model": 24, "evaluation": 12})
    run = make_run(wrong | {"store": str(tmp_path / "none")}, where="test")
    directory = RunDirectory(run.directory)
    with pytest.raises(ValueError, match="no"), directory.held(), directory.said.kept():
        raise ValueError("no")
    assert not run.directory.exists()


def test_a_run_on_another_machine_is_believed_as_long_as_it_gives_signs(run: RunConfig) -> None:
    train_here(run, on_round=lambda outcome: outcome.step < 2)
    lease = run.directory / "lease"

    def elsewhere(*, ago: float) -> None:
        began = datetime.fromtimestamp(time.time() - ago, UTC).isoformat()
        told = json.loads(lease.read_text()) | {"host": "elsewhere", "since": began}
        lease.write_text(json.dumps(told))
        for name in ("times.jsonl", "log.jsonl"):
            path = run.directory / name
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            for line in lines:
                if "time" in line:
                    line["time"] -= ago
            path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    elsewhere(ago=0)
    assert at(run).state == "stopped", "its driver has said so"
    log = run.directory / "log.jsonl"
    log.write_text(log.read_text().splitlines(keepends=True)[0])  # as a lost machine leaves it
    found = at(run)
    assert found.holder is not None
    assert (found.state, found.holder.host, found.holder.alive) == ("waiting", "elsewhere", None)
    RunDirectory(run.directory).times.begin(2, lines=0)
    assert at(run).state == "running"
    elsewhere(ago=3_600)
    assert at(run).state == "stopped"


def test_the_fold_that_trains_is_named(run: RunConfig) -> None:
    folded = run.model_copy(update={"validation": run.validation.model_copy(update={"folds": 2})})
    seen: list[Now] = []

    def look(line: object) -> None:
        seen.append(at(folded))

    train_here(folded, report=look)
    assert {one.fold for one in seen} == {(1, 2), (2, 2), None}
    assert max(one.step for one in seen if one.fold == (2, 2)) == 6
    assert at(folded).state == "done"
