"""Progress in a pipe is plain lines on standard error."""

import io
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from cli.show.numbers import device_hours, numbers
from cli.show.progress import Bar, SweepBar, TrainingBar
from cli.show.times import duration
from cluster.runs.records import Line
from sweeps.events import Kind, SweepEvent
from tests.terminal import Screen


def test_a_training_run_says_step_losses_rate_and_time_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with TrainingBar() as bar:
        bar.report(
            {
                "step": 50, "steps": 200, "loss": 0.5, "cfm": 0.4, "mmd": 0.2,
                "learning_rate": 1e-3, "steps_per_second": 10.0,
            }
        )  # fmt: skip
        bar.report({"step": 50, "steps": 200, "validation": {"mse": 0.01}, "best": True})
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "train 50/200 steps  10 steps/s  15 s left  loss 0.5  cfm 0.4  mmd 0.2",
        "validation at step 50: mse 0.01  best so far",
    ]


def test_time_left_of_training_counts_what_rounds_took(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("cli.show.progress.time", SimpleNamespace(monotonic=lambda: now))
    with TrainingBar(validate_every=50) as bar:
        step: Line = {"step": 50, "steps": 120, "loss": 0.5, "steps_per_second": 10.0}
        bar.report(step)
        now = 30.0
        bar.report({"step": 50, "steps": 120, "validation": {"mse": 0.01}})
        now = 40.0
        bar.report({**step, "step": 60})
        now = 50.0
        bar.report({**step, "step": 100})
        bar.report({"step": 100, "steps": 120})  # a worker has died in the round
        now = 500.0
        bar.report({"step": 100, "steps": 120, "validation": {"mse": 0.01}})
        bar.report({**step, "step": 120})
        bar.report({"step": 120, "steps": 120, "validation": {"mse": 0.01}})
        bar.report({"step": 120, "steps": 120, "note": "the end"})
    said = [line for line in capsys.readouterr().err.splitlines() if "left" in line]
    assert "  7 s left" in said[0]  # no round was timed yet
    assert "  1 min 7 s left" in said[1]  # 70 steps, and rounds of 30 s at 100 and 120
    assert "  1 min 6 s left" in said[2]
    assert "  1 min 2 s left" in said[3]  # the round at 100 is still to come
    assert "  32 s left" in said[4]  # a start is no part of a round
    assert "train 120/120 steps  10 steps/s  30 s left  scoring on" in said[5]  # its last round
    assert len(said) == 6


def test_a_pipe_is_not_flooded(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar("work", unit="steps") as bar:
        for done in range(1, 1_001):
            bar.update(done, 1_000)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[-1].startswith("work 1000/1000 steps")


def test_work_done_earlier_does_not_count_as_speed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 10.0])
    # Its own clock: other threads look at that of Python.
    monkeypatch.setattr("cli.show.progress.time", SimpleNamespace(monotonic=lambda: next(clock)))
    with Bar("work", unit="steps") as bar:
        bar.update(500, 1_000)
        bar.update(510, 1_000)
    assert "1 steps/s  8 min 10 s left" in capsys.readouterr().err


def test_a_sweep_tells_how_each_trial_goes(capsys: pytest.CaptureFixture[str]) -> None:
    def event(kind: Kind, *, over: int = 0, best: float | None = None, **facts: Any) -> SweepEvent:
        return SweepEvent(kind=kind, trial=1, trials=2, over=over, metric="mse", best=best, **facts)

    with SweepBar() as bar:
        bar.report(event("round", split=0, step=100, value=0.03))
        bar.report(event("start", configuration={"graph.k": 5, "training.clip_norm": None}))
        bar.report(event("retry", error="ActorDiedError: gone"))
        bar.report(event("complete", value=0.02, over=2, best=0.02))
    lines = capsys.readouterr().err.splitlines()
    assert lines[:4] == [
        "tune 0/2 trials  trial 1 at step 100: best mse 0.03",
        "trial 1 starts: graph.k 5  training.clip_norm none",
        "trial 1 is tried again: ActorDiedError: gone",
        "trial 1 is complete: mse 0.02",
    ]
    assert lines[4].startswith("tune 2/2 trials")
    assert lines[4].endswith("best mse 0.02")


