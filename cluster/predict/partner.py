"""The real cells to compare with a prediction, or with what a model would predict."""

import logging
from collections.abc import Collection
from pathlib import Path

from cluster.predict.identity import Provenance
from cluster.runs.find_model import model_directory
from data_store.prediction import Outline, read_facts, read_outline
from data_store.store.export import export
from data_store.store.reader import Store
from scdfm.flow.checkpoint import read_card
from scdfm.screen.conditions import CONTROL
from scdfm.screen.names import how_many
from scdfm.screen.progress import OnProgress

log = logging.getLogger(__name__)


def export_partner(
    store: Path | str,
    out: Path,
    *,
    of: Path,
    conditions: Collection[str] | None = None,
    overwrite: bool = False,
    progress: OnProgress | None = None,
) -> None:
    """Write cells of a store with the labels, genes and scale of predictions.

    For a prediction these are the cells of its conditions and contexts, and their controls;
    conditions that the store does not hold are logged.

    Args:
        store: Where the cells are.
        out: The .h5ad file to write.
        of: A prediction, a model, or a run.
        conditions: Other conditions; None for the prediction's, or for all.
        overwrite: Replace what is there.
        progress: Is told of the cells written.

    Raises:
        ValueError: `of` is none of them, or the store holds too little for it.
        FileExistsError: `out` exists.
    """
    contexts = None
    if of.exists() and read_facts(of) is not None:
        _require_its_store(of, store)
        outline = read_outline(of)
        genes, contexts = outline.genes, outline.contexts
        conditions = conditions or _measured(store, outline)
    else:
        genes = read_card(model_directory(of)).genes
    export(
        store,
        out,
        conditions=conditions,
        contexts=contexts,
        normalised=True,
        genes=genes,
        overwrite=overwrite,
        progress=progress,
    )


def _require_its_store(prediction: Path, store: Path | str) -> None:
    """Refuse a store that shares no context with a prediction that was made from another one.

    Raises:
        ValueError: They have nothing in common.
    """
    told = Provenance.read(read_facts(prediction))
    with Store.open(store) as cells:
        made, here, contexts = None if told is None else told.identity.store, cells, cells.contexts
        if made in (None, here.fingerprint):
            return
        shared = {*read_outline(prediction).contexts} & {*contexts}
    if shared:
        log.info("%s was made from another store than %s", prediction, store)
        return
    raise ValueError(
        f"{prediction} was made from the store {made[:12]}, and {store} is {here.fingerprint[:12]} "
        "and has none of its contexts; name the store that it was made from"
    )


def _measured(store: Path | str, outline: Outline) -> list[str]:
    """The control, and the conditions of a prediction that were measured in its contexts."""
    with Store.open(store) as cells:
        words = cells.words
        there = {unit.tokens for unit in cells.units if unit.context in outline.contexts}
        missing = [label for label in outline.conditions if words.parse(label) not in there]
    if missing:
        log.warning(
            "%s of the prediction without real cells in %s, first %r: left out",
            how_many(len(missing), "condition"),
            store,
            missing[0],
        )
    return [CONTROL, *(label for label in outline.conditions if label not in missing)]
