"""Whether a model is less than its run was to make of it, and a user should know."""

import logging
from pathlib import Path

from cluster.runs.directory import RunDirectory
from cluster.runs.find_model import MODEL, RUN
from cluster.storage.places import named
from scdfm.flow.checkpoint import read_card
from scdfm.flow.files import members_of

log = logging.getLogger(__name__)


def warn_if_unfinished(model: Path) -> None:
    """Say that a model has its first weights, or that its run has not ended; by card and run."""
    line = unfinished(model)
    if line is not None:
        log.warning(line)


def unfinished(model: Path) -> str | None:
    """The same as a line; None where there is nothing to say."""
    first, run = _first_weights(model), model.parent
    if model.name == MODEL and (run / RUN).is_file() and not RunDirectory(run).finished:
        begun = RunDirectory(run)
        step = max((line["step"] for line in begun.journal.so_far()), default=0)
        best = f"step {read_card(model).provenance.step}"
        return (
            f"{named(run)} has not ended: it is at step {step} of {begun.settings.training.steps}, "
            f"and its best model so far {first or f'is of {best}'}"
        )
    return None if first is None else f"{named(model)} {first}"


def untrained(model: Path | None) -> str | None:
    """The step and kind of a model's first weights, to be shown; None of one that has learnt.

    None, too, where no model can be read: who trains may put another there meanwhile.
    """
    try:
        said = None if model is None else _first_weights(model)
    except (ValueError, FileNotFoundError):
        return None
    return None if said is None else said.removeprefix("is of ").removeprefix("has ")


def _first_weights(model: Path) -> str | None:
    """Say that a model, or some members of it, were not trained."""
    cards = [read_card(one) for one in members_of(model)]
    first = [one for one in cards if one.provenance.step == 0]
    if not first:
        return None
    what = "the untrained network"
    if first[0].provenance.init_from is not None:
        what = "the weights it started from"
    elif first[0].model.base_velocity:
        what += ", whose flow is the base: training added nothing to it"
    some = f"has {len(first)} of {len(cards)} members" if len(cards) > 1 else "is"
    return f"{some} of step 0, {what}"
