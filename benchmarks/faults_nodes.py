"""Faults of nodes, on a cluster of two hosts with a shared disk: all work is on the other host.

One host is this machine, without a core; the other is a network namespace. It takes root.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from faults_work import ALL, DONE, STEPS, UNIT, Bench, Command, Home, Row, begun_at, step_of
from hosts import TwoHosts, missing

_LATE = 30.0  # seconds
_OCCUPY = """
import ray, sys
ray.init(address=sys.argv[1], log_to_driver=False)

@ray.remote(num_cpus=2)
class Holder:
    def hold(self): return True

holder = Holder.remote()
ray.get(holder.hold.remote())
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def _cluster() -> Iterator[TwoHosts]:
    lacks = missing()
    if lacks is not None:
        raise SystemExit(f"faults of nodes: {lacks}")
    with TwoHosts(cpus=(0, 2), hidden=()) as two:
        two.start()
        yield two


def _started(bench: Bench, two: TwoHosts, home: Home, what: str = "train") -> Command:
    more = ("--address", two.address)
    return Command(home, *bench.work(what, home), *more, environment=two.environment)


def _went_on(bench: Bench, command: Command, home: Home, *, at: int, fault: float) -> Row:
    """A row, but for its fault, of a run whose driver started workers again."""
    command.wait_until(lambda: home.run.times.sessions >= 2)
    again = begun_at(home.run)
    command.wait_until(lambda: step_of(home.run) > again or home.run.finished)
    took = time.monotonic() - fault
    same = command.end() == 0 and bench.equal("train", home)
    return Row("", f"step {at}", "", took, max(0, at - again), same)


def raylet(bench: Bench) -> Iterator[Row]:
    """SIGKILL of a node's raylet; another node comes at once."""
    with _cluster() as two:
        for moment in bench.moments():
            home = bench.home()
            command = _started(bench, two, home)
            command.wait_until(lambda home=home, moment=moment: step_of(home.run) > moment * STEPS)
            os.kill(two.raylet(), signal.SIGKILL)
            at, fault = step_of(home.run), time.monotonic()
            two.lose()
            two.add()
            row = _went_on(bench, command, home, at=at, fault=fault)
            yield row._replace(fault="SIGKILL of a node's raylet")


def late(bench: Bench) -> Iterator[Row]:
    """A node is lost, and comes back after half a minute."""
    with _cluster() as two:
        home = bench.home()
        command = _started(bench, two, home)
        command.wait_until(lambda: step_of(home.run) > STEPS // 3)
        at, fault = step_of(home.run), time.monotonic()
        two.lose()
        time.sleep(_LATE)
        two.add()
        row = _went_on(bench, command, home, at=at, fault=fault)
        yield row._replace(fault=f"a node is lost and back after {_LATE:.0f} s")


def cut(bench: Bench) -> Iterator[Row]:
    """A node is cut off for good, and its worker lives on; another node has room."""
    with _cluster() as two:
        home = bench.home()
        command = _started(bench, two, home)
        command.wait_until(lambda: step_of(home.run) > STEPS // 4)
        at, fault = step_of(home.run), time.monotonic()
        two.cut()
        two.add_here(cpus=2)
        row = _went_on(bench, command, home, at=at, fault=fault)
        yield row._replace(fault="a node is cut off for good")


def waiting(bench: Bench) -> Iterator[Row]:
    """Ctrl-C and SIGTERM to a command that waits for room."""
    for what in ("train", "tune", "predict"):
        bench.alone(what)
    with _cluster() as two:
        for what in ("train", "tune", "predict"):
            for number in (signal.SIGINT, signal.SIGTERM):
                home = bench.home()
                with _occupied(two):
                    command = _started(bench, two, home, what)
                    command.wait_until(lambda home=home: "waiting for" in home.said)
                    ended = command.interrupt(number)
                yield _again(bench, two, home, f"{number.name} in {what}", "waiting", what, ended)


def died(bench: Bench) -> Iterator[Row]:
    """Ctrl-C and SIGTERM to a command whose node has died."""
    for what in ("train", "tune", "predict"):
        bench.alone(what)
    with _cluster() as two:
        for what in ("train", "tune", "predict"):
            for number in (signal.SIGINT, signal.SIGTERM):
                home = bench.home()
                command = _started(bench, two, home, what)
                command.wait_until(lambda h=home, w=what: DONE[w](h) >= max(1, ALL[w] // 4))
                two.lose()
                command.wait_until(lambda home=home: " died" in home.said)
                ended = command.interrupt(number)
                two.add()
                told = f"after its node died, {UNIT[what]} {DONE[what](home)}"
                yield _again(bench, two, home, f"{number.name} in {what}", told, what, ended)


def _again(
    bench: Bench, two: TwoHosts, home: Home, fault: str, moment: str, what: str, ended: str
) -> Row:
    more = ("--address", two.address)
    return bench.again(
        fault,
        home,
        what=what,
        moment=moment,
        ended=ended,
        more=more,
        environment=two.environment,
    )


@contextmanager
def _occupied(two: TwoHosts) -> Iterator[None]:
    """Someone else has all cores."""
    holder = subprocess.Popen(
        [sys.executable, "-c", _OCCUPY, two.address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=two.environment,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    try:
        yield
    finally:
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()
