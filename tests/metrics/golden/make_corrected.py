"""Compute golden values with cell-eval2 0.20.0: `python -m tests.metrics.golden.make_corrected`.

Writes corrected.csv beside this file: a row per screen and condition. cell-eval2 gets our tables
of differential expression, which are compared with cell-eval's elsewhere, and our means, since its
own start from counts. It is not in the group dev; install it beside.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scdfm.metrics import CellFacts, Evidence
from tests.metrics.golden.screens import golden_screen

HERE = Path(__file__).parent
SCREENS = ("zeros", "ties", "control_prediction", "perfect_prediction", "sparse")
CONTROL = "control"


def corrected_scores(evidence: Evidence) -> pd.DataFrame:
    """What cell-eval2 says of the units: conditions by metrics, under our names."""
    import polars as pl
    from cell_eval2.metrics import de, direction, discrimination

    tables = {
        "de_real": pl.from_pandas(_table(evidence, evidence.real_cells)),
        "de_pred": pl.from_pandas(_table(evidence, evidence.predicted_cells)),
    }
    bulks = {
        "real_bulk": _bulk(evidence, evidence.real),
        "pred_bulk": _bulk(evidence, evidence.predicted),
    }
    scores: dict[str, dict[str, float]] = {
        "direction_fidelity": direction.de_direction_fidelity_yield_raw(**tables, control=CONTROL),
        "direction_reach": direction.de_direction_reach(corrected=False, **tables, control=CONTROL),
        "sig_jaccard": de.de_sig_jaccard(**tables, control=CONTROL),
        "lfc_nmae": de.de_lfc_nmae(**tables, control=CONTROL),
        "pds_cosine": discrimination.discrimination_score(
            **bulks,
            control=CONTROL,
            distance="cosine",
            rank_denominator="n-1",
            control_source="real",
            genes=np.array(evidence.genes),
        ),
    }
    return pd.DataFrame(scores, index=pd.Index(evidence.conditions, name="condition"))


def _table(evidence: Evidence, facts: CellFacts | None) -> pd.DataFrame:
    assert facts is not None, "the screens have cells"
    units, genes = facts.fdr.shape
    lfc = facts.lfc_arithmetic.astype(float).ravel()
    return pd.DataFrame(
        {
            "target": np.repeat(evidence.conditions, genes),
            "feature": np.tile(evidence.genes, units),
            "p_value": facts.p_value.ravel(),
            "p_adj": facts.fdr.astype(float).ravel(),
            "log2_fold_change": lfc,
            "abs_log2_fold_change": np.abs(lfc),
        }
    )


def _bulk(evidence: Evidence, means: Any) -> tuple[Any, Any]:
    """Labels in rising order, and the mean of each."""
    labels = np.array([CONTROL, *evidence.conditions])
    order = np.argsort(labels)
    return labels[order], np.vstack([evidence.control[:1], means])[order]


def main() -> None:
    """Write the values of all screens."""
    tables = {name: corrected_scores(golden_screen(name).evidence()) for name in SCREENS}
    table = pd.concat(tables, names=["screen"])
    table.to_csv(HERE / "corrected.csv", float_format="%.12g")


if __name__ == "__main__":
    main()
