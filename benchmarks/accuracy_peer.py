"""CellFlow beside us: its training cells go out as a file, its predicted cells come back as one.

It gets the cells of training and validation and the controls, on our evaluation genes; no cell of
the test part leaves the store.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from accuracy_cases import CELLFLOW
from accuracy_lines import Line

from cluster.runs.plan import Plan, make_plan
from cluster.settings.config import RunConfig
from cluster.work.evaluate import evaluate
from data_store.store.reader import Store
from scdfm.screen.conditions import CONTROL

SCRIPT = Path(__file__).parent / "peers" / "train_cellflow.py"


def peer_result(run: RunConfig, *, python: Path, steps: int | None, metrics: Sequence[str]) -> Line:
    """Let CellFlow learn what a run of ours would, and judge its cells as ours are.

    Raises:
        ValueError: The screen has several contexts, which the script does not tell apart.
        RuntimeError: It failed (its last line).
    """
    folder = run.directory
    folder.mkdir(parents=True, exist_ok=True)
    cells, split, asked, predicted = (
        folder / name for name in ("cells.h5ad", "split.json", "asked.json", "predicted.h5ad")
    )
    with Store.open(run.store) as store:
        plan = make_plan(run, store)
        training_cells(plan, store).write_h5ad(cells)
    plan.split.save(split)
    asked.write_text(json.dumps({"conditions": plan.split.test, "control": CONTROL}))
    told = ["--seed", str(run.seed), *(["--steps", str(steps)] if steps else [])]
    began = time.perf_counter()
    _run([str(python), str(SCRIPT), str(cells), str(asked), str(predicted), *told])
    learnt = time.perf_counter() - began
    record = evaluate(
        None, store=run.store, split=split, predictions={CELLFLOW: predicted}, metrics=metrics
    )
    table = record.tables[CELLFLOW]
    return {
        "rows": {CELLFLOW: {name: score.value for name, score in table.overall.items()}},
        "genes": record.genes,
        "seconds": {"train": learnt},
    }


def _run(command: Sequence[str]) -> None:
    ended = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    if ended.returncode:
        sys.stderr.write(ended.stderr)
        last = (ended.stderr.strip() or "no message").splitlines()[-1]
        raise RuntimeError(f"{CELLFLOW} ended with status {ended.returncode}: {last}")


def training_cells(plan: Plan, store: Store) -> anndata.AnnData:
    """Controls, training and validation cells, log1p per 10k of the evaluation genes.

    Raises:
        ValueError: There are several contexts.
    """
    if len(store.contexts) > 1:
        raise ValueError(f"expected a screen of one context, got {len(store.contexts)}")
    known = {CONTROL, *plan.split.train, *plan.split.validation}
    units = [unit for unit in store.units if unit.condition in known]
    genes = plan.genes.evaluation
    values = [store.expression(unit.start, unit.stop, genes=genes) for unit in units]
    names = [unit.condition for unit in units]
    obs = pd.DataFrame({"condition": np.repeat(names, [len(unit) for unit in units])})
    obs.index = obs.index.astype(str)
    var = pd.DataFrame(index=pd.Index([store.genes[column] for column in genes]))
    return anndata.AnnData(X=np.concatenate(values), obs=obs, var=var)
