"""What a fault costs: seconds until the work goes on, steps that are done again, the same bytes?

    python benchmarks/faults.py                   # a table in Markdown; half an hour, or more
    python benchmarks/faults.py --only worker     # one fault

Every fault is done to a command in processes of its own, at a moment drawn by the seed, and the
command is run again where the fault has ended it. In the end its files are compared with those of
one that was left alone: of a run the journal, the best model and the last training state; of a
sweep what each trial scored; of a prediction every cell.

- seconds: from the fault, or from the start of the second command, until there is a step, a trial
  or a shard more than before; for a signal also to the end of the first command;
- lost: steps, trials or shards that were done and are done again.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from cluster.predict.request import SHARD
from cluster.runs.directory import RunDirectory
from data_store.ingest.write import IngestOptions, ingest
from data_store.simulate import SimulateOptions, simulate
from data_store.store.reader import Store
from scdfm.flow.checkpoint import load_model

STEPS, TRIALS, CELLS, PATIENCE = 1_500, 6, 40_000, 600.0
SHARDS = -(-CELLS // SHARD)
MARK = "SCDFM_FAULTS"  # in the environment of a command and of all that it starts


class Row(NamedTuple):
    """A line of the table."""

    fault: str
    moment: str
    ended: str  # status of the command and seconds to its end; nothing if it went on
    recovered: float | None  # seconds
    lost: int | None
    equal: bool


class Home:
    """A folder with cells, settings and a command that works there."""

    def __init__(self, folder: Path, *, store: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        run = {
            "store": str(store),
            "name": "run",
            "split": {"kind": "additive"},
            "genes": {"model": 60, "evaluation": 30},
            "graph": {"k": 4},
            "model": {"width": 16, "layers": 1},
            "source": "other_control",
            "batch": {"conditions": 2, "cells": 8, "genes": 30},
            "training": {"steps": STEPS, "validate_every": 50, "log_every": 1, "ema": 0.9},
            "validation": {"cells": 8, "units": 4, "steps": 2},
            "sampling": {"steps": 2, "batch": 256},
            "threads": 1,
        }
        base = {name: value for name, value in run.items() if name not in ("name", "split")}
        base["training"] = {**run["training"], "steps": 200}  # type: ignore[dict-item]
        sweep = {
            "name": "sweep",
            "base": base,
            "splits": [{"kind": "additive"}],
            "space": {"loss.mmd_weight": {"type": "float", "low": 0.01, "high": 10, "log": True}},
            "budget": {"trials": TRIALS, "concurrent": 1},
            "prune": {"scheduler": "none"},
        }
        (folder / "run.yaml").write_text(yaml.safe_dump(run))
        (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep))

    @property
    def run(self) -> RunDirectory:
        """The run's directory."""
        return RunDirectory(self.folder / "runs" / "run")


class Command:
    """A command of scdfm that runs."""

    def __init__(self, home: Home, *arguments: str) -> None:
        self.mark = f"{os.getpid()}-{random.randrange(10**9)}"
        self.log = (home.folder / "said.txt").open("a")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", *arguments],
            cwd=home.folder,
            env={**os.environ, MARK: self.mark},
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        self.began = time.monotonic()

    def wait_until(self, reached: Callable[[], bool]) -> None:
        """Wait for a moment of its work."""
        deadline = time.monotonic() + PATIENCE
        while not reached():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.process.args} ended early; see {self.log.name}")
            time.sleep(0.01)

    def end(self) -> int:
        """Wait for its end; its status."""
        status = self.process.wait(PATIENCE)
        self.log.close()
        return status

    def family(self) -> Iterator[tuple[int, str]]:
        """Processes that it has started, with what they are called."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if f"{MARK}={self.mark}".encode() in (folder / "environ").read_bytes():
                    yield int(folder.name), (folder / "cmdline").read_bytes().decode()
            except OSError:
                continue

    def kill_all(self) -> None:
        """End the command as a lost machine does: it and all that it has started."""
        for process, _ in [*self.family()]:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue


def step_of(run: RunDirectory) -> int:
    """Steps done in the newest session."""
    lines = list(run.times.lines())
    return lines[-1]["step"] if lines else -1


def begun_at(run: RunDirectory) -> int:
    """The step after which the newest session went on."""
    return [line["step"] for line in run.times.lines() if "time" in line][-1]


def content(folder: Path, *names: str) -> dict[str, str]:
    """Hashes of files."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for name in names
        for path in sorted(folder.glob(name))
        if path.is_file()
    }


def of_run(home: Home) -> dict[str, str]:
    """What a run has in the end."""
    names = ("metrics.jsonl", "result.json", "best.json", "model/*.safetensors")
    last = f"checkpoints/step-{STEPS:08d}/*"
    return content(home.run.path, *names, last)


