"""Train and judge models on every screen that we have, and say whether they reach what they must.

    SCDFM_DATA=CELLS python benchmarks/accuracy.py --work accuracy --out docs/accuracy.md

Every training is kept under --work and every result in --lines, so the command goes on where it was
stopped; --table writes the tables of what is there. --cellflow PYTHON trains CellFlow, too, in the
environment of that interpreter (pip install cellflow-tools==0.0.9 requests).
"""

import argparse
import os
import sys
import time
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from accuracy_cases import CELLFLOW, DATA, SETTINGS, Case, cases
from accuracy_lines import Line, append, code, done, held_against, key_of, latest, read
from accuracy_peer import peer_result
from accuracy_table import SHOWN, page

from cluster.settings.config import RunConfig, make_run
from cluster.train import train_here
from cluster.work.evaluate import evaluate
from cluster.work.evaluation.record import CEILING, OURS, Evaluation

LINES = "lines.jsonl"  # in --work, unless --lines names another file


def study(
    asked: Sequence[Case],
    *,
    file: Path,
    data: Path,
    work: Path,
    steps: int | None,
    cellflow: Path | None,
) -> None:
    """Make the results that a file lacks; one that fails is a line, too, and tried again."""
    running = code()
    for number, case in enumerate(asked, start=1):
        values = case.values(steps=steps)
        content = case.data.content(case.seed, data=data)
        kind = {"setting": case.setting, "generated": case.data.cells}
        key = key_of(cells=content, values=values, code=running, **kind)
        if key in done(read(file)):
            continue
        print(f"{number}/{len(asked)} {case}", file=sys.stderr, flush=True)
        facts: Line = {**case.place, "key": key, "code": running, "cells": content}
        facts |= {"values": values, "date": datetime.now(tz=UTC).isoformat(timespec="seconds")}
        try:
            store = case.data.store(case.seed, data=data, work=work)
            places = {"store": str(store), "output": str(work / "runs"), "name": key}
            run = make_run({**values, **places}, where=str(case))
            if case.setting == CELLFLOW:
                assert cellflow is not None
                facts |= peer_result(run, python=cellflow, steps=steps, metrics=SHOWN)
            else:
                facts |= result(run, cells=case.data.cells)
        # A study of hours does not end because one of its cells fails.
        except Exception as error:  # noqa: BLE001
            traceback.print_exc()
            lines = f"{type(error).__name__}: {error}".splitlines()
            facts["error"] = lines[0]
        append(file, facts)


def result(run: RunConfig, *, cells: int | None) -> Line:
    """Train a run and judge it on its test conditions."""
    began = time.perf_counter()
    trained = train_here(run)
    learnt = time.perf_counter()
    record = evaluate(trained.directory, metrics=SHOWN, cells=cells)
    return {
        "rows": rows_of(record),
        "apart": apart(record),
        "how": record.mean or record.generated,
        "weight": None if record.flow is None else record.flow.model_dump(mode="json"),
        "best_step": trained.best_step,
        "validation": trained.metrics.get(run.validation.metric),
        "seconds": {"train": learnt - began, "judge": time.perf_counter() - learnt},
    }


def rows_of(record: Evaluation) -> dict[str, dict[str, float]]:
    """Values by row and metric; the first row is ours, whatever its method."""
    ours = next(iter(record.tables))
    return {
        OURS if row == ours else row: {name: score.value for name, score in table.overall.items()}
        for row, table in record.tables.items()
    }


def apart(record: Evaluation) -> dict[str, list[float]]:
    """What the mse of the first row differs by from that of others, with its interval."""
    return {
        row: [one["mse"].value, *one["mse"].interval]
        for row, one in record.differences.items()
        if row != CEILING and "mse" in one and one["mse"].interval is not None
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the study and write its page, after each data set again."""
    asked = _parse(arguments)
    file = asked.lines or asked.work / LINES
    asked.work.mkdir(parents=True, exist_ok=True)
    for one in () if asked.table else DATA:
        if one.name in (asked.only or [one.name]):
            some = cases(
                one,
                settings=asked.settings,
                seeds=asked.seeds,
                cellflow=asked.cellflow is not None,
            )
            study(
                some,
                file=file,
                data=Path(os.environ["SCDFM_DATA"]),
                work=asked.work,
                steps=asked.steps,
                cellflow=asked.cellflow,
            )
            _write(asked, latest(read(file), codes=asked.codes))
    lines = latest(read(file), codes=asked.codes)
    text = _write(asked, lines)
    if asked.against is None:
        print(text)
        return
    held = held_against(lines, read(asked.against))
    print("\n".join(held.said))
    if not held.same:
        sys.exit(1)


def _write(asked: argparse.Namespace, lines: list[Line]) -> str:
    told = [f"--seeds {asked.seeds}"] + ([f"--steps {asked.steps}"] if asked.steps else [])
    command = f"python benchmarks/accuracy.py --work FOLDER {' '.join(told)}"
    text = page(lines, command=command)
    if asked.out is not None:
        asked.out.write_text(text)
    return text


def _parse(arguments: Sequence[str] | None) -> Any:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of stores and results")
    parser.add_argument("--lines", type=Path, help=f"file of results (default: {LINES} in --work)")
    parser.add_argument("--out", type=Path, help="page to write (default: it is printed alone)")
    names = [one.name for one in DATA]
    parser.add_argument("--only", nargs="+", choices=names, help="data sets (default: all)")
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), help="default: all")
    parser.add_argument("--seeds", type=int, default=3, help="of training (default: 3)")
    parser.add_argument("--steps", type=int, help="of training, to try the script")
    parser.add_argument("--cellflow", type=Path, metavar="PYTHON", help="trains CellFlow, too")
    parser.add_argument("--against", type=Path, help="results of another study, to compare with")
    parser.add_argument("--table", action="store_true", help="write tables, train nothing")
    parser.add_argument(
        "--codes", nargs="+", metavar="COMMIT", help="results to show (default: the last of each)"
    )
    asked = parser.parse_args(arguments)
    if asked.against is not None and not asked.against.is_file():
        parser.error(f"--against: no file {asked.against}")
    return asked


if __name__ == "__main__":
    main()
