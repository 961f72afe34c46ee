"""What trials cost beside their training, what two at once bring, and what early stopping saves."""

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from sweep_cells import Command, base_of, made_up_store, sweep_of

from cluster.train import train_here
from sweeps.ledger import Ledger
from sweeps.schema.files import read_sweep
from sweeps.space import split_run

ROUNDS = 8  # validation rounds of a trial that may be stopped early


class Best(NamedTuple):
    """The best trial of a sweep.

    Attributes:
        value: Of its objective.
        known: Seconds of the search until it was known: all trials were over.
        found: Seconds until it itself was over.
        rounds: Validation rounds of all trials.
    """

    value: float
    known: float
    found: float
    rounds: int


def overhead(folder: Path, *, steps: int, trials: int, turns: int) -> None:
    """Print what the platform adds to a trial; both sides take turns.

    The plain side is one process that has all libraries loaded and trains the same configurations
    one after the other by `train_here`; the other one is the search of `scdfm tune`, one trial at a
    time, from the start of its second trial: the first one loads the libraries.
    """
    base = base_of(made_up_store(folder), steps=steps, rounds=4)
    added, plain = [], []
    for turn in range(turns):
        sweep = Command(folder, sweep_of(f"overhead-{turn}", base=base, trials=trials)).finish()
        ends = [one["time"] for one in sweep.events if one["event"] == "complete"]
        with_platform = (ends[-1] - ends[0]) / (trials - 1)
        alone = _plain(folder, sweep)
        plain.append(alone)
        added.append(with_platform - alone)
        print(
            f"turn {turn + 1}: {with_platform:.2f} s a trial, {alone:.2f} s plain; whole command "
            f"{sweep.seconds:.1f} s for {trials}",
            flush=True,
        )
    usual, trial = statistics.median(added), statistics.median(plain)
    print(f"added to a trial of {trial:.1f} s: {usual:.2f} s (must: < {2 + 0.03 * trial:.2f} s)")


def _plain(folder: Path, sweep: Command) -> float:
    """Seconds of a trial of the same sweep without the platform, the first one left out."""
    file = folder / f"{sweep.sweep.name}.yaml"
    done = subprocess.run(
        [sys.executable, __file__, str(file)], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def train_plainly(file: str) -> None:
    """In the child: train what a sweep has trained, elsewhere; print seconds of one."""
    import torch

    sweep = read_sweep(file)
    tried = [trial.configuration for trial in Ledger(sweep.directory).trials()]
    torch.set_num_threads(1)
    ends = []
    for number, one in enumerate(tried):
        run = split_run(sweep, one, split=0)
        place = {"output": sweep.output / f"{sweep.name}-plain", "name": str(number)}
        train_here(run.model_copy(update=place))
        ends.append(time.monotonic())
    print((ends[-1] - ends[0]) / (len(ends) - 1))


def pair(folder: Path, *, steps: int, trials: int, turns: int) -> None:
    """Print how much faster two trials at once are; both sides take turns."""
    base = base_of(made_up_store(folder), steps=steps, rounds=4)
    ratios = []
    for turn in range(turns):
        took = {}
        for at_once in (1, 2):
            budget = {"trials": trials, "concurrent": at_once}
            settings = sweep_of(f"at-once-{at_once}-{turn}", base=base, trials=trials)
            took[at_once] = Command(folder, settings | {"budget": budget}).finish().searching
        ratios.append(took[1] / took[2])
        print(
            f"turn {turn + 1}: {took[1]:.1f} s one by one, {took[2]:.1f} s two at once", flush=True
        )
    print(f"two at once: {statistics.median(ratios):.2f} times as fast (must: 1.8)")


def asha(folder: Path, *, steps: int, trials: int, seeds: int, at_once: int) -> None:
    """Print how soon the best of some trials is known with early stopping, and without."""
    base = base_of(made_up_store(folder), steps=steps, rounds=ROUNDS)
    rules = {"none": {"scheduler": "none"}, "asha": {"scheduler": "asha", "grace": 1, "factor": 2}}
    ratios = []
    for seed in range(seeds):
        found = {}
        for name, prune in rules.items():
            settings = sweep_of(f"{name}-{seed}", base=base, trials=trials, prune=prune)
            settings["search"] = {"sampler": "random", "seed": seed}
            settings["budget"] = {"trials": trials, "concurrent": at_once}
            found[name] = best(Command(folder, settings).finish())
            one = found[name]
            print(
                f"seed {seed}, {name}: best {one.value:.5f}, known after {one.known:.1f} s, found "
                f"after {one.found:.1f} s, {one.rounds} rounds",
                flush=True,
            )
        ratios.append(found["asha"].known / found["none"].known)
    share = statistics.median(ratios)
    print(f"asha knows the best of {trials} after {share:.2f} of the time (must: 0.5)")


def best(sweep: Command) -> Best:
    """The best trial of a sweep that has ended."""
    events = sweep.events
    began = next(one["time"] for one in events if one["event"] == "start")
    ends = {one["trial"]: one["time"] for one in events if one["event"] == "complete"}
    values = {
        one["trial"]: one["value"]
        for one in events
        if one["event"] == "split" and one["trial"] in ends
    }
    winner = min(values, key=lambda key: values[key])
    return Best(
        value=values[winner],
        known=sweep.searching,
        found=ends[winner] - began,
        rounds=sum(one["event"] == "round" for one in events),
    )


if __name__ == "__main__":
    train_plainly(sys.argv[1])
