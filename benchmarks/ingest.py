"""Ingest: cells per second on one core, memory as cells grow, size of the store, two workers.

    python benchmarks/ingest.py [--format mtx] [--json] [--keep FOLDER]

Sources are h5ad files, not compressed, 8 % non-zero, which the machine holds in memory. All sides
take turns in processes of their own. Speed is from 100 thousand cells of 5,000 genes: `ratio_time`
is cells per second on one core over the 45,000 that are wanted, so that 1 and more passes; CPU
seconds count all threads, which tells more than the clock on a machine that others use. Memory is
the largest resident memory of the process, imports included, at a million cells over that at 100
thousand. Size is the store's over that of the same cells in an h5ad compressed by gzip.

With `--format mtx` the sources are folders as CellRanger writes them, matrix.mtx not compressed,
with the labels in a table; 30,000 cells per second are wanted.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from tempfile import mkdtemp

import anndata
from rounds import Facts, Turn, interleave, median, quartiles, ratio, serve, table
from screens import Screen, write_mtx, write_screen

WANTED = {"h5ad": 45_000, "mtx": 30_000}  # cells per second
SCREENS = {
    "main": Screen(cells=100_000, genes=5_000, conditions=300),
    "small": Screen(cells=100_000, genes=2_000, conditions=300),
    "large": Screen(cells=1_000_000, genes=2_000, conditions=300, contexts=10),
}
TIMED = {"main": ("main", 1), "two workers": ("main", 2)}  # side: (screen, workers)
WEIGHED = {"small": ("small", 1), "large": ("large", 1)}


def main() -> None:
    """Make the screens, let all sides take turns, print."""
    options = _parse()
    if options.side:
        _ingest(options)
        return
    folder = options.keep or Path(mkdtemp(prefix="ingest-"))
    try:
        form = options.format
        prepare(folder, scale=options.scale, form=form)
        turns = _compare(TIMED, folder=folder, rounds=options.rounds, form=form)
        # Memory is the same every time, and a million cells take long.
        turns |= _compare(WEIGHED, folder=folder, rounds=1, form=form)
        figures = _figures(turns, gzip=(folder / "gzip.h5ad").stat().st_size, wanted=WANTED[form])
    finally:
        shutil.rmtree(folder / "stores", ignore_errors=True)
        if options.keep is None:
            shutil.rmtree(folder)
    print(table(["side", "cells/s", "cells per CPU second", "peak MB"], _rows(turns)))
    print()
    print(f"one core over {WANTED[options.format]} cells/s: {_shown(figures, 'ratio_time')}")
    print(f"per CPU second over the same: {_shown(figures, 'ratio_cpu')}")
    print(f"two workers over one: {_shown(figures, 'ratio_workers')}")
    print(f"peak memory at 1M over 100k cells: {figures['ratio_memory']:.2f}")
    print(f"store over gzip h5ad: {figures['ratio_size']:.2f}")
    if options.json:
        print(json.dumps(figures))


def prepare(
    folder: Path, *, scale: int, names: Sequence[str] = tuple(SCREENS), form: str = "h5ad"
) -> None:
    """Write the sources that are not there yet, and the one for comparison of sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        path, screen = folder / f"{name}.h5ad", SCREENS[name]
        if path.exists():
            continue
        print(f"{name}: {screen}", file=sys.stderr, flush=True)
        write_screen(folder / "partial.h5ad", screen.fewer(scale))
        (folder / "partial.h5ad").rename(path)
    for name in names if form == "mtx" else ():
        if not (folder / f"{name}.mtx").exists():
            print(f"{name} as mtx", file=sys.stderr, flush=True)
            write_mtx(folder / "partial.mtx", folder / f"{name}.h5ad")
            (folder / "partial.mtx").rename(folder / f"{name}.mtx")
    if not (folder / "gzip.h5ad").exists():
        anndata.read_h5ad(folder / "main.h5ad").write_h5ad(
            folder / "partial.h5ad", compression="gzip"
        )
        (folder / "partial.h5ad").rename(folder / "gzip.h5ad")