def of_sweep(home: Home) -> list[Any]:
    """What each trial of a sweep scored on each split; one that is there twice stands twice."""
    return sorted(
        (line["trial"], line["split"], line["value"])
        for line in ledger(home)
        if line["event"] == "split"
    )


def of_prediction(home: Home) -> dict[str, str]:
    """The cells of a prediction."""
    import anndata

    cells = anndata.read_h5ad(home.folder / "cells.h5ad")
    values = cells.X if not hasattr(cells.X, "toarray") else cells.X.toarray()
    return {"X": hashlib.sha256(values.tobytes()).hexdigest(), "obs": cells.obs.to_csv()}


class Bench:
    """All faults, with what work looks like when it is left alone."""

    def __init__(self, folder: Path, *, seed: int) -> None:
        self.folder, self.draw = folder, random.Random(seed)
        source = folder / "cells.h5ad"
        simulate(SimulateOptions(cells=600, genes=60, singles=6, doubles=5, seed=5)).write_h5ad(
            source
        )
        self.store = folder / "store"
        ingest(source, self.store, options=IngestOptions())
        self.left_alone = Home(folder / "alone", store=self.store)
        self.expected: dict[str, Any] = {}
        self.homes = 0

    def home(self) -> Home:
        """A folder in which nothing was done yet."""
        self.homes += 1
        return Home(self.folder / str(self.homes), store=self.store)

    def moments(self) -> list[float]:
        """Three shares of the work, drawn."""
        return sorted(self.draw.uniform(0.1, 0.9) for _ in range(3))

    def work(self, what: str) -> list[str]:
        """The arguments of a command."""
        if what == "train":
            return ["train", "run.yaml"]
        if what == "tune":
            return ["tune", "sweep.yaml"]
        model = self.alone("train").run.path / "model"
        with Store.open(self.store) as store:
            single = min(name for name, tokens in store.conditions.items() if len(tokens) == 1)
        asked = ["--store", str(self.store), "--conditions", single, "--cells", str(CELLS)]
        return ["predict", str(model), *asked, "--out", "cells.h5ad"]

    def alone(self, what: str) -> Home:
        """The folder in which the work was left alone; does it the first time."""
        if what not in self.expected:
            arguments = self.work(what)
            began = time.monotonic()
            if Command(self.left_alone, *arguments).end():
                raise RuntimeError(f"{what} failed; see {self.left_alone.folder}/said.txt")
            self.expected[what] = RESULTS[what](self.left_alone)
            print(f"{what}, left alone: {time.monotonic() - began:.0f} s", file=sys.stderr)
        return self.left_alone

    def equal(self, what: str, home: Home) -> bool:
        """Whether work has the result that it has when it is left alone."""
        self.alone(what)
        found = RESULTS[what](home)
        return bool(found) and found == self.expected[what]

    def worker(self) -> Iterator[Row]:
        """SIGKILL of the worker: the driver starts another."""
        for moment in self.moments():
            home = self.home()
            command = Command(home, *self.work("train"))
            command.wait_until(lambda home=home, moment=moment: step_of(home.run) > moment * STEPS)
            [victim] = [one for one, name in command.family() if "RayTrainWorker" in name]
            os.kill(victim, signal.SIGKILL)
            at, fault = step_of(home.run), time.monotonic()
            command.wait_until(lambda home=home: home.run.times.sessions == 2)
            again = begun_at(home.run)
            command.wait_until(lambda home=home, again=again: step_of(home.run) > again)
            took = time.monotonic() - fault
            status = command.end()
            same = status == 0 and self.equal("train", home)
            yield Row("SIGKILL of a worker", f"step {at}", "", took, at - again, same)

    def driver(self) -> Iterator[Row]:
        """SIGKILL of the driver and of all that it has started."""
        for moment in self.moments():
            home = self.home()
            command = Command(home, *self.work("train"))
            command.wait_until(lambda home=home, moment=moment: step_of(home.run) > moment * STEPS)
            command.kill_all()
            command.end()
            at = step_of(home.run)
            yield self._again("SIGKILL of the driver", home, at=at, ended="killed")

    def signals(self) -> Iterator[Row]:
        """Ctrl-C and SIGTERM to each command."""
        for what in ("train", "tune", "predict"):
            for number in (signal.SIGINT, signal.SIGTERM):
                home = self.home()
                command = Command(home, *self.work(what))
                moment = self.draw.uniform(0.1, 0.9)
                command.wait_until(lambda w=what, h=home, m=moment: DONE[w](h) >= m * ALL[w])
                command.process.send_signal(number)
                sent = time.monotonic()
                status = command.end()
                ended = f"{status} after {time.monotonic() - sent:.1f} s"
                yield self._again(f"{number.name} in {what}", home, what=what, ended=ended)

    def disk(self) -> Iterator[Row]:
        """A disk that is full from some moment on, and has room again later."""
        home = self.home()
        small = home.folder / "runs"
        small.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", small], check=False
        )
        if mounted.returncode:
            print("disk: not measured, no right to mount a small one", file=sys.stderr)
            return
        try:
            command = Command(home, *self.work("train"))
            command.wait_until(lambda: step_of(home.run) > STEPS // 3)
            ballast = small / "ballast"
            began = time.monotonic()
            with ballast.open("wb", buffering=0) as file:
                try:
                    while file.write(bytes(4_096)):
                        pass
                except OSError:
                    pass
            status = command.end()
            ended = f"{status} after {time.monotonic() - began:.1f} s"
            ballast.unlink()
            yield self._again("disk full", home, ended=ended)
        finally:
            subprocess.run(["umount", "-l", small], check=False)

    def bytes(self) -> Iterator[Row]:
        """A flipped byte in every file of a checkpoint, and of a model."""
        whole = self.alone("train").run
        newest = whole.latest_state
        assert newest is not None
        for file in sorted(newest.iterdir()):
            home = self.home()
            shutil.copytree(whole.path, home.run.path)
            (home.run.path / "result.json").unlink()
            flip(home.run.path / "checkpoints" / newest.name / file.name)
            moment = f"{file.name} of a checkpoint"
            yield self._again("a flipped byte", home, at=STEPS, moment=moment, ended="named")
        model = whole.path / "model"
        for file in sorted(model.iterdir()):
            copy = self.home().folder / "model"
            shutil.copytree(model, copy)
            flip(copy / file.name)
            try:
                load_model(copy)
                refused = False
            except ValueError as error:
                refused = file.name in str(error)
            yield Row("a flipped byte", f"{file.name} of a model", "refused", None, None, refused)

    def _again(
        self,
        fault: str,
        home: Home,
        *,
        what: str = "train",
        at: int | None = None,
        moment: str | None = None,
        ended: str,
    ) -> Row:
        """Run a command again; a row of how it went on."""
        done = DONE[what](home) if at is None else at
        sessions = home.run.times.sessions
        command = Command(home, *self.work(what))
        if what == "train":
            command.wait_until(lambda: home.run.times.sessions > sessions)
            kept = begun_at(home.run)
            command.wait_until(lambda: step_of(home.run) > kept or home.run.finished)
        else:
            kept = done
            command.wait_until(lambda: DONE[what](home) > done)
        took = time.monotonic() - command.began
        status = command.end()
        same = status == 0 and self.equal(what, home)
        said = moment or f"{UNIT[what]} {done}"
        return Row(fault, said, ended, took, done - kept, same)


def flip(path: Path) -> None:
    """Change a bit in the middle of a file."""
    held = bytearray(path.read_bytes())
    held[len(held) // 2] ^= 1
    path.write_bytes(held)


def ledger(home: Home) -> list[dict[str, Any]]:
    """The lines of a sweep's ledger."""
    path = home.folder / "runs" / "sweep" / "ledger.jsonl"
    lines = path.read_text().splitlines() if path.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def trials(home: Home) -> int:
    """Trials that are over."""
    return sum(line["event"] == "complete" for line in ledger(home))


def shards(home: Home) -> int:
    """Shards of a prediction that are written."""
    if (home.folder / "cells.h5ad").exists():
        return SHARDS
    return sum(1 for _ in (home.folder / "cells.h5ad.partial").rglob(".done/*"))


RESULTS: dict[str, Callable[[Home], Any]] = {
    "train": of_run,
    "tune": of_sweep,
    "predict": of_prediction,
}
DONE: dict[str, Callable[[Home], int]] = {
    "train": lambda home: step_of(home.run),
    "tune": trials,
    "predict": shards,
}
ALL = {"train": STEPS, "tune": TRIALS, "predict": SHARDS}
UNIT = {"train": "step", "tune": "trial", "predict": "shard"}


def main() -> None:
    """Do all faults, and print the table."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    names = ("worker", "driver", "signals", "disk", "bytes")
    options.add_argument("--only", choices=names, action="append")
    options.add_argument("--seed", type=int, default=7)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="faults") as folder:
        bench = Bench(Path(folder), seed=given.seed)
        bench.alone("train")
        print("| fault | moment | command ended | goes on after | lost | result equal |")
        print("|---|---|---|---|---|---|")
        for name in given.only or names:
            for row in getattr(bench, name)():
                took = "" if row.recovered is None else f"{row.recovered:.1f} s"
                lost = "" if row.lost is None else str(row.lost)
                equal = "yes" if row.equal else "NO"
                print(
                    f"| {row.fault} | {row.moment} | {row.ended} | {took} | {lost} | {equal} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
