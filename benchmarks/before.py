"""This checkout against an earlier one of this project: training, sampling, cells, an ingest.

    python benchmarks/before.py --before CHECKOUT [--of train_step sampling ...] [--json]

Every side is the other benchmarks' own child, run from its own checkout, and all take turns in one
run; a prediction is this checkout's child on either code. Its model is made by the earlier one, so
that both can read it; the one whose means have a base is this checkout's, against that without.
Ratios are how much faster this checkout is, by wall time and by CPU time; 1 is the same. Where a
process finds its memory decides up to a twentieth of an ingest and stays as it is while the process
lives, so children are started anew `--processes` times and the ratios of all are pooled.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import ingest
import sampling
from rounds import Facts, Turn, interleave, ratio, table
from stream import SCREENS
from stream_sides import prepare

HERE = Path(__file__).resolve().parents[1]
BATCHES = 800  # of a turn of the stream
WORK = ("train_step", "sampling", "prediction", "stream", "ingest")
OWN = "OWN"  # in a child's command: a folder of this side alone
BASE = "BASE"  # likewise: the base of its model's means, that an earlier checkout may not know
NEW = ("prediction.py",)  # children that an earlier checkout may not have
_SAMPLED = {"width": 128, "all_genes": 5033, "steps": 100}  # the network that is sampled


def main() -> None:
    """Let both checkouts take turns at each work."""
    options = _parse()
    folder = options.keep or Path(mkdtemp(prefix="before-"))
    folder.mkdir(parents=True, exist_ok=True)
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    figures: dict[str, Facts] = {}
    try:
        for name, command in _commands(options, folder=folder):
            told = f"{name}: {options.processes} x {options.rounds} rounds"
            print(told, file=sys.stderr, flush=True)
            figures[name] = _figures(_turns(options, command, folder=folder))
    finally:
        for side in ("before", "now"):
            shutil.rmtree(folder / side, ignore_errors=True)
        if options.keep is None:
            shutil.rmtree(folder)
    rows = [
        [name, *(f"{of[f]:.2f} ({of[f'{f}_lower']:.2f})" for f in ("wall", "cpu"))]
        for name, of in figures.items()
    ]
    print(table(["work", "faster by wall time", "by CPU time"], rows))
    if options.json:
        print(json.dumps(figures))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--before", type=Path, metavar="CHECKOUT", required=True, help="an earlier checkout"
    )
    parser.add_argument("--of", nargs="+", choices=WORK, default=list(WORK))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--processes", type=int, default=3, help="pairs, one after the other")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the screens there")
    parser.add_argument("--scale", type=int, default=1, help="so many times fewer cells, to try")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    options.before = options.before.resolve()
    if not (options.before / "benchmarks" / "train_step.py").is_file():
        parser.error(f"expected a checkout of this project, got {options.before}")
    if not (options.before / "scdfm" / "__init__.py").is_file():
        # Python would take the installed package for it, wherever it comes on the path.
        parser.error(f"expected {options.before}/scdfm/__init__.py, found none; add an empty file")
    return options


def _commands(options: argparse.Namespace, *, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """What a child is told, by the work it does."""
    if "train_step" in options.of:
        for case in ("wide", "narrow"):
            told = ["--release", str(HERE), "--case", case, "--side", "paper"]  # no peer is read
            yield f"training step, {case}", ["train_step.py", *told]
    if "sampling" in options.of:
        weights = folder / "weights.pt"
        if not weights.exists():
            sampling.train(argparse.Namespace(weights=weights, **_SAMPLED))
        told = [
            "--release",
            str(HERE),
            "--weights",
            str(weights),
            "--width",
            str(_SAMPLED["width"]),
        ]
        yield "sampling", ["sampling.py", *told, "--side", "ours"]
    if "prediction" in options.of:
        # Presets had no base in older checkouts: the base's own cost is told apart.
        for checkout, base in ((options.before, "none"), (HERE, "shrunken")):
            made = ["prediction.py", "--at", str(folder), "--base", base, "--make"]
            subprocess.run(_child(checkout, made, own=folder), check=True)
        yield "prediction", ["prediction.py", "--at", str(folder), "--base", "none"]
        yield (
            "prediction, means from a base",
            ["prediction.py", "--at", str(folder), "--base", BASE],
        )
    if "stream" in options.of:
        at = folder / "main"
        prepare(at, SCREENS["main"].fewer(options.scale), keep_source=False)
        told = ["--side", "ours", "--at", str(at), "--batches", str(BATCHES // options.scale or 1)]
        yield "batches", ["stream.py", *told]
    if "ingest" in options.of:
        ingest.prepare(folder, scale=options.scale, names=("main",))
        for side in ("before", "now"):  # each writes its stores beside its source
            (folder / side).mkdir(exist_ok=True)
            (folder / side / "main.h5ad").unlink(missing_ok=True)
            (folder / side / "main.h5ad").hardlink_to(folder / "main.h5ad")
        told = ["--side", "main", "--workers", "1", "--at", OWN]
        yield "ingest", ["ingest.py", *told]


def _turns(
    options: argparse.Namespace, command: list[str], *, folder: Path
) -> dict[str, list[Turn]]:
    """The turns of both checkouts, in as many pairs of processes as are asked for."""
    sides = {"before": options.before, "now": HERE}
    turns: dict[str, list[Turn]] = {side: [] for side in sides}
    for _ in range(options.processes):
        for side in sides:
            shutil.rmtree(folder / side / "stores", ignore_errors=True)
        found, _ = interleave(
            {side: _child(at, command, own=folder / side) for side, at in sides.items()},
            rounds=options.rounds,
            note=lambda line: print(line, file=sys.stderr, flush=True),
        )
        for side, some in found.items():
            turns[side] += some
    return turns


def _child(checkout: Path, command: list[str], *, own: Path) -> list[str]:
    script = (HERE if command[0] in NEW else checkout) / "benchmarks" / command[0]
    words = {OWN: str(own), BASE: "shrunken" if checkout == HERE else "none"}
    told = [words.get(word, word) for word in command[1:]]
    return ["env", f"PYTHONPATH={checkout}", sys.executable, str(script), *told]


def _figures(turns: dict[str, list[Turn]]) -> Facts:
    before, now = turns["before"], turns["now"]
    wall = ratio(before, now, of=lambda turn: turn.wall)
    cpu = ratio(before, now, of=lambda turn: turn.cpu)
    return {
        "wall": wall.median,
        "wall_lower": wall.lower,
        "cpu": cpu.median,
        "cpu_lower": cpu.lower,
    }


if __name__ == "__main__":
    main()