def test_a_sweep_tells_the_time_left_as_it_is_estimated_from_its_trials(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with SweepBar() as bar:
        bar.report(
            SweepEvent(kind="round", trial=2, trials=2, over=1, metric="mse", best=0.1, left=90.0)
        )
    assert "tune 1/2 trials  1 min 30 s left" in capsys.readouterr().err


def test_work_that_goes_on_from_an_earlier_step_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with TrainingBar() as bar:
        bar.report({"step": 300, "steps": 600, "loss": 0.5})
        bar.report({"step": 200, "steps": 600})  # a session begins, after a worker has died
    assert "goes on from step 200" in capsys.readouterr().err.splitlines()
    with SweepBar(splits=2, steps=600) as sweep:
        sweep.report(
            SweepEvent(
                kind="retry",
                trial=1,
                trials=2,
                over=0,
                metric="mse",
                best=None,
                split=1,
                step=200,
                error="its process died",
            )
        )
    said = "trial 1 is tried again from step 200 of split 1: its process died"
    assert said in capsys.readouterr().err.splitlines()


def test_an_undefined_metric_is_said() -> None:
    assert numbers({"mse": 0.123456, "pearson_delta": None}) == (
        "mse 0.1235  pearson_delta undefined"
    )


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (200, "3 min 20 s"), (7_500, "2 h 5 min")]
)
def test_a_duration_reads_as_people_say_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_training_run_says_that_it_scores_before_the_first_step_and_between_steps(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with TrainingBar(validate_every=50) as bar:
        bar.report({"step": 0, "steps": 200, "note": "computes in float32"})
    assert "train 0/200 steps  scoring the untrained model" in capsys.readouterr().err.splitlines()
    with TrainingBar(validate_every=50) as bar:
        bar.report({"step": 50, "steps": 200, "loss": 0.5})
    assert "scoring on validation conditions" in capsys.readouterr().err


def test_a_training_run_says_which_fold_it_trains_and_no_loss_of_the_one_before(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second = ({"fold": number, "folds": 2, "steps": 4} for number in (1, 2))
    with TrainingBar() as bar:
        bar.report({**first, "step": 4, "loss": 0.5, "steps_per_second": 2.0})
        bar.report({**first, "step": 4, "validation": {"mse": 0.01}})
        bar.report({**second, "step": 4, "note": "computes in float32"})
        bar.report({"step": 4, "steps": 4, "note": "2 folds"})
    scoring = "scoring on validation conditions"
    assert capsys.readouterr().err.splitlines() == [
        f"train 4/4 steps  2 steps/s  fold 1 of 2  {scoring}  loss 0.5",
        "fold 1 of 2, validation at step 4: mse 0.01",
        "train 4/4 steps  2 steps/s  fold 1 of 2  loss 0.5",
        "fold 2 of 2: computes in float32",
        "train 4/4 steps  fold 2 of 2",
        "2 folds",
        "train 4/4 steps",
    ]


def test_an_undefined_number_is_called_undefined_however_it_comes() -> None:
    assert numbers({"a": None, "b": float("nan")}) == "a undefined  b undefined"


class Terminal(io.StringIO):
    """Keeps what a terminal is sent."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("counts", [False, True])
def test_work_that_is_refused_before_it_counts_leaves_no_line(
    monkeypatch: pytest.MonkeyPatch, counts: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())

    def work() -> None:
        with Bar("ingest", unit="cells") as bar:
            if counts:
                bar.update(3, 10)
            raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        work()
    # Not even a line that is erased again: a log of the terminal keeps it.
    assert ("\n" in terminal.getvalue()) == counts
    assert any("ingest" in line for line in Screen(terminal.getvalue()).lines) == counts


def test_hours_of_devices_are_never_told_with_an_exponent() -> None:
    told = [device_hours(hours) for hours in (0.0, 1.7e-07, 0.0017, 12.345)]
    assert told == [f"{one} device-hours" for one in ("0", "under 0.0001", "0.0017", "12.35")]
