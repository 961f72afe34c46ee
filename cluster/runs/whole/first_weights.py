"""A best model that is the one that training began with, and why it was chosen."""

import logging
from collections.abc import Iterable
from pathlib import Path

from cluster.runs.directory import RunDirectory
from scdfm.flow.checkpoint import read_card
from scdfm.flow.files import is_ensemble
from scdfm.screen.names import how_many

log = logging.getLogger(__name__)


def warn_if_untrained(model: Path, *, run: RunDirectory) -> None:
    """Say that a best model is the one that training began with.

    Args:
        model: The model; of a sweep a copy of the run's.
        run: That it is the best of.
    """
    if is_ensemble(model) or read_card(model).provenance.step != 0:
        return
    equal = equal_rounds([run])
    log.warning(
        f"no round of training scored better than the model before its first step"
        f"{f': {equal}' if equal else ''}, so {model} has its first weights; train longer "
        "(training.steps) or change training.learning_rate"
    )


def equal_rounds(runs: Iterable[RunDirectory]) -> str | None:
    """Say by what the models of step 0 were chosen of rounds that scored the same; None: of none.

    Args:
        runs: Whose best models are of step 0.
    """
    equal, rounds, metric = 0, 0, ""
    for run in runs:
        metric = run.settings.validation.metric
        scores = {
            line["step"]: line["validation"].get(metric)
            for line in run.journal.so_far()
            if line.get("validation")
        }
        first = scores.pop(0, None)
        rounds += len(scores)
        equal += sum(score is not None and score == first for score in scores.values())
    if not equal:
        return None
    return (
        f"{equal} of {how_many(rounds, 'round')} had the same {metric}, and of equal ones that is "
        "kept whose flow by itself makes the nearest cells (shape in metrics.jsonl)"
    )
