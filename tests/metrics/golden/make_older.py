"""Compute golden values with cell-eval 0.5.42: `python -m tests.metrics.golden.make_older`.

Writes older.csv beside this file: what the paper's tables have and later versions changed, a row
per screen and condition. It needs an environment of its own, with cell-eval 0.5.42 in the place of
the version of the group dev; it gets our tables of differential expression.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from scdfm.metrics import CellFacts, Evidence
from tests.metrics.golden.make import as_anndata
from tests.metrics.golden.screens import golden_screen

HERE = Path(__file__).parent
OLDER = ("zeros", "ties", "combinations", "sparse")


def older_scores(name: str) -> pd.DataFrame:
    """What cell-eval 0.5.42 says of a screen: conditions by metrics, under our names."""
    import polars as pl
    from cell_eval._types import PerturbationAnndataPair, initialize_de_comparison
    from cell_eval.metrics._anndata import discrimination_score
    from cell_eval.metrics._de import compute_pr_auc

    screen = golden_screen(name)
    evidence = screen.evidence(["pr_auc_pooled"])
    pair = PerturbationAnndataPair(
        real=as_anndata(screen, screen.real, sparse=False),
        pred=as_anndata(screen, screen.predicted, sparse=False),
        pert_col="condition",
        control_pert="control",
    )
    comparison = initialize_de_comparison(
        real=pl.from_pandas(_table(evidence, evidence.real_cells)),
        pred=pl.from_pandas(_table(evidence, evidence.predicted_cells)),
    )
    scores = {
        f"discrimination_score_{distance}_absolute": discrimination_score(pair, metric=distance)
        for distance in ("l1", "l2", "cosine")
    }
    index = pd.Index(evidence.conditions, name="condition")
    return pd.DataFrame(scores, index=index).assign(pr_auc_pooled=compute_pr_auc(comparison))


def _table(evidence: Evidence, facts: CellFacts | None) -> pd.DataFrame:
    assert facts is not None, "the screens have cells"
    units, genes = facts.fdr.shape
    return pd.DataFrame(
        {
            "target": np.repeat(evidence.conditions, genes),
            "feature": np.tile(evidence.genes, units),
            "p_value": facts.p_value.ravel(),
            "fdr": facts.fdr.ravel(),
            "fold_change": np.exp2(facts.lfc.ravel()),
        }
    )


def main() -> None:
    """Write the values of all screens."""
    table = pd.concat({name: older_scores(name) for name in OLDER}, names=["screen"])
    table.to_csv(HERE / "older.csv", float_format="%.12g")


if __name__ == "__main__":
    main()
