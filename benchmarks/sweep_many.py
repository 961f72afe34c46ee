"""Many cheap trials: what the processes of a sweep hold while it goes on."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sweep_cells import Command, base_of, made_up_store, sweep_of

EVERY = 1.0  # seconds between looks


class Held(NamedTuple):
    """What processes hold."""

    trials: int  # that were over
    driver: int  # bytes of memory
    workers: int  # bytes, of all workers of trials
    worker_count: int
    others: int  # bytes, of Ray's own processes
    files: int  # that the driver has open
    worker_files: int  # that all workers have open


def many(folder: Path, *, trials: int, at_once: int) -> None:
    """Print memory and open files of a sweep of one-step trials, twenty times."""
    base = base_of(made_up_store(folder, cells=600, genes=100), steps=1, width=16)
    settings = sweep_of("many", base=base, trials=trials)
    settings["budget"] = {"trials": trials, "concurrent": at_once}
    sweep, seen = Command(folder, settings), list[Held]()
    step = max(1, trials // 20)
    print("trials  driver MiB  files  workers MiB  files  Ray MiB", flush=True)

    def look() -> None:
        over = sum(one["event"] == "complete" for one in sweep.events)
        if over and over >= (seen[-1].trials + step if seen else 1):
            seen.append(held(sweep.process.pid, trials=over))
            print(_line(seen[-1]), flush=True)

    status = sweep.wait(look=look, every=EVERY)
    over = sum(one["event"] == "complete" for one in sweep.events)
    print(f"status {status}, {over} trials, {sweep.seconds / max(1, over):.2f} s each")
    if len(seen) > 2:
        first, last = seen[len(seen) // 4], seen[-1]
        grown = (last.driver - first.driver) / max(1, last.trials - first.trials)
        print(
            f"driver: {grown / 1024:.0f} KiB more with each trial, {last.files - first.files} files"
        )


def _line(one: Held) -> str:
    return (
        f"{one.trials:6}  {one.driver / 2**20:10.0f}  {one.files:5}  {one.workers / 2**20:11.0f}  "
        f"{one.worker_files:5}  {one.others / 2**20:7.0f}"
    )


def held(driver: int, *, trials: int) -> Held:
    """What a driver and all that it has started hold."""
    workers, others, worker_files, count = 0, 0, 0, 0
    for process in family(driver):
        if process == driver:
            continue
        if "ray::" in command_line(process):
            workers, count = workers + _resident(process), count + 1
            worker_files += _files(process)
        else:
            others += _resident(process)
    return Held(trials, _resident(driver), workers, count, others, _files(driver), worker_files)


def family(driver: int) -> Iterator[int]:
    """A process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(stat[1]), []).append(int(folder.name))
    found = [driver]
    for one in found:
        found += parents.get(one, [])
    yield from found


def command_line(process: int) -> str:
    """What a process is called, with its arguments."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _resident(process: int) -> int:
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _files(process: int) -> int:
    try:
        return sum(1 for _ in Path(f"/proc/{process}/fd").iterdir())
    except OSError:
        return 0
