"""A disk that is full, and bytes that have changed on it."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from faults_work import ALL, DONE, EVERY, STEPS, UNIT, Bench, Command, Row

from scdfm.flow.checkpoint import load_model

_SMALL = 8  # MB


def disk(bench: Bench) -> Iterator[Row]:
    """A disk that is full from some moment on, and has room again later."""
    for what in ("train", "tune", "predict"):
        home = bench.home()
        small = home.folder
        settings = {path.name: path.read_bytes() for path in small.iterdir()}
        size = f"size={_SMALL}m"
        if subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", small]).returncode:
            print("disk: not measured, no right to mount a small one", file=sys.stderr)
            return
        for name, text in settings.items():
            (small / name).write_bytes(text)
        try:
            command = Command(home, *bench.work(what, home))
            command.wait_until(lambda what=what, home=home: DONE[what](home) >= ALL[what] // 3)
            began = time.monotonic()
            ballast = _fill(small)
            status = command.end()
            ended = f"{status} after {time.monotonic() - began:.1f} s"
            ballast.unlink()
            moment = f"{UNIT[what]} {DONE[what](home)}"
            yield bench.again(f"disk full in {what}", home, what=what, moment=moment, ended=ended)
        finally:
            subprocess.run(["umount", "-l", small], check=False)


def _fill(folder: Path) -> Path:
    """Write a file until nothing more fits."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4_096)):
                pass
        except OSError:
            pass
    return ballast


def flipped(bench: Bench) -> Iterator[Row]:
    """A flipped byte in every file of the newest checkpoint of two, and of a model.

    The checkpoint of the last step is removed, so that there is something left to train, from
    whichever of the two.
    """
    whole = bench.alone("train").run
    last = whole.states.newest
    assert last is not None
    for name in sorted(file.name for file in last.iterdir()):
        home = bench.home()
        shutil.copytree(whole.path, home.run.path)
        (home.run.path / "result.json").unlink()
        shutil.rmtree(home.run.path / "checkpoints" / last.name)
        newest = home.run.states.newest
        assert newest is not None
        _flip(newest / name)
        moment = f"{name} of a checkpoint"
        row = bench.again("a flipped byte", home, at=STEPS - EVERY, moment=moment, ended="")
        named = f"{newest.name}/{name} is damaged" in home.said
        yield row._replace(ended="named" if named else "NOT NAMED", equal=row.equal and named)
    model = whole.path / "model"
    for file in sorted(model.iterdir()):
        copy = bench.home().folder / "model"
        shutil.copytree(model, copy)
        _flip(copy / file.name)
        try:
            load_model(copy)
            refused = False
        except ValueError as error:
            refused = file.name in str(error)
        ended = "refused" if refused else "LOADED"
        yield Row("a flipped byte", f"{file.name} of a model", ended, None, None, refused)


def _flip(path: Path) -> None:
    """Change a bit in the middle of a file."""
    held = bytearray(path.read_bytes())
    held[len(held) // 2] ^= 1
    path.write_bytes(held)
