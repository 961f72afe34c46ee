"""What a checkpoint costs a run: steps with and without one, in turns.

    python benchmarks/checkpoints.py --megabytes 200 --steps 20 --turns 5

Each turn takes so many steps twice, once with a checkpoint at their beginning (copied, hashed,
written and forced to the disk by the run's own keeper while the steps go on) and once without. The
difference of the medians is what a checkpoint costs, wherever the time goes: to the copy, to cores
or to memory that the writer takes from the steps.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from cluster.runs.begin import OpenRun
from cluster.runs.plan import Plan
from cluster.runs.precision import arithmetic
from cluster.runs.provenance import provenance
from cluster.settings.config import RunConfig, make_run
from cluster.work.build import Place, make_trainer
from cluster.work.feed import feed
from cluster.work.keeper import Keeper
from cluster.work.validation import Validation
from data_store.ingest.write import ingest
from data_store.simulate import SimulateOptions, simulate
from data_store.store.reader import Store
from data_store.stream import Stream
from scdfm.flow.objective import StepCells

LAYERS = 4
BYTES = 4 * 4  # of a weight: itself, two moments of the optimiser, its average


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--megabytes", type=int, default=200, help="size of the training state")
    options.add_argument("--steps", type=int, default=20, help="in a turn, each way")
    options.add_argument("--turns", type=int, default=5)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as folder:
        measure(Path(folder), megabytes=given.megabytes, steps=given.steps, turns=given.turns)


def settings(folder: Path, *, megabytes: int) -> RunConfig:
    """A run whose training state has about this size."""
    source = folder / "cells.h5ad"
    simulate(SimulateOptions(cells=2_000, genes=500, singles=10, doubles=5)).write_h5ad(source)
    ingest(source, folder / "store")
    # A layer of the field has about 20 weights for each pair of features.
    width = round((megabytes * 2**20 / BYTES / LAYERS / 20) ** 0.5 / 64) * 64
    values = {
        "store": str(folder / "store"),
        "name": "checkpoints",
        "output": str(folder / "runs"),
        "split": {"kind": "additive"},
        "genes": {"model": 400, "evaluation": 100},
        "model": {"width": width, "layers": LAYERS},
        "batch": {"conditions": 1, "cells": 8, "genes": 100},
        "training": {"ema": 0.99},
    }
    return make_run(values, where="benchmark")


def measure(folder: Path, *, megabytes: int, steps: int, turns: int) -> None:
    """Take steps with and without checkpoints."""
    run, place = settings(folder, megabytes=megabytes), Place()
    opened = OpenRun(run)
    with (
        opened.directory.held() as directory,
        opened.open_store() as store,
        arithmetic(run.precision, device=place.device, compile="off") as how,
    ):
        opened.prepare(directory)
        plan = Plan.load(directory.path, run=run, store=store)
        trainer = make_trainer(run, plan, place=place, how=how)
        facts = provenance(store, run=run.name, address=run.store)
        keeper = Keeper(
            run,
            directory,
            facts=facts,
            plan=plan,
            trainer=trainer,
            validation=Validation(run, plan, store, how),
            how=how,
            report=lambda line: None,
        )
        keeper.begin(None)
        cells = batches(run, plan, store)
        with keeper:
            times: dict[bool, list[float]] = {False: [], True: []}
            blocked = []
            for turn in range(-1, turns):
                for saving in (False, True):
                    began = time.perf_counter()
                    if saving:
                        keeper.save()
                        blocked.append(time.perf_counter() - began)
                    for _ in range(steps):
                        trainer.step(next(cells))
                    times[saving].append(time.perf_counter() - began)
                    keeper.writer.wait()  # what is left of it is not the next turn's
                if turn < 0:  # warms up
                    times, blocked = {False: [], True: []}, []
        newest = directory.states.newest
        assert newest is not None
        size = sum(file.stat().st_size for file in newest.iterdir()) / 2**20
    plain, kept = (statistics.median(times[saving]) for saving in (False, True))
    cost, step = kept - plain, plain / steps
    print(f"state {size:.0f} MiB, {torch.get_num_threads()} threads, step {step:.3f} s")
    print(f"training waits {statistics.median(blocked):.3f} s for the copy")
    print(f"a checkpoint costs {cost:.2f} s, the time of {cost / step:.1f} steps: under 2 % of a")
    print(f"run that writes one every {max(1, round(50 * cost / step))} steps, or less often")


def batches(run: RunConfig, plan: Plan, store: Store) -> Iterator[StepCells]:
    """Cells for steps."""
    stream = Stream(
        store, targets=plan.training, genes=plan.genes.model, config=run.batch, seed=run.seed
    )
    return feed(
        stream.batches(), store=store, vocabulary=plan.vocabulary, device=torch.device("cpu")
    )


if __name__ == "__main__":
    main()
