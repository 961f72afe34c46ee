"""`scdfm inspect SWEEP`, once and until it ends; and the table of what runs."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest

from cli.show.progress import SweepBar
from cli.show.sweep.follow import FollowedSweep
from cli.show.sweep.live import RunningTable
from cli.show.sweep.state import cost_of, left_of, trials_of
from sweeps.directory import SweepDirectory
from sweeps.events import SweepEvent
from sweeps.ledger import Event
from sweeps.results import Chosen, write_choice
from sweeps.watching.now import Now, now
from tests.cli.conftest import Call
from tests.sweeps.begun import begun_sweep
from tests.terminal import heard


@pytest.fixture
def begun(tiny_store_path: Path, tmp_path: Path) -> SweepDirectory:
    """A sweep of which one trial has ended, and one is open."""
    directory = begun_sweep(tiny_store_path, output=tmp_path)
    ledger = directory.ledger
    ledger.write({"event": "session", "trials": 2, "concurrent": 1, "devices": 1.0})
    for key, k in (("a", 3), ("b", 4)):
        tried = {"graph.k": k}
        ledger.write({"event": "start", "trial": key, "configuration": tried, "baseline": k == 3})
    ledger.write({"event": "split", "trial": "a", "split": 0, "value": 0.5})
    ledger.write({"event": "complete", "trial": "a", "seconds": 60.0})
    return directory


def test_a_sweep_is_shown_in_lines_and_as_json(scdfm: Call, begun: SweepDirectory) -> None:
    shown = scdfm("inspect", begun.path).out.splitlines()
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in shown}
    assert lines["state"] == "stopped; run the command again to go on"
    assert lines["trials"] == "1 of 2 have ended (1 complete); 1 stopped in the middle"
    assert lines["best"] == "trial 1 (the base): mse 0.5"
    assert lines["cost"].endswith("0.01667 device-hours")
    facts = json.loads(scdfm("inspect", begun.path, "--json").out)
    assert (facts["kind"], facts["state"], facts["best"]["value"]) == ("sweep", "stopped", 0.5)


def test_a_sweep_that_was_stopped_in_its_further_seeds_says_so(
    scdfm: Call, begun: SweepDirectory
) -> None:
    ledger = begun.ledger
    ledger.write({"event": "complete", "trial": "b", "seconds": 1.0})
    ledger.write({"event": "session", "confirming": True, "trials": 4, "concurrent": 1})
    seeded: Event = {"event": "start", "configuration": {"graph.k": 3, "seed": 1}, "confirms": "a"}
    for key in ("c", "d"):
        ledger.write({**seeded, "trial": key, "baseline": False})
    ledger.write({"event": "complete", "trial": "c", "seconds": 1.0})
    shown = " ".join(scdfm("inspect", begun.path).out.split())
    assert "stopped: the best with further seeds; run the command again to go on" in shown
    assert "2 of 2 have ended (2 complete); 1 of 4 with further seeds" in shown
    ledger.write({"event": "extend", "trials": 3, "of": 2, "begun": 2})
    shown = " ".join(scdfm("inspect", begun.path).out.split())
    assert "stopped; run the command again to go on" in shown
    assert "2 of 3 have ended (2 complete); 1 of 4 with further seeds" in shown


def test_a_sweep_that_is_done_does_nothing_any_more(scdfm: Call, begun: SweepDirectory) -> None:
    begun.ledger.write({"event": "session", "confirming": True, "trials": 0, "concurrent": 1})
    assert json.loads(scdfm("inspect", begun.path, "--json").out)["doing"] == "further seeds"
    begun.ledger.close()
    assert json.loads(scdfm("inspect", begun.path, "--json").out)["doing"] is None


def test_time_left_and_cost_say_what_is_in_them(begun: SweepDirectory) -> None:
    with begun.held():
        looked = now(begun)._replace(left=5400.0)
        assert left_of(looked) == "about 1 h 30 min"
        told = left_of(looked._replace(left_of_seeds=1450.0))
        assert told == "about 1 h 30 min, 24 min 10 s of it for further seeds"
        assert "test scores" not in cost_of(looked)
        begun.ledger.write({"event": "final"})
        assert cost_of(now(begun)).endswith("device-hours; test scores not counted")


def test_only_trials_that_use_up_the_budget_are_counted_as_ended(begun: SweepDirectory) -> None:
    ledger = begun.ledger
    for key, end in (("b", "failed"), ("c", "failed"), ("d", "infeasible"), ("e", "pruned")):
        start: Event = {"event": "start", "trial": key, "configuration": {"graph.k": 3}}
        ledger.write({**start, "baseline": False})
        if key == "c":
            ledger.write({"event": "abort"})  # b is tried again, c is not
        ledger.write({"event": end, "trial": key, "seconds": 1.0})  # type: ignore[typeddict-item]
    assert trials_of(now(begun)) == (
        "3 of 2 have ended (1 complete, 1 pruned, 1 failed); 1 left out, beyond the limits; "
        "1 failed, to be tried again"
    )


def at_looks(monkeypatch: pytest.MonkeyPatch, steps: Mapping[int, Callable[[], object]]) -> None:
    """Let something happen right before a look at a sweep, by the number of the look from 1."""
    monkeypatch.setattr("cli.show.following._LOOK", 0.0)
    numbers, look = count(1), FollowedSweep.look

    def counted(followed: FollowedSweep) -> Now:
        steps.get(next(numbers), lambda: None)()
        return look(followed)

    monkeypatch.setattr(FollowedSweep, "look", counted)


def test_following_a_sweep_ends_with_it(
    scdfm: Call, begun: SweepDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = scdfm("inspect", begun.path, "--follow")
    assert (left.status, left.out.splitlines()[-1]) == (
        1,
        "stopped; run the command again to go on",
    )

    with ExitStack() as working:
        working.enter_context(begun.held())

        def end() -> None:
            begun.ledger.write({"event": "failed", "trial": "b", "seconds": 1.0, "error": "gone"})
            write_choice(Chosen(trial=1, choice="trial 1, the base itself, is the best"), begun)
            begun.ledger.close()
            working.close()

        at_looks(monkeypatch, {3: end})
        done = scdfm("inspect", begun.path, "--follow")
    lines = done.out.splitlines()
    assert (done.status, lines[-1]) == (0, "done")
    assert "trial 2: about to begin" in lines
    assert "trial 2 failed: gone" in lines
    assert len([line for line in lines if line.startswith("running")]) == 1


def test_a_line_of_json_is_a_change_and_not_a_second_that_passed(
    scdfm: Call, begun: SweepDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as working:
        working.enter_context(begun.held())

        def score() -> None:
            begun.ledger.write({"event": "round", "trial": "b", "rung": 1, "value": 0.4})

        at_looks(monkeypatch, {5: score, 9: working.close})
        shown = scdfm("inspect", begun.path, "--follow", "--json")
    first, second, last = map(json.loads, shown.out.splitlines())
    assert [one["state"] for one in (first, second, last)] == ["running", "running", "stopped"]
    assert [one["running"][0]["value"] for one in (first, second)] == [None, 0.4]
    assert first["hours"] < second["hours"]  # time went on, and was no change


@pytest.mark.slow
def test_ctrl_c_ends_the_view_and_says_that_the_sweep_goes_on(begun: SweepDirectory) -> None:
    command = [sys.executable, "-m", "cli.main", "inspect", str(begun.path), "--follow"]
    with (
        heard(),
        begun.held(),
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as looking,
    ):
        assert looking.stdout is not None
        assert looking.stdout.readline() == "trial 2: about to begin\n"
        looking.send_signal(signal.SIGINT)
        _, said = looking.communicate(timeout=100)
    assert said == "scdfm: interrupted; only this view has ended, the sweep goes on\n"
    assert looking.returncode == 130


def event(kind: str, trial: int, **facts: object) -> SweepEvent:
    usual = {"trials": 40, "over": 0, "metric": "mse", "best": None}
    return SweepEvent(**{**usual, "kind": kind, "trial": trial, **facts})  # type: ignore[arg-type]


def test_the_table_of_what_runs_fits_any_width_and_height(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(monotonic=lambda: 0.0)  # which stands still on a busy machine, too
    monkeypatch.setattr("cli.show.sweep.live.time", clock)
    table = RunningTable(splits=2, steps=600)
    assert table.lines(width=80, height=20) == []
    tried = {"loss.mmd_weight": 0.123456, "graph.k": 5, "training.learning_rate": 1e-3}
    for trial in range(1, 31):
        table.take(event("start", trial, configuration=tried))
    table.take(event("round", 2, split=1, step=150, value=0.0123456))
    table.take(event("complete", 1, value=0.5))
    wide = table.lines(width=200, height=40)
    assert wide[0].split() == ["trial", "split", "step", "time", "best", "mse", *tried]
    assert wide[1].split() == ["2", "1", "150/600", "0", "s", "0.01235", "0.1235", "5", "0.001"]
    assert wide[-1] == "and 17 more trials"
    for width in (20, 40, 60, 80):
        lines = table.lines(width=width, height=10)
        assert max(map(len, lines)) <= width
        assert len(lines) <= 12
    assert "graph.k" not in table.lines(width=60, height=10)[0]


def test_a_split_has_one_number_in_the_table_in_lines_and_on_the_board(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = RunningTable(splits=2, steps=4)
    at_last = event("round", 1, split=1, step=2, value=0.5)
    table.take(at_last)
    heading, line = (row.split() for row in table.lines(width=80, height=10))
    with SweepBar(splits=2, steps=4) as bar:
        bar.report(event("split", 1, split=1, value=0.5))
        bar.report(event("pruned", 1, split=1, value=0.5))
    said = capsys.readouterr().err
    assert line[heading.index("split")] == "1"
    assert "trial 1 split 1: mse 0.5\n" in said
    assert "trial 1 is pruned at split 1 (of 2): mse 0.5\n" in said
    alone = RunningTable(splits=1, steps=4)
    alone.take(event("round", 1, split=0, step=2, value=0.5))
    assert "split" not in alone.lines(width=80, height=10)[0]


def test_a_trial_that_is_tried_again_is_shown_at_the_step_that_it_goes_on_from() -> None:
    table = RunningTable(splits=1, steps=600)

    def step() -> str:
        return table.lines(width=80, height=10)[1].split()[1]

    table.take(event("round", 1, split=0, step=300, value=0.5))
    assert step() == "300/600"
    table.take(event("retry", 1, split=0, step=200))
    assert step() == "200/600"
    for told, shown in ((100, "200/600"), (200, "200/600"), (300, "300/600")):
        table.take(event("round", 1, split=0, step=told, value=0.5))
        assert step() == shown


def test_a_trial_that_begins_while_the_table_is_drawn_is_in_the_next_one() -> None:
    table = RunningTable(splits=1, steps=4)
    begins = Thread(target=table.take, args=(event("start", 2, configuration={"graph.k": 5}),))

    class Looked(dict[str, int]):
        def __iter__(self) -> Iterator[str]:
            if begins.ident is None:
                begins.start()
                begins.join(0.1)
            return super().__iter__()

    table.take(event("start", 1, configuration=Looked({"graph.k": 5})))
    assert len(table.lines(width=80, height=20)) == 2
    begins.join()
    assert len(table.lines(width=80, height=20)) == 3


def test_a_setting_with_a_long_name_hides_no_other_from_the_live_table() -> None:
    table = RunningTable(splits=2, steps=300)
    tried = {"a.setting.of.a.plugin.with.a.name.as.long.as.a.sentence": 3, "graph.k": 10}
    table.take(event("start", 1, configuration=tried))
    heading, line = table.lines(width=80, height=10)
    assert heading.split() == ["trial", "split", "step", "time", "best", "mse", "graph.k"]
    assert line.endswith(" 10")
