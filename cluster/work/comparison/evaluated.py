"""Evaluations of several runs, made alike: by one code, and on as many cells of each unit.

What was kept is read; what would mix two ways of judging in one mean is evaluated anew.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from cluster.runs.find_model import model_directory
from cluster.work.evaluate import evaluate
from cluster.work.evaluation.again import is_of_today
from cluster.work.evaluation.kept import kept_of
from cluster.work.evaluation.record import Evaluation, SplitFacts
from scdfm.flow.checkpoint import read_card
from scdfm.flow.files import SPLIT, identity_file
from scdfm.metrics import METRICS
from scdfm.screen.progress import OnProgress
from scdfm.screen.untyped import JsonObject
from scdfm.splits import Split

log = logging.getLogger(__name__)


def evaluated(
    targets: Sequence[Path],
    *,
    metrics: Sequence[str] | None = None,
    again: bool = False,
    progress: OnProgress | None = None,
) -> list[Evaluation]:
    """The evaluation of each run or model: what was kept of it, or a new one, which is kept.

    All are by the same code and of the same number of cells.

    Args:
        targets: Runs or models.
        metrics: What each must have; none: what there is of it, or the usual ones.
        again: Evaluate also what was evaluated before.
        progress: Is told of the cells generated.
    """
    held = [_held(target) for target in targets]
    if not again and _are_alike(held, metrics=metrics):
        found = [one for one in held if one is not None]
        if not all(map(is_of_today, found)):
            log.info("all were evaluated by one other version of scDFM; --again does it anew")
        return found
    cells = _cells_of_all(held)
    return [
        known
        if known is not None and not again and _is_one_of(known, cells=cells, metrics=metrics)
        else _new(target, known, metrics=metrics, cells=cells, again=again, progress=progress)
        for target, known in zip(targets, held, strict=True)
    ]


def _held(target: Path) -> Evaluation | None:
    """What was kept of a model, where it was judged on the genes and the split of its own."""
    model = model_directory(target)
    known = kept_of(model).of(identity_file(model))
    if known is None:
        return None
    split = Split.load(model / SPLIT)
    # A newer version may have written more of a split than is known here.
    names = known.split.model_fields_set & SplitFacts.model_fields.keys()
    same = all(getattr(known.split, name) == getattr(split, name) for name in names)
    if same and known.tests(split) and known.genes == len(read_card(model).evaluation_genes):
        return known
    # Beside a run at its usual, a mean would be over other genes or conditions.
    log.info("%s was evaluated on other genes or conditions than its own", target)
    return None


def _are_alike(held: Sequence[Evaluation | None], *, metrics: Sequence[str] | None) -> bool:
    """Whether all were judged in one way, be it an older one, by all that is asked for."""
    first = held[0] if held else None
    if first is None or first.asked is None:
        return False
    return all(
        one is not None
        and one.asked is not None
        and (one.asked.cells, one.code, one.versions) == (first.asked.cells, *_code_of(first))
        and (one.code is not None or one.commit == first.commit is not None)
        and not _lacking(one, metrics)
        for one in held
    )


def _code_of(known: Evaluation) -> tuple[str | None, dict[str, str]]:
    return known.code, known.versions


def _cells_of_all(held: Sequence[Evaluation | None]) -> int | None:
    """The number of cells that all were judged on; else the usual."""
    asked = {one.asked.cells for one in held if one is not None and one.asked is not None}
    return asked.pop() if len(asked) == 1 else None


def _is_one_of(known: Evaluation, *, cells: int | None, metrics: Sequence[str] | None) -> bool:
    """Whether a kept evaluation is as a new one would be."""
    like = known.asked is not None and known.asked.cells == cells
    return like and is_of_today(known) and not _lacking(known, metrics)


def _new(
    target: Path,
    known: Evaluation | None,
    *,
    metrics: Sequence[str] | None,
    cells: int | None,
    again: bool,
    progress: OnProgress | None,
) -> Evaluation:
    """Evaluate, as what was kept was evaluated before."""
    log.info("evaluating %s%s", target, _reason(known, cells=cells, metrics=metrics))
    how = {} if known is None else _as_before(known)
    on_gpu = known is not None and _on_gpu(known)
    gpu = on_gpu and torch.cuda.is_available()
    keep = True
    if known is not None and on_gpu and not gpu:
        # Less is known of it here than there: what was kept there may be all that there is.
        keep = not is_of_today(known)
        log.info(
            "%s was evaluated on a GPU and no GPU is here: evaluated on CPUs%s",
            target,
            "" if keep else ", and not kept",
        )
    names = metrics if known is None else (*_has(known), *_lacking(known, metrics))
    return evaluate(
        target,
        metrics=names,
        cells=cells,
        again=again,
        gpu=gpu,
        keep=keep,
        progress=progress,
        **how,
    )


def _reason(known: Evaluation | None, *, cells: int | None, metrics: Sequence[str] | None) -> str:
    if known is None:
        return ""
    if not is_of_today(known):
        return " again: its scores are of another version of scDFM"
    if known.asked is not None and known.asked.cells != cells:
        return " again: its scores are of another number of cells"
    lacking = _lacking(known, metrics)
    return f" again: its scores lack {', '.join(lacking)}" if lacking else ""


def _lacking(known: Evaluation, metrics: Sequence[str] | None) -> list[str]:
    return [one for one in metrics or () if one not in _has(known)]


def _has(known: Evaluation) -> tuple[str, ...]:
    """The metrics of an evaluation, also those that nothing was found of."""
    tables = {name for table in known.tables.values() for name in table.overall}
    named = tables if known.asked is None else {*known.asked.metrics}
    return tuple(name for name in METRICS if name in named)


def _as_before(known: Evaluation) -> JsonObject:
    """How an evaluation was made, so that another one of further metrics is of the same cells."""
    if known.asked is None:
        return {}
    return known.asked.model_dump(include={"seed", "repeats", "precision"})


def _on_gpu(known: Evaluation) -> bool:
    if known.asked is not None:
        return known.asked.device == "cuda"
    return known.arithmetic is not None and known.arithmetic.device.startswith("cuda")
