"""What a search finds, and what the platform around its trials costs.

    python benchmarks/sweep.py --toy [--trials 40] [--seeds 20] [--json]
    python benchmarks/sweep.py --board 1000      # seconds to read a ledger of so many trials
    python benchmarks/sweep.py --overhead        # seconds that a trial takes beside its training
    python benchmarks/sweep.py --pair            # two trials at once over one
    python benchmarks/sweep.py --asha            # time to the best of 24, with early stopping
    python benchmarks/sweep.py --many 1000       # memory and open files of so many cheap trials
    python benchmarks/sweep.py --kills           # SIGKILL of driver and trials: nothing is lost

--steps is the length of a training, --turns how often both sides take turns.

The toy has the settings of a real sweep, and a value that follows from them at once: a bowl in four
numbers on the scales on which they are searched, with a place for the best choice, plus noise as
between seeds of a training. What counts is the value without noise of the trial that looks best,
its regret: 0 is the best there is. No Ray, no training; proposals are those of `scdfm tune`.
"""

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.storages import InMemoryStorage
from sweep_kills import kills
from sweep_many import many
from sweep_trials import asha, overhead, pair

from scdfm.screen.randomness import numpy_generator
from sweeps.ledger import Ledger
from sweeps.proposals.search import StudySearch
from sweeps.results import leaderboard, write_leaderboard
from sweeps.schema.files import make_sweep
from sweeps.schema.sweep import Configuration, SweepConfig

SAMPLERS = ("tpe", "random", "qmc")
NOISE = 0.02  # sd of a trial's value
BEST = {  # where the bowl is deepest, and how far away 1 is: decades of a log scale, or units
    "loss.mmd_weight": (0.4, 1.0),
    "training.learning_rate": (8e-4, 0.8),
    "model.dropout": (0.12, 0.25),
    "graph.k": (22.0, 20.0),
}
LOGARITHMIC = ("loss.mmd_weight", "training.learning_rate")
WIDTHS = {64: 0.25, 128: 0.08, 256: 0.0, 512: 0.05}  # what a choice costs
SPACE = {
    "loss.mmd_weight": {"type": "float", "low": 0.01, "high": 10, "log": True},
    "training.learning_rate": {"type": "float", "low": 1e-5, "high": 1e-2, "log": True},
    "model.dropout": {"type": "float", "low": 0.0, "high": 0.5},
    "graph.k": {"type": "int", "low": 5, "high": 60},
    "model.width": {"type": "choice", "values": list(WIDTHS)},
}


class Outcome(NamedTuple):
    """Of a sampler, over seeds.

    Attributes:
        sampler: Its name.
        median: Of the regrets.
        quartiles: Of the regrets, lower and upper.
        better: Seeds in which it is better than random.
        chance: Of so many or more, were it no better than random (sign test).
    """

    sampler: str
    median: float
    quartiles: tuple[float, float]
    better: int
    chance: float


def toy_sweep(sampler: str, *, seed: int, trials: int) -> SweepConfig:
    """The toy as a sweep."""
    return make_sweep(
        {
            "name": "toy",
            "base": {"store": "none.zarr", "split": {"kind": "additive"}},
            "space": SPACE,
            "search": {"sampler": sampler, "seed": seed, "baseline_first": False},
            "prune": {"scheduler": "none"},
            "budget": {"trials": trials},
        },
        where="toy",
    )


def regret(configuration: Configuration) -> float:
    """The value without noise; 0 is the best there is."""
    found = WIDTHS[int(str(configuration["model.width"]))]
    for name, (best, unit) in BEST.items():
        value = float(str(configuration[name]))
        away = math.log10(value / best) if name in LOGARITHMIC else value - best
        found += (away / unit) ** 2
    return found


def search(sampler: str, *, seed: int, trials: int) -> float:
    """The regret of the trial that looks best."""
    sweep = toy_sweep(sampler, seed=seed, trials=trials)
    asked = StudySearch(sweep, storage=InMemoryStorage(), name="toy", earlier=(), first=())
    found: list[tuple[float, float]] = []
    for number in range(trials):
        proposed: Configuration = asked.suggest(str(number))
        true = regret(proposed)
        noisy = true + NOISE * float(numpy_generator(seed, "noise", number).normal())
        asked.on_trial_complete(str(number), {"value": noisy, "rung": 1, "complete": True})
        found.append((noisy, true))
    return min(found)[1]


