"""A report's part about one model: from its directory, or from the file of an evaluation."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from pydantic import ValidationError

from cluster.report.judged import judged
from cluster.report.page import Part, counted
from cluster.report.sections import of_evaluation, of_judged
from cluster.runs.find_model import RUN
from cluster.work.evaluation.record import Evaluation
from scdfm.screen.progress import OnProgress


def of_model(
    target: Path,
    *,
    conditions: Sequence[str] = (),
    store: str | None = None,
    run: Path | None = None,
    progress: OnProgress | None = None,
) -> tuple[Part, Evaluation]:
    """The part about a run's best model, or about a model; it is evaluated if it was not.

    Args:
        target: Run or model directory.
        conditions: To show in detail, in any spelling; none: some from best to worst.
        store: Where the cells are, if it must be evaluated.
        run: Where the model was trained, if that is not the folder above it.
        progress: Is told of the cells generated.

    Raises:
        FileNotFoundError: Nothing is there, or its store is not where it was.
        ValueError: No run or model, or a condition that is not in the test part.
    """
    found = judged(target, store=store, progress=progress)
    above = found.model.parent
    trained = run or (above if (above / RUN).is_file() else None)
    with found.store or nullcontext():
        sections = of_judged(found, wanted=conditions, run=trained)
    return Part(str(target), sections, about=_about(found.evaluation)), found.evaluation


def of_file(path: Path) -> tuple[Part, Evaluation]:
    """The part about an evaluation that was written with `evaluate --out`; it has no cells.

    Raises:
        ValueError: The file holds no evaluation.
    """
    try:
        evaluation = Evaluation.model_validate_json(path.read_bytes())
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        what = f"a file whose {where} is missing or of another kind" if where else "another file"
        raise ValueError(
            f"expected an evaluation of `scdfm evaluate --out` in {path}, got {what}; name such a "
            "file, or a run"
        ) from None
    return Part(str(path), of_evaluation(evaluation), about=_about(evaluation)), evaluation


def _about(evaluation: Evaluation) -> str:
    split = evaluation.split
    return (
        f"{counted(evaluation.conditions, 'test condition')} of the split {split.kind}, "
        f"fold {split.fold}; {counted(evaluation.genes, 'gene')}; {evaluation.store}."
    )
