"""Measure a run in a process of its own, with a limit on its time and its memory.

Where the whole batch does not fit into the limits, what smaller ones took is carried on, and the
result says that it is estimated.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

from pydantic import BaseModel

from cluster.settings.config import RunConfig
from cluster.work.cost.told import Told
from scdfm.method import METHODS

SECONDS = 60.0  # of one measurement, once the network is built
_START = 120.0  # for libraries to load, which tells nothing of a run
_LOOK = 0.1  # seconds between looks at its memory
_SHARE = 0.9  # of the memory that is free, for one measurement


class Cost(BaseModel, frozen=True):
    """What a run costs on a machine.

    Attributes:
        parameters: Of its network.
        step_seconds: Of a training step.
        cell_seconds: To generate a cell in a validation round.
        start_seconds: Until a new process has loaded libraries and built the network.
        bytes: Of memory: of the process on a CPU, of the network and its batch on a GPU.
        available: Of memory, free at that moment; of the GPU where there is one.
        estimated: The whole batch was not measured; figures follow from smaller ones.
        at_least: Not a single step was seen, so figures are lower bounds.
        stopped: What stopped the measurement.
    """

    parameters: int = 0
    step_seconds: float = 0.0
    cell_seconds: float = 0.0
    start_seconds: float = 0.0
    bytes: int = 0
    available: int = 0
    estimated: bool = False
    at_least: bool = False
    stopped: Literal["time", "memory"] | None = None

    @property
    def fits(self) -> bool:
        """Whether it can run there at all."""
        return self.bytes <= self.available

    def run_seconds(self, run: RunConfig, *, units: int) -> float:
        """Of a whole training with its rounds, where so many units are left for validation."""
        rounds = 1 + -(-run.training.steps // run.training.validate_every)
        cells = min(run.validation.units, units) * run.validation.cells
        return self.step_seconds * run.training.steps + rounds * cells * self.cell_seconds


def measure(
    run: RunConfig,
    *,
    gpu: bool = False,
    threads: int = 1,
    sizes: Mapping[str, Any] | None = None,
    seconds: float = SECONDS,
    memory: int | None = None,
) -> Cost:
    """Measure a run on this machine.

    Args:
        run: Its store must be visible here.
        gpu: On a GPU.
        threads: Of the process.
        sizes: Of a screen that is not in a store yet (`steps.Sizes`).
        seconds: For the measurement, once the network is built.
        memory: Bytes for it; default 9 tenths of what is free.

    Raises:
        RuntimeError: It failed for another reason than its limits; says the last line of it.
    """
    free = _free(gpu=gpu)
    if METHODS[run.method].fits:
        return Cost(available=free)
    limit = memory if memory is not None else available(gpu=False)
    asked = {
        "run": run.model_dump(mode="json"),
        "device": "cuda" if gpu else "cpu",
        "threads": threads,
        "sizes": None if sizes is None else dict(sizes),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "cluster.work.cost.steps"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            found = _watched(process, json.dumps(asked), seconds=seconds, memory=limit)
        finally:
            process.kill()
    return _cost(found, run, seconds=seconds, free=free if gpu else min(free, limit), limit=limit)


class _Found(NamedTuple):
    lines: list[Told]
    stopped: Literal["time", "memory"] | None
    said: str  # on standard error
    status: int | None
    start: float  # seconds until the network was built; 0 if it was not


def _watched(
    process: "subprocess.Popen[str]", request: str, *, seconds: float, memory: int
) -> _Found:
    """Let it work until it ends or a limit is reached."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    lines: list[str] = []
    said: list[str] = []
    readers = [
        threading.Thread(target=_read, args=(stream, into), daemon=True)
        for stream, into in ((process.stdout, lines), (process.stderr, said))
    ]
    for reader in readers:
        reader.start()
    try:
        process.stdin.write(request)
        process.stdin.close()
    except BrokenPipeError:
        pass  # its own words say why
    stopped: Literal["time", "memory"] | None = None
    began, start = time.monotonic(), 0.0
    deadline, built = began + _START, False
    while process.poll() is None and stopped is None:
        if lines and not built:
            deadline, built = time.monotonic() + seconds, True
            start = time.monotonic() - began
        if time.monotonic() > deadline:
            stopped = "time"
        elif _resident(process.pid) > memory:
            stopped = "memory"
        else:
            time.sleep(_LOOK)
    if stopped is not None:
        process.kill()
    status = process.wait()
    for reader in readers:
        reader.join(timeout=5)
    text = "".join(said)
    if stopped is None and status and ("out of memory" in text or status == -9):
        stopped = "memory"
    whole = [Told(**json.loads(line)) for line in lines if line.endswith("\n")]
    return _Found(whole, stopped, text, status, start)


def _cost(found: _Found, run: RunConfig, *, seconds: float, free: int, limit: int) -> Cost:
    steps = [one for one in found.lines if one.what == "step"]
    if found.stopped is None and found.status:
        last = (found.said.strip().splitlines() or ["no words"])[-1]
        raise RuntimeError(f"a step could not be measured: {last}")
    generating = [one for one in found.lines if one.what == "cell"]
    if not steps:
        # Not even an eighth of the batch: more memory than the limit, or more time.
        # Time that libraries took to load tells nothing of a step.
        built = found.lines[-1] if found.lines else Told(0, "built", 0, 0.0, 0)
        tried = found.stopped == "time" and bool(found.lines)
        return Cost(
            parameters=built.parameters,
            bytes=max(limit, free) + 1 if found.stopped == "memory" else built.bytes,
            step_seconds=seconds if tried else 0.0,
            start_seconds=found.start,
            available=free,
            estimated=True,
            at_least=True,
            stopped=found.stopped,
        )
    wanted = run.batch.cells
    whole = steps[-1].cells >= wanted
    return Cost(
        parameters=steps[-1].parameters,
        step_seconds=_at(steps, "seconds", cells=wanted),
        cell_seconds=generating[-1].seconds if generating else 0.0,
        start_seconds=found.start,
        bytes=round(_at(steps, "bytes", cells=wanted)),
        available=free,
        estimated=not whole or not generating,
        stopped=found.stopped,
    )


def _at(steps: list[Told], what: Literal["seconds", "bytes"], *, cells: int) -> float:
    """A figure of the whole batch: as measured, else along the line through the last two."""
    last = steps[-1]
    now = float(getattr(last, what))
    if last.cells >= cells:
        return now
    if len(steps) == 1:
        return now * cells / last.cells
    before = steps[-2]
    slope = (now - float(getattr(before, what))) / (last.cells - before.cells)
    return now + max(0.0, slope) * (cells - last.cells)


def _read(stream: IO[str], into: list[str]) -> None:
    for line in stream:
        into.append(line)


def _resident(process: int) -> int:
    """Memory of a process, bytes; 0 where it cannot be seen."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def available(*, gpu: bool) -> int:
    """Memory that a measurement could have here now, bytes."""
    return _free(gpu=True) if gpu else int(_SHARE * _free(gpu=False))


def _free(*, gpu: bool) -> int:
    """Memory that a run could have here, bytes."""
    if gpu:
        import torch

        return int(torch.cuda.mem_get_info()[0])
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
