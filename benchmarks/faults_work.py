"""Small work that faults are done to: a run, a sweep, a prediction; what each has in the end."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from cluster.predict.request import SHARD
from cluster.runs.directory import RunDirectory
from cluster.storage.reading import fetched
from data_store.ingest.write import IngestOptions, ingest
from data_store.simulate import SimulateOptions, simulate
from data_store.store.reader import Store
from sweeps.events import ENDS

STEPS, EVERY, TRIALS, TRIAL_STEPS, CELLS, PATIENCE = 200, 25, 4, 50, 5_000, 300.0
SHARDS = -(-CELLS // SHARD)
MARK = "SCDFM_FAULTS"  # in the environment of a command and of all that it starts
ALL = {"train": STEPS, "tune": TRIALS, "predict": SHARDS}
UNIT = {"train": "step", "tune": "trial", "predict": "shard"}


class Row(NamedTuple):
    """A line of the table."""

    fault: str
    moment: str
    ended: str  # status of the command and seconds to its end; nothing if it went on
    recovered: float | None  # seconds
    lost: int | None  # steps; nothing where they are not counted
    equal: bool


class Home:
    """A folder with cells, settings and a command that works there.

    Args:
        folder: Made.
        store: With the cells.
        output: Where runs go; none: below the folder.
    """

    def __init__(self, folder: Path, *, store: Path, output: str | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.output = folder, output
        run = {
            "store": str(store),
            "name": "run",
            "split": {"kind": "additive"},
            "genes": {"model": 60, "evaluation": 30},
            "graph": {"k": 4},
            "model": {"width": 16, "layers": 1},
            "source": "other_control",
            "batch": {"conditions": 2, "cells": 8, "genes": 30},
            "training": {"steps": STEPS, "validate_every": EVERY, "log_every": 1, "ema": 0.9},
            "validation": {"cells": 8, "units": 4, "steps": 2},
            "sampling": {"steps": 2, "batch": 256},
            "threads": 1,
        }
        base = {name: value for name, value in run.items() if name not in ("name", "split")}
        base["training"] = {**run["training"], "steps": TRIAL_STEPS}  # type: ignore[dict-item]
        sweep = {
            "name": "sweep",
            "base": base,
            "splits": [{"kind": "additive"}],
            "space": {"loss.mmd_weight": {"type": "float", "low": 0.01, "high": 10, "log": True}},
            "budget": {"trials": TRIALS, "concurrent": 1},
            "prune": {"scheduler": "none"},
        }
        place = {} if output is None else {"output": output}
        (folder / "run.yaml").write_text(yaml.safe_dump(run | place))
        (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep | place))

    @property
    def run(self) -> RunDirectory:
        """The run's directory."""
        return RunDirectory(self._at("run"))

    @property
    def sweep(self) -> Path:
        """The sweep's directory."""
        return self._at("sweep")

    @property
    def cells(self) -> Path:
        """The file of the prediction."""
        if self.output is None:
            return self.folder / "cells.h5ad"
        return fetched(f"{self.output}/cells.h5ad")

    @property
    def said(self) -> str:
        """What its commands have said."""
        return (self.folder / "said.txt").read_text()

    def _at(self, name: str) -> Path:
        if self.output is None:
            return self.folder / "runs" / name
        return fetched(f"{self.output}/{name}")


