"""`scdfm inspect RUN`, once and until the run ends."""

import json
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.show.run.spark import sparkline
from cluster.runs.directory import RunDirectory
from cluster.settings.config import RunConfig, make_run
from cluster.train import train_here
from scdfm.flow.training import Round
from tests.cli.conftest import Call
from tests.cluster.small import settings
from tests.terminal import Running, Screen

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tiny_store_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    values = settings(tiny_store_path, tmp_path_factory.mktemp("finished"))
    return train_here(make_run(values, where="test")).directory


@pytest.fixture
def begun(tiny_store_path: Path, tmp_path: Path) -> RunConfig:
    """A run that was stopped after two steps."""
    run = make_run(settings(tiny_store_path, tmp_path), where="test")
    train_here(run, on_round=lambda outcome: outcome.step < 2)
    return run


def test_a_curve_is_drawn_from_its_lowest_to_its_highest_value() -> None:
    assert sparkline([1, 2, 3, 4, 5, 6, 7, 8], width=8) == "▁▂▃▄▅▆▇█"
    assert sparkline([8.0, 8.0, 1.0, 1.0], width=2) == "█▁"
    assert sparkline([5.0], width=9) == "▁"
    assert sparkline([], width=9) == ""
    assert sparkline([1e6, 1e3, 1.0], width=9, plain=True) == "@=_"
    assert sparkline([0.0, -1.0], width=9) == "█▁"


def test_a_run_is_shown_with_state_curves_and_settings(scdfm: Call, finished: Path) -> None:
    shown = {line.split()[0]: line for line in scdfm("inspect", finished).out.splitlines() if line}
    assert shown["state"].split() == ["state", "done"]
    assert "6 of 6" in shown["step"]
    assert set("▁█") <= set(shown["loss"])
    assert "at step" in shown["mse"]
    assert "waiting for data" in shown["speed"]
    assert shown["settings.model.width"].split()[1] == "16"
    facts = json.loads(scdfm("inspect", finished, "--json").out)
    assert (facts["state"], facts["step"], facts["finished"]) == ("done", 6, True)
    assert facts["speed"]["waiting"] < 1


def test_following_ends_with_the_run_and_says_how(
    scdfm: Call, finished: Path, begun: RunConfig, tiny_store_path: Path
) -> None:
    done = scdfm("inspect", finished, "--follow")
    assert (done.status, done.out.splitlines()[-1]) == (0, "done")
    stopped = scdfm("inspect", begun.directory, "--follow")
    assert stopped.status == 1
    assert stopped.out.splitlines()[-1] == "stopped; run the command again to go on"
    refused = scdfm("inspect", tiny_store_path, "--follow")
    assert (refused.status, "is a store; leave it out" in refused.error) == (2, True)


@pytest.mark.parametrize("json_lines", [False, True])
def test_who_follows_sees_each_round_once(
    scdfm: Call,
    begun: RunConfig,
    monkeypatch: pytest.MonkeyPatch,
    printed: Callable[[str], threading.Event],
    json_lines: bool,
) -> None:
    monkeypatch.setattr("cli.show.following._LOOK", 0.05)
    line = '"step":{},"steps":6' if json_lines else "validation at step {}"
    seen = {step: printed(line.format(step)) for step in (4, 6)}
    began = threading.Event()

    def until_seen(outcome: Round) -> bool:
        began.set()
        seen[outcome.step].wait(60)
        return True

    training = threading.Thread(target=lambda: train_here(begun, on_round=until_seen))
    training.start()
    assert began.wait(60)
    shown = scdfm("inspect", begun.directory, "--follow", *["--json"] * json_lines)
    training.join()
    assert shown.status == 0
    lines = shown.out.splitlines()
    if json_lines:
        facts = [json.loads(line) for line in lines]
        assert [one["state"] for one in facts][-1] == "done"
        assert {4, 6} <= {one["step"] for one in facts}
        return
    assert [line.split(":")[0] for line in lines if line.startswith("validation")] == [
        f"validation at step {step}" for step in (0, 2, 4, 6)
    ]
    assert lines[-1] == "done"


def test_following_on_a_terminal_is_drawn_again_and_ends_by_ctrl_c(begun: RunConfig) -> None:
    directory = RunDirectory(begun.directory)
    with directory.held(), directory.said.kept():
        running = Running(["inspect", begun.directory, "--follow"], cwd=begun.output, terminal=True)
        running.wait_for("waiting: starting")
        directory.times.begin(2, lines=0)
        running.wait_for("running")
        running.send(signal.SIGINT)
        ended = running.end()
    assert ended.status == 130
    assert len(ended.said) == 1
    screen = Screen(ended.text)
    assert not screen.overrun
    assert screen.cursor
    assert ended.left == []
    assert sum(line.split()[:1] == ["state"] for line in screen.lines) == 1, screen.lines