def _parse() -> argparse.Namespace:
    """Read the command line; children are told more than the help shows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--format", choices=sorted(WANTED), default="h5ad", help="of the sources")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the sources there")
    parser.add_argument("--scale", type=int, default=1, help="so many times fewer cells, to try")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--at", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _compare(
    sides: dict[str, tuple[str, int]], *, folder: Path, rounds: int, form: str
) -> dict[str, list[Turn]]:
    commands = {}
    for name, (screen, workers) in sides.items():
        command = [sys.executable, __file__, "--side", screen, "--workers", str(workers)]
        commands[name] = [*command, "--at", str(folder), "--format", form]
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    turns, _ = interleave(
        commands, rounds=rounds, note=lambda line: print(line, file=sys.stderr, flush=True)
    )
    return turns


def _ingest(options: argparse.Namespace) -> None:
    """In the child: ingest one source again and again."""
    from data_store.ingest.write import IngestOptions, ingest

    context = ("context",) if SCREENS[options.side].contexts > 1 else ()
    source = options.at / f"{options.side}.{options.format}"
    tables = (source / "cells.csv",) if options.format == "mtx" else ()
    told = IngestOptions(
        context_column=context, workers=options.workers, perturbation="gene", cells=tables
    )
    stores = options.at / "stores"
    stores.mkdir(exist_ok=True)
    names = (stores / f"{options.side}-{options.workers}-{number}" for number in count())

    def work() -> Facts:
        store = next(names)
        manifest = ingest(source, store, options=told)
        size = sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
        return {"cells": manifest.cells, "bytes": size, "fingerprint": manifest.fingerprint}

    serve(work)


def _speed(turn: Turn) -> float:
    return float(turn.facts["cells"]) / turn.wall


def _per_cpu(turn: Turn) -> float:
    return float(turn.facts["cells"]) / turn.cpu


def _figures(turns: dict[str, list[Turn]], *, gzip: int, wanted: int) -> Facts:
    fingerprints = {turn.facts["fingerprint"] for name in TIMED for turn in turns[name]}
    if len(fingerprints) != 1:
        raise RuntimeError("expected the same store from one and two workers, got others")
    ratios = {
        "ratio_time": quartiles([_speed(turn) / wanted for turn in turns["main"]]),
        "ratio_cpu": quartiles([_per_cpu(turn) / wanted for turn in turns["main"]]),
        "ratio_workers": ratio(turns["two workers"], turns["main"], of=_speed),
    }
    figures: Facts = {}
    for name, value in ratios.items():
        figures |= {name: value.median, f"{name}_lower": value.lower}
    return figures | {
        "ratio_memory": max(t.peak for t in turns["large"]) / max(t.peak for t in turns["small"]),
        "ratio_size": turns["main"][0].facts["bytes"] / gzip,
        "cells_per_second": median(turns["main"], of=_speed),
        "cells_per_cpu_second": median(turns["main"], of=_per_cpu),
        "cells_per_second_2k": median(turns["small"], of=_speed),
        "cells_per_second_1m": median(turns["large"], of=_speed),
        "peak_mb": {name: max(turn.peak for turn in of) / 1e6 for name, of in turns.items()},
        "store_mb": turns["main"][0].facts["bytes"] / 1e6,
    }


def _rows(turns: dict[str, list[Turn]]) -> list[list[object]]:
    every = TIMED | WEIGHED
    return [
        [
            f"{name} ({SCREENS[every[name][0]]})",
            *(round(median(of, of=figure)) for figure in (_speed, _per_cpu)),
            max(turn.peak for turn in of) / 1e6,
        ]
        for name, of in turns.items()
    ]


def _shown(figures: Facts, name: str) -> str:
    return f"{figures[name]:.2f} (lower quartile {figures[f'{name}_lower']:.2f})"


if __name__ == "__main__":
    main()
