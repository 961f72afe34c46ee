"""Compute the golden values with cell-eval 0.8.2: `python -m tests.metrics.golden.make`.

Writes a CSV for each screen beside this file: a row per condition, a column per metric; empty
where cell-eval has no value.
"""

import logging
import sys
import tempfile
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from scdfm.metrics import METRICS
from tests.metrics.golden.screens import NAMES, SPARSE, golden_screen
from tests.metrics.screens import Cells, Screen

HERE = Path(__file__).parent
DIGITS = 12


def oracle_scores(screen: Screen, *, sparse: bool) -> pd.DataFrame:
    """What cell-eval says of a screen: conditions by the metrics that it shares with us."""
    from cell_eval import MetricsEvaluator

    with tempfile.TemporaryDirectory() as folder:
        evaluator = MetricsEvaluator(
            adata_pred=as_anndata(screen, screen.predicted, sparse=sparse),
            adata_real=as_anndata(screen, screen.real, sparse=sparse),
            control_pert="control",
            pert_col="condition",
            num_threads=1,
            outdir=f"{folder}/out",
        )
        results, _ = evaluator.compute(
            # Clusters, and distances that take long; we have neither.
            skip_metrics=["clustering_agreement", "pearson_edistance"],
            write_csv=False,
        )
    table = pd.DataFrame(results.to_dict(as_series=False)).set_index("perturbation")
    shared = [name for name in METRICS if name in table]
    return table.loc[[*screen.real], shared].rename_axis("condition").astype(float)


def as_anndata(screen: Screen, cells: dict[str, Cells], *, sparse: bool) -> ad.AnnData:
    """Cells of the conditions, and the controls, with their labels in `condition`."""
    groups = {"control": screen.control, **cells}
    # In float64, so that cell-eval's means have all digits, too.
    values = np.concatenate([*groups.values()]).astype(np.float64)
    labels = np.repeat([*groups], [len(group) for group in groups.values()])
    return ad.AnnData(
        X=csr_matrix(values) if sparse else values,
        obs=pd.DataFrame({"condition": labels}, index=[f"c{i}" for i in range(len(labels))]),
        var=pd.DataFrame(index=[*screen.genes]),
    )


def main() -> None:
    """Write the values of all screens."""
    logging.disable(logging.WARNING)
    for name in NAMES:
        table = oracle_scores(golden_screen(name), sparse=name == SPARSE)
        table.to_csv(HERE / f"{name}.csv", float_format=f"%.{DIGITS}g")
        sys.stdout.write(f"{name}: {len(table)} conditions, {table.notna().sum().sum()} values\n")


if __name__ == "__main__":
    main()
