"""Batches per second: ours from a store, the release's dataset and scipy's CSR from memory.

    python benchmarks/stream.py --release CHECKOUT [--json] [--keep FOLDER]

A batch is 64 + 64 cells and 1,000 genes drawn anew, log1p per 10k, dense float32. All sides take
turns in processes of their own. Ours decodes, normalises and reads ahead in two threads; `csr`
holds all counts in memory and does X[rows][:, genes], normalisation and toarray(); the release
holds log values in memory and its step takes 1,000 of the 5,000 genes that its dataset returns.
The same from ten times the cells (as many per unit), and from ten times the conditions. What is
compared is the speed once going, from files that the machine holds in memory; how long a first
batch takes from files that it does not hold is told apart. CPU time is told beside wall time: it
bears a busy machine better, and it leaves out what a second core gives to reading ahead.
annbatch, which reads such stores in blocks of rows, needs Python >= 3.12 and was not run here.
"""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from tempfile import mkdtemp

from rounds import Facts, Turn, interleave, median, ratio, table
from screens import Screen
from stream_sides import SIDES, prepare

SCREENS = {
    "main": Screen(cells=100_000, genes=5_000, conditions=300),
    "small": Screen(cells=100_000, genes=2_000, conditions=100),
    "many": Screen(cells=100_000, genes=2_000, conditions=1_000),
    "large": Screen(cells=1_000_000, genes=2_000, conditions=100, contexts=10),
}
BATCHES = {"release": 50, "cold": 1}  # of a turn; 800 of others
RATIOS = {  # name: (faster, slower or same)
    "ratio_time": ("main", "release"),
    "ratio_csr": ("main", "csr"),
    "ratio_cells": ("large", "small"),
    "ratio_conditions": ("many", "small"),
}


def main() -> None:
    """Make the screens, let all sides take turns, print."""
    options = _parse()
    if options.side:
        SIDES[options.side](options)
        return
    screens = {name: screen.fewer(options.scale) for name, screen in SCREENS.items()}
    folder = options.keep or Path(mkdtemp(prefix="stream-"))
    try:
        turns, said = _compare(options, screens, folder=folder)
    finally:
        if options.keep is None:
            shutil.rmtree(folder)
    figures = _figures(turns, said)
    print(
        table(["side", "batches/s", "CPU ms a batch", "resident MB"], _rows(turns, said, screens))
    )
    print()
    for name, (ours, other) in RATIOS.items():
        if name in figures:
            lower, cpu = figures[f"{name}_lower"], figures.get(f"{name}_cpu")
            same = f", by CPU time {cpu:.2f}" if cpu else ""
            print(f"{ours} / {other}: {figures[name]:.2f} (lower quartile {lower:.2f}){same}")
    cells = screens["large"].cells
    print(f"first batch of a cold store of {cells:,} cells: {figures['first_batch_s']:.2f} s")
    if options.json:
        print(json.dumps(figures))


def _parse() -> argparse.Namespace:
    """Read the command line; children are told more than the help shows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--release", type=Path, metavar="CHECKOUT", help="the release's repository")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keep the stores there, of one --scale"
    )
    parser.add_argument("--scale", type=int, default=1, help="so many times fewer cells, to try")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--at", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--batches", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def _compare(
    options: argparse.Namespace, screens: dict[str, Screen], *, folder: Path
) -> tuple[dict[str, list[Turn]], dict[str, Facts]]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, screen in screens.items():
        print(f"{name}: {screen}", file=sys.stderr, flush=True)
        prepare(folder / name, screen, keep_source=name == "main")
    # A copy: to drop the pages of a store would slow the side that reads it.
    if not (folder / "cold.zarr").exists():
        shutil.copytree(folder / "large.zarr", folder / "cold.zarr")
    os.sync()  # pages that are not on disk yet could not be dropped
    sides = {name: ("ours", name) for name in SCREENS} | {
        "csr": ("csr", "main"),
        "cold": ("cold", "cold"),
    }
    if options.release:
        sides["release"] = ("release", "main")
    commands = {}
    for name, (side, screen) in sides.items():
        batches = max(1, BATCHES.get(name, 800) // options.scale)
        command = [sys.executable, __file__, "--side", side, "--at", str(folder / screen)]
        command += ["--batches", str(batches)]
        command += ["--release", str(options.release)] if options.release else []
        commands[name] = command
    return interleave(
        commands, rounds=options.rounds, note=lambda line: print(line, file=sys.stderr, flush=True)
    )


def _speed(turn: Turn) -> float:
    """Batches per second."""
    return float(turn.facts["batches"]) / turn.wall


def _thrift(turn: Turn) -> float:
    """Batches per second of CPU time."""
    return float(turn.facts["batches"]) / turn.cpu


def _resident(turns: list[Turn], said: Facts) -> float:
    """Memory above the imports, at most, MB."""
    return (max(turn.peak for turn in turns) - said["imports"]) / 1e6


def _figures(turns: dict[str, list[Turn]], said: dict[str, Facts]) -> Facts:
    figures: Facts = {f"batches_{name}": median(of, of=_speed) for name, of in turns.items()}
    for name, (ours, other) in RATIOS.items():
        if other in turns:
            wall = ratio(turns[ours], turns[other], of=_speed)
            figures |= {name: wall.median, f"{name}_lower": wall.lower}
            # The release's CPU time is spent by its loader, in other processes.
            if other != "release":
                cpu = ratio(turns[ours], turns[other], of=_thrift)
                figures[f"{name}_cpu"] = cpu.median
    figures["resident_mb"] = max(_resident(turns[name], said[name]) for name in SCREENS)
    figures["first_batch_s"] = median(turns["cold"], of=lambda turn: turn.facts["first"])
    return figures


def _rows(
    turns: dict[str, list[Turn]], said: dict[str, Facts], screens: dict[str, Screen]
) -> list[list[object]]:
    return [
        [
            f"{name} ({screens[name]})" if name in screens else name,
            median(of, of=_speed),
            median(of, of=lambda turn: 1e3 * turn.cpu / turn.facts["batches"]),
            _resident(of, said[name]),
        ]
        for name, of in turns.items()
        if name != "cold"
    ]


if __name__ == "__main__":
    main()
