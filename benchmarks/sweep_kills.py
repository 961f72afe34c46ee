"""One sweep that is killed again and again: nothing is lost, nothing is trained twice.

The driver is killed by SIGKILL at five moments, drawn by the seed, and the process of a trial at
two, and the command is given again where it has ended. Then the sweep is compared with one that was
left alone: its trials, their scores, its best.
"""

import os
import random
import signal
import time
from pathlib import Path
from typing import Any, NamedTuple

from sweep_cells import Command, base_of, made_up_store, sweep_of
from sweep_many import command_line, family

from sweeps.directory import SweepDirectory

DRIVER, TRIAL = "driver", "process of a trial"
PATIENCE = 600.0


class Outcome(NamedTuple):
    """What a sweep has in the end.

    Attributes:
        scores: Of each (trial, split), with the number of lines that tell it.
        best: What is called best, with its value.
        steps: That all its runs took.
        again: Of them those that were taken more than once.
    """

    scores: dict[tuple[str, int], tuple[float, int]]
    best: tuple[str, float]
    steps: int
    again: int


def kills(folder: Path, *, steps: int, trials: int, seed: int) -> bool:
    """Kill, compare, and print; whether both sweeps are equal."""
    draw = random.Random(seed)
    # Rounds are the unit of progress, a checkpoint is at each, and early stopping would make the
    # number of rounds an outcome.
    base = base_of(made_up_store(folder), steps=steps, rounds=4)
    settings = sweep_of("killed", base=base, trials=trials, failure={"retries": 3})
    settings["search"] = {"sampler": "tpe", "seed": seed, "startup": 3}
    whole = trials * 4
    moments = sorted(draw.sample(range(1, whole), 7))
    victims = [DRIVER] * 5 + [TRIAL] * 2
    draw.shuffle(victims)
    command = Command(folder, settings)
    for moment, victim in zip(moments, victims, strict=True):
        wait_for(command, rounds=moment)
        time.sleep(draw.uniform(0, 0.5))  # within a round, too
        if victim == TRIAL:
            kill_trial(command)
        else:
            command.process.send_signal(signal.SIGKILL)
            command.wait()
            command = Command(folder, settings)
        print(f"SIGKILL of the {victim} after {moment} of {whole} rounds", flush=True)
    command.finish()
    alone = Command(folder, settings | {"name": "alone"}).finish()
    return report(outcome(command), outcome(alone), trials=trials)


def wait_for(command: Command, *, rounds: int) -> None:
    """Wait until the ledger tells of so many rounds, or the command has ended."""
    deadline = time.monotonic() + PATIENCE
    while sum(one["event"] == "round" for one in command.events) < rounds:
        if command.process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the sweep ended early; see {command.sweep.name}.txt")
        time.sleep(0.02)


def kill_trial(command: Command) -> None:
    """SIGKILL of the process in which a trial trains, as soon as there is one."""
    deadline = time.monotonic() + PATIENCE
    while command.process.poll() is None and time.monotonic() < deadline:
        for process in family(command.process.pid):
            if "ray::" in command_line(process) and "train" in command_line(process):
                os.kill(process, signal.SIGKILL)
                return
        time.sleep(0.02)
    raise RuntimeError(f"no trial to kill; see {command.sweep.name}.txt")


def outcome(command: Command) -> Outcome:
    """What a sweep has in the end."""
    scores: dict[tuple[str, int], tuple[float, int]] = {}
    for one in command.events:
        if one["event"] == "split":
            pair = (one["trial"], one["split"])
            scores[pair] = (one["value"], scores.get(pair, (0.0, 0))[1] + 1)
    (key, _), (value, _) = min(scores.items(), key=lambda pair: pair[1][0])
    directory = SweepDirectory(command.sweep.directory)
    sessions = [
        session
        for trial in {trial for trial, _ in scores}
        for run in directory.runs(trial)
        for session in steps_of(list(run.times.lines()))
    ]
    taken = sum(end - begin for begin, end in sessions)
    wanted = command.sweep.run({}, split=0).training.steps * len(scores)
    return Outcome(scores, (key, value), taken, taken - wanted)


def steps_of(lines: list[Any]) -> list[tuple[int, int]]:
    """First and last step of each session of a run."""
    sessions: dict[int, list[int]] = {}
    for line in lines:
        sessions.setdefault(line["session"], []).append(line["step"])
    return [(steps[0], steps[-1]) for steps in sessions.values()]


def report(killed: Outcome, alone: Outcome, *, trials: int) -> bool:
    """Print what is equal."""
    once = all(count == 1 for _, count in killed.scores.values())
    facts = {
        f"all {trials} trials are there": len(killed.scores) == trials == len(alone.scores),
        "each (configuration, split) is scored once": once,
        "all scores are equal": killed.scores == alone.scores,
        "the best is the same": killed.best == alone.best,
    }
    for said, holds in facts.items():
        print(f"{said}: {'yes' if holds else 'NO'}")
    share = killed.again / max(1, alone.steps)
    print(f"steps taken again: {killed.again} of {alone.steps} ({share:.1%})")
    return all(facts.values())
