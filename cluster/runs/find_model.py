"""Which model a path stands for. Loads no torch, so that a wrong path is refused at once."""

from pathlib import Path

from cluster.storage.reading import fetched
from scdfm.flow.files import CARD

RUN, MODEL = "run.yaml", "model"  # of a run's directory
SWEEP, BEST_TRIAL = "sweep.lock.yaml", "best"  # of a sweep's directory
BEST_SPLITS = "best-splits"  # beside it
BEST_RUN = "best.yaml"  # likewise: a run file of its settings
CHOICE = "choice.json"  # likewise: which trial that is


def model_directory(target: Path) -> Path:
    """The model directory that a run, a sweep or a model stands for; what is elsewhere is fetched.

    Raises:
        FileNotFoundError: Nothing is there.
        ValueError: It is none of them, or the run has no model yet.
    """
    target = fetched(target)
    if not target.exists():
        raise FileNotFoundError(f"no such run or model: {target}")
    path = found_model(target)
    if path is not None:
        return path
    if (target / RUN).is_file():
        raise ValueError(
            f"the run {target} has no model yet; run `scdfm train` to the end of its "
            "first validation round"
        )
    raise ValueError(
        f"expected a run, a sweep or a model, got {target}, which holds neither {RUN} nor {CARD}; "
        "name one that scdfm wrote"
    )


def found_model(target: Path) -> Path | None:
    """The model directory below a path; None if there is none."""
    places = (target, target / MODEL, target / BEST_TRIAL)
    return next((path for path in places if (path / CARD).is_file()), None)


def models_below(target: Path) -> list[Path]:
    """The models of a sweep's splits where `target` is its folder of them; none otherwise."""
    models = sorted(
        (path.parent for path in target.glob(f"*/{CARD}") if path.parent.name.isdigit()),
        key=lambda path: int(path.name),
    )
    first = target.parent / BEST_TRIAL
    if target.name == BEST_SPLITS and models and (first / CARD).is_file():
        return [first, *models]
    return models
