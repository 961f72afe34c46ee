"""What a fault costs: seconds until the work goes on, steps that are done again, the same bytes?

    python benchmarks/faults.py                   # a table in Markdown; an hour, or more
    python benchmarks/faults.py --only worker     # one kind of fault

Every fault is done to a command in processes of its own, at a moment drawn by the seed, and the
command is run again where the fault has ended it. In the end its files are compared with those of
one that was left alone: of a run the journal and the best model; of a sweep what each trial scored
and how it ended, once each; of a prediction every cell.

- seconds: from the fault, or from the start of the second command, until there is a step, a trial
  or a shard more than before; for a signal also to the end of the first command;
- lost: steps of a run that were done and are done again; "-" where nobody counts them.

Faults of nodes take a second host, which is a network namespace: as root.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from faults_away import away
from faults_disk import disk, flipped
from faults_kills import actor, driver, signals, trial, worker
from faults_nodes import cut, died, late, raylet, waiting
from faults_work import Bench, Row

FAULTS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "worker": worker,
    "driver": driver,
    "trial": trial,
    "actor": actor,
    "signals": signals,
    "disk": disk,
    "bytes": flipped,
    "away": away,
    "raylet": raylet,
    "late": late,
    "cut": cut,
    "waiting": waiting,
    "died": died,
}


def main() -> None:
    """Do all faults, and print the table; what fails is a line, too."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--only", choices=FAULTS, action="append")
    options.add_argument("--seed", type=int, default=7)
    options.add_argument(
        "--keep",
        type=Path,
        help="a folder for all files, which stays; what was left alone there is not done again",
    )
    given = options.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # hosts and commands end with it
    with tempfile.TemporaryDirectory(prefix="faults") as folder:
        work = given.keep or Path(folder)
        work.mkdir(exist_ok=True)
        bench = Bench(work, seed=given.seed)
        bench.alone("train")
        print("| fault | moment | command ended | goes on after | lost | result equal |")
        print("|---|---|---|---|---|---|")
        for name in given.only or FAULTS:
            try:
                for row in FAULTS[name](bench):
                    print(_line(row), flush=True)
            except RuntimeError as error:
                print(f"| {name} | FAILED: {error} | | | | NO |", flush=True)
        sys.stdout.flush()


def _line(row: Row) -> str:
    took = "" if row.recovered is None else f"{row.recovered:.1f} s"
    lost = "-" if row.lost is None else str(row.lost)
    equal = "yes" if row.equal else "NO"
    return f"| {row.fault} | {row.moment} | {row.ended} | {took} | {lost} | {equal} |"


if __name__ == "__main__":
    main()
