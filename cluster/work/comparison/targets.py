"""What is compared: each model once, however often and in whatever spelling it is named."""

import logging
from collections.abc import Sequence
from pathlib import Path

from cluster.runs.find_model import model_directory, models_below
from cluster.storage.places import named

log = logging.getLogger(__name__)


def distinct(given: Sequence[Path]) -> list[Path]:
    """Runs and models, those below a sweep's folder of models included; says what is there twice.

    Args:
        given: Runs, models, or sweeps; a run stands for its model, a sweep for its best one.

    Raises:
        FileNotFoundError, ValueError: One is none of these.
    """
    found: dict[Path, Path] = {}
    for target in (one for path in given for one in models_below(path) or [path]):
        model = model_directory(target).resolve()
        if model not in found:
            found[model] = target
        else:
            first = found[model]
            again = "was named before" if target == first else f"is the model of {named(first)}"
            log.info("%s %s: it is compared once", named(target), again)
    return [*found.values()]
