"""What a run's journal says about its training, as figures."""

from pathlib import Path

from cluster.report.figures.curves import losses, validation
from cluster.report.page import Figure
from cluster.runs.directory import RunDirectory
from cluster.runs.history.losses import losses_of
from scdfm.metrics import METRICS


def curves(run: Path) -> list[Figure]:
    """Losses and validation scores by step; nothing where the journal is empty."""
    directory = RunDirectory(run)
    lines = list(directory.journal.lines())
    parts: dict[str, list[tuple[int, float]]] = {}
    for line in lines:
        for name, loss in losses_of(line).items():
            parts.setdefault(name, []).append((line["step"], loss))
    figures = [losses(parts)] if parts else []
    metric = directory.settings.validation.metric
    rounds = [
        (line["step"], value)
        for line in lines
        if (value := (line.get("validation") or {}).get(metric)) is not None
    ]
    if rounds:
        best = directory.best
        figures.append(
            validation(
                rounds,
                metric=metric,
                mode=METRICS[metric].mode,
                chosen=best.step if best is not None else None,
            )
        )
    return figures