class Command:
    """A command of scdfm that runs."""

    def __init__(
        self, home: Home, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self.mark = f"{os.getpid()}-{random.randrange(10**9)}"
        self.log = (home.folder / "said.txt").open("a")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", *arguments],
            cwd=home.folder,
            env={**(os.environ if environment is None else environment), MARK: self.mark},
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
            # Who starts this in the background has Ctrl-C ignored in all that is started.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self.began = time.monotonic()

    def wait_until(self, reached: Callable[[], bool]) -> None:
        """Wait for a moment of its work."""
        deadline = time.monotonic() + PATIENCE
        while not reached():
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.process.args} ended early; see {self.log.name}")
            if time.monotonic() > deadline:
                self.kill_all()
                raise RuntimeError(f"{self.process.args} took too long; see {self.log.name}")
            time.sleep(0.01)

    def end(self) -> int:
        """Wait for its end; its status."""
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill_all()
            status = self.process.wait()
        self.log.close()
        return status

    def interrupt(self, number: int) -> str:
        """Send it a signal; its status and the seconds to its end."""
        self.process.send_signal(number)
        sent = time.monotonic()
        status = self.end()
        return f"{status} after {time.monotonic() - sent:.1f} s"

    def family(self) -> Iterator[tuple[int, str]]:
        """Processes that it has started, with what they are called."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if f"{MARK}={self.mark}".encode() in (folder / "environ").read_bytes():
                    yield int(folder.name), (folder / "cmdline").read_bytes().decode()
            except OSError:
                continue

    def victim(self, name: str) -> int:
        """The process of a Ray worker that is called so."""
        return next(one for one, called in self.family() if name in called)

    def kill_all(self) -> None:
        """End the command as a lost machine does: it and all that it has started."""
        for process, _ in [*self.family()]:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue


class Bench:
    """Work that is left alone, and a folder for each fault.

    Args:
        folder: For all of it.
        seed: Of the moments.
    """

    def __init__(self, folder: Path, *, seed: int) -> None:
        self.folder, self.draw = folder, random.Random(seed)
        self.store, self._known = folder / "store", folder / "expected.json"
        self.expected: dict[str, Any] = {}
        if self._known.is_file():
            self.expected = json.loads(self._known.read_text())
        else:
            source = folder / "cells.h5ad"
            made = SimulateOptions(cells=600, genes=60, singles=6, doubles=5, seed=5)
            simulate(made).write_h5ad(source)
            ingest(source, self.store, options=IngestOptions())
            Home(folder / "alone", store=self.store)

    def home(self, *, output: str | None = None) -> Home:
        """A folder in which nothing was done yet."""
        number = sum(1 for _ in self.folder.glob("fault-*")) + 1
        return Home(self.folder / f"fault-{number}", store=self.store, output=output)

    def moments(self) -> list[float]:
        """Three shares of the work, drawn."""
        return sorted(self.draw.uniform(0.1, 0.8) for _ in range(3))

    def work(self, what: str, home: Home) -> list[str]:
        """The arguments of a command."""
        if what == "train":
            return ["train", "run.yaml"]
        if what == "tune":
            return ["tune", "sweep.yaml"]
        model = self.alone("train").run.path / "model"
        with Store.open(self.store) as store:
            single = min(name for name, tokens in store.conditions.items() if len(tokens) == 1)
        asked = ["--store", str(self.store), "--conditions", single, "--cells", str(CELLS)]
        out = "cells.h5ad" if home.output is None else f"{home.output}/cells.h5ad"
        return ["predict", str(model), *asked, "--out", out]

    def alone(self, what: str) -> Home:
        """The folder in which the work was left alone; does it the first time."""
        alone = Home(self.folder / "alone", store=self.store)
        if what not in self.expected:
            arguments = self.work(what, alone)
            began = time.monotonic()
            if Command(alone, *arguments).end():
                raise RuntimeError(f"{what} failed; see {alone.folder}/said.txt")
            self.expected[what] = _plain(RESULTS[what](alone))
            self._known.write_text(json.dumps(self.expected))
            print(f"{what}, left alone: {time.monotonic() - began:.0f} s", file=sys.stderr)
        return alone

    def equal(self, what: str, home: Home) -> bool:
        """Whether work has the result that it has when it is left alone."""
        self.alone(what)
        found = _plain(RESULTS[what](home))
        return bool(found) and found == self.expected[what]

    def again(
        self,
        fault: str,
        home: Home,
        *,
        what: str = "train",
        at: int | None = None,
        moment: str | None = None,
        ended: str,
        more: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Row:
        """Run a command again; a row of how it went on."""
        done = DONE[what](home) if at is None else at
        sessions = home.run.times.sessions
        lost: int | None = None
        command = Command(home, *self.work(what, home), *more, environment=environment)
        if what == "train":
            command.wait_until(lambda: home.run.times.sessions > sessions)
            kept = begun_at(home.run)
            lost = max(0, done - kept)
            command.wait_until(lambda: step_of(home.run) > kept or home.run.finished)
        else:
            command.wait_until(lambda: DONE[what](home) > done)
        took = time.monotonic() - command.began
        status = command.end()
        same = status == 0 and self.equal(what, home)
        said = moment or f"{UNIT[what]} {done}"
        return Row(fault, said, ended, took, lost, same)


def _plain(found: Any) -> Any:
    """What JSON makes of it."""
    return json.loads(json.dumps(found))


def step_of(run: RunDirectory) -> int:
    """Steps done in the newest session; 0 before the first."""
    lines = list(run.times.lines())
    return lines[-1]["step"] if lines else 0


def begun_at(run: RunDirectory) -> int:
    """The step after which the newest session went on."""
    return [line["step"] for line in run.times.lines() if "time" in line][-1]


def ledger(home: Home) -> list[dict[str, Any]]:
    """The lines of a sweep's ledger."""
    path = home.sweep / "ledger.jsonl"
    lines = path.read_text().splitlines() if path.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def trials(home: Home) -> int:
    """Trials that are over."""
    return sum(line["event"] == "complete" for line in ledger(home))


def shards(home: Home) -> int:
    """Shards of a prediction that are written."""
    if (home.folder / "cells.h5ad").exists():
        return SHARDS
    folders = os.walk(home.folder / "cells.h5ad.partial")
    return sum(len(files) for folder, _, files in folders if Path(folder).name == ".done")


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
    return content(home.run.path, *names)


def of_sweep(home: Home) -> list[Any]:
    """What each trial scored on each split, and how it ended; each as often as it is told."""
    return sorted(
        (line["trial"], line["event"], line.get("split", -1), line.get("value", 0.0))
        for line in ledger(home)
        if line["event"] in ("split", *ENDS)
    )


def of_prediction(home: Home) -> dict[str, str]:
    """The cells of a prediction."""
    import anndata

    cells = anndata.read_h5ad(home.cells)
    values = cells.X if not hasattr(cells.X, "toarray") else cells.X.toarray()
    return {"X": hashlib.sha256(values.tobytes()).hexdigest(), "obs": cells.obs.to_csv()}


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
