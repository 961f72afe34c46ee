"""What words in a report mean: each metric by its own sentence, each row by one of ours."""

from collections.abc import Iterable

from cluster.work.evaluation.record import Evaluation
from scdfm.metrics import METRICS

ROWS = {
    "flow alone": "The cells of the same model as its flow makes them, without its base.",
    "untrained": "The same network with its first weights.",
    "shrunken": "Effects of single perturbations, as large as the data can tell from noise, "
    "added up; for combinations times one scale.",
    "scaled": "The additive change; for combinations times one scale.",
    "additive": "The changes of a combination's single perturbations, added up.",
    "linear": "A linear map from the perturbed genes' expression patterns to changes "
    "(Ahlmann-Eltze et al. 2025).",
    "perturbed mean": "The mean of all training conditions, the same for every condition.",
    "control": "No change: the mean of the control cells of the context.",
    "noise ceiling": "One half of the real cells against the other half: what a perfect "
    "prediction of a mean would score with so many cells.",
}
WORDS = {
    "0, 1, 2 unseen": "So many of a test condition's perturbations are in no training condition.",
    "interval": "Where the value would lie in 95 of 100 repeats of the experiment, by drawing "
    "conditions and cells again (bootstrap).",
    "identical": "Both rows have the same score in every condition, so there is no interval.",
    "within noise": "The interval of a difference holds zero: the two may be equally good.",
    "false discovery rate": "Share of the genes that are called different which are not, as "
    "expected (Benjamini-Hochberg).",
    "log1p per 10k": "Unit of expression: ln(1 + counts of a gene per 10,000 counts of its cell).",
}


def glossary(evaluations: Iterable[Evaluation]) -> dict[str, str]:
    """A plain sentence for each metric and row of some evaluations."""
    metrics: dict[str, str] = {}
    rows: dict[str, str] = {}
    for one in evaluations:
        for row, table in one.tables.items():
            metrics |= {metric: METRICS[metric].meaning for metric in table.overall}
            facts = one.rows.get(row)
            if row in ROWS:
                rows[row] = ROWS[row]
            elif facts is not None and facts.kind == "prediction":
                rows[row] = f"Predictions of {facts.source}."
            elif facts is not None and facts.kind == "model":
                rows[row] = "The model that this report is about."
    return metrics | rows | WORDS
