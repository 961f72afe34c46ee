"""Rescaled scores as a table."""

import math
from typing import TYPE_CHECKING

from cli.show.tables import Column, Grid, Row

if TYPE_CHECKING:
    from cluster.work.evaluation.record import Evaluation


def rescaled(result: "Evaluation") -> list[Grid | str]:
    """The scores on their scale, where the profile that was asked for has one."""
    from scdfm.metrics import PROFILES

    if result.profile not in PROFILES or not PROFILES[result.profile].rescaled:
        return []
    metrics = list(dict.fromkeys(name for row in result.rescaled.values() for name in row))
    lines = [
        Row([row, *(_shown(scores.get(name, math.nan)) for name in metrics)])
        for row, scores in result.rescaled.items()
    ]
    best = "perfection" if "score" in metrics else "real cells against real cells"
    columns = [Column("rescaled", "left"), *(Column(name) for name in metrics)]
    notes = [f"0 is the perturbed mean, 1 is {best}"]
    if any(math.isnan(value) for row in result.rescaled.values() for value in row.values()):
        notes.append("- where a score is undefined, or real cells do no better than that mean")
    return ["", Grid(columns, lines, title=""), *notes]


def _shown(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