def compare(*, seeds: int, trials: int) -> list[Outcome]:
    """Every sampler on the same seeds."""
    regrets = {
        sampler: [search(sampler, seed=seed, trials=trials) for seed in range(seeds)]
        for sampler in SAMPLERS
    }
    outcomes = []
    for sampler, values in regrets.items():
        better = sum(one < other for one, other in zip(values, regrets["random"], strict=True))
        low, high = np.quantile(values, [0.25, 0.75])
        outcomes.append(
            Outcome(
                sampler,
                statistics.median(values),
                (float(low), float(high)),
                better,
                sum(math.comb(seeds, k) for k in range(better, seeds + 1)) / 2**seeds,
            )
        )
    return outcomes


def board(trials: int) -> None:
    """Print how long it takes to read the ledger of a sweep, and to rank its trials."""
    sweep, draw = toy_sweep("tpe", seed=0, trials=trials), numpy_generator(0, "board")
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder))
        with ledger.path.open("w") as file:
            for number in range(trials):
                own = {"trial": f"{number:016x}", "baseline": number == 0}
                event = {"event": "start", "configuration": {**sweep.baseline}, **own}
                lines: list[dict[str, Any]] = [event]
                lines += [{"event": "round", "rung": k, "value": draw.random()} for k in range(40)]
                lines += [{"event": "split", "split": 0, "value": draw.random()}]
                lines += [{"event": "complete", "seconds": 1.0}]
                file.writelines(json.dumps({"time": number, **own, **one}) + "\n" for one in lines)
        began = time.perf_counter()
        known = ledger.trials()
        read = time.perf_counter()
        write_leaderboard(leaderboard(sweep, known), path=Path(folder) / "leaderboard.csv")
        ranked = time.perf_counter()
    print(f"{trials} trials: ledger {read - began:.2f} s, leaderboard {ranked - read:.2f} s")


def main(arguments: list[str]) -> int:
    """Do what is asked for; the status."""
    asked = _parser().parse_args(arguments)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if asked.board:
        board(asked.board)
    elif asked.toy:
        toy(seeds=asked.seeds or 20, trials=asked.trials or 40, as_json=asked.json)
    else:
        with tempfile.TemporaryDirectory(prefix="sweep") as folder:
            return 0 if _with_ray(asked, Path(folder)) else 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="What a search finds, and what it costs.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--toy", action="store_true", help="the toy objective")
    what.add_argument("--board", type=int, metavar="TRIALS", help="a ledger of so many trials")
    what.add_argument("--overhead", action="store_true", help="beside training, per trial")
    what.add_argument("--pair", action="store_true", help="two trials at once over one")
    what.add_argument("--asha", action="store_true", help="early stopping over none")
    what.add_argument("--many", type=int, metavar="TRIALS", help="so many cheap trials")
    what.add_argument("--kills", action="store_true", help="SIGKILL of driver and trials")
    parser.add_argument("--trials", type=int)
    parser.add_argument("--seeds", type=int, help="how many; with --kills, which one")
    parser.add_argument("--steps", type=int, default=600, help="of a training")
    parser.add_argument("--turns", type=int, default=2, help="of both sides")
    parser.add_argument("--at-once", type=int, default=1, help="trials, with --asha and --many")
    parser.add_argument("--json", action="store_true")
    return parser


def _with_ray(asked: argparse.Namespace, folder: Path) -> bool:
    """Run sweeps; False if one was not as it must be."""
    trials, steps = asked.trials, asked.steps
    if asked.overhead:
        overhead(folder, steps=steps, trials=trials or 6, turns=asked.turns)
    elif asked.pair:
        pair(folder, steps=steps, trials=trials or 6, turns=asked.turns)
    elif asked.asha:
        seeds, at_once = asked.seeds or 1, asked.at_once
        asha(folder, steps=steps, trials=trials or 24, seeds=seeds, at_once=at_once)
    elif asked.many:
        many(folder, trials=asked.many, at_once=asked.at_once)
    else:
        return kills(folder, steps=steps, trials=trials or 6, seed=asked.seeds or 1)
    return True


def toy(*, seeds: int, trials: int, as_json: bool) -> None:
    """Print a line for each sampler."""
    outcomes = compare(seeds=seeds, trials=trials)
    if as_json:
        told: list[dict[str, Any]] = [one._asdict() for one in outcomes]
        print(json.dumps(told, indent=1))
        return
    print(f"best of {trials} trials, {seeds} seeds: median (quartiles) of the regret")
    for one in outcomes:
        low, high = one.quartiles
        line = f"{one.sampler:8} {one.median:.4f} ({low:.4f} to {high:.4f})"
        if one.sampler != "random":
            line += f"  better than random in {one.better} of {seeds}, p {one.chance:.2g}"
        print(line)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
