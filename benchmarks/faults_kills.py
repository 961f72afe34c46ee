"""SIGKILL of what works, and signals to the command: on one machine, at drawn moments."""

import os
import signal
import time
from collections.abc import Iterator

from faults_work import ALL, DONE, STEPS, TRIALS, UNIT, Bench, Command, Row, begun_at, step_of


def worker(bench: Bench) -> Iterator[Row]:
    """SIGKILL of the worker: the driver starts another."""
    for moment in bench.moments():
        home = bench.home()
        command = Command(home, *bench.work("train", home))
        command.wait_until(lambda home=home, moment=moment: step_of(home.run) > moment * STEPS)
        os.kill(command.victim("RayTrainWorker"), signal.SIGKILL)
        at, fault = step_of(home.run), time.monotonic()
        command.wait_until(lambda home=home: home.run.times.sessions == 2)
        again = begun_at(home.run)
        command.wait_until(lambda home=home, again=again: step_of(home.run) > again)
        took = time.monotonic() - fault
        same = command.end() == 0 and bench.equal("train", home)
        yield Row("SIGKILL of a worker", f"step {at}", "", took, at - again, same)


def driver(bench: Bench) -> Iterator[Row]:
    """SIGKILL of the driver and of all that it has started."""
    for moment in bench.moments():
        home = bench.home()
        command = Command(home, *bench.work("train", home))
        command.wait_until(lambda home=home, moment=moment: step_of(home.run) > moment * STEPS)
        command.kill_all()
        command.end()
        at = step_of(home.run)
        yield bench.again("SIGKILL of the driver", home, at=at, ended="killed")


def trial(bench: Bench) -> Iterator[Row]:
    """SIGKILL of the process of a trial: it is tried again, from its checkpoint."""
    for moment in bench.moments():
        home = bench.home()
        command = Command(home, *bench.work("tune", home))
        wanted = int(moment * TRIALS)
        command.wait_until(lambda home=home, wanted=wanted: DONE["tune"](home) >= wanted)
        # Between two trials the process waits; a trial has begun once a run more is there.
        command.wait_until(
            lambda home=home, wanted=wanted: (
                len([*home.sweep.glob("trials/*/split-0/metrics.jsonl")]) > wanted
            )
        )
        os.kill(command.victim("ray::ImplicitFunc"), signal.SIGKILL)
        fault, done = time.monotonic(), DONE["tune"](home)
        command.wait_until(lambda home=home, done=done: DONE["tune"](home) > done)
        took = time.monotonic() - fault
        same = command.end() == 0 and bench.equal("tune", home)
        yield Row("SIGKILL of a trial", f"trial {done + 1}", "", took, None, same)


def actor(bench: Bench) -> Iterator[Row]:
    """SIGKILL of an actor that predicts: its shard is predicted again."""
    for moment in bench.moments():
        home = bench.home()
        command = Command(home, *bench.work("predict", home))
        wanted = moment * ALL["predict"]
        command.wait_until(lambda home=home, wanted=wanted: DONE["predict"](home) >= wanted)
        os.kill(command.victim("ray::Predictor"), signal.SIGKILL)
        fault, done = time.monotonic(), DONE["predict"](home)
        enough = min(done + 2, ALL["predict"])  # one of them may have been written already
        command.wait_until(lambda home=home, enough=enough: DONE["predict"](home) >= enough)
        took = time.monotonic() - fault
        same = command.end() == 0 and bench.equal("predict", home)
        yield Row("SIGKILL of an actor", f"shard {done}", "", took, None, same)


def signals(bench: Bench) -> Iterator[Row]:
    """Ctrl-C and SIGTERM to each command while all is well."""
    for what in ("train", "tune", "predict"):
        for number in (signal.SIGINT, signal.SIGTERM):
            home = bench.home()
            command = Command(home, *bench.work(what, home))
            moment = bench.draw.uniform(0.1, 0.7)
            command.wait_until(lambda w=what, h=home, m=moment: DONE[w](h) >= m * ALL[w])
            ended = command.interrupt(number)
            told = f"{number.name} in {what}, {UNIT[what]} {DONE[what](home)}"
            yield bench.again(f"{number.name} in {what}", home, what=what, ended=ended, moment=told)
