"""An evaluation on disk, beside what was judged, so that a report needs no second one.

    evaluation/evaluation.json   the record, as `evaluate --json` prints it
    evaluation/means.npz         real, control and predicted mean of every test unit
    evaluation/sample.npz        some real, generated and control cells, for pictures

It is in a run's directory, else in the model's own. All three appear at once.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from cluster.runs.directory import RunDirectory
from cluster.runs.find_model import BEST_SPLITS, BEST_TRIAL, CHOICE, MODEL, RUN, SWEEP
from cluster.runs.records import read_record
from cluster.storage.places import address_of
from cluster.storage.wanted import these
from cluster.work.evaluation.published import HeldError, published
from cluster.work.evaluation.record import Evaluation
from scdfm.flow.files import identity_file
from scdfm.screen.atomic import replaced_directory, sha256, write_json

log = logging.getLogger(__name__)

FOLDER, RECORD, MEANS, SAMPLE = "evaluation", "evaluation.json", "means.npz", "sample.npz"
CONTROL, REAL, GENERATED = 0, 1, 2  # kinds of cells in a sample
_ROW = "row/"


@dataclass(frozen=True)
class Means:
    """Means of the test units, in the order of `Evaluation.units`.

    Attributes:
        genes: Names of the evaluation genes.
        real: (units, genes).
        control: Of the unit's context, (units, genes).
        spread: Variance over the real cells, (units, genes).
        predicted: By row of the tables, (units, genes); NaN where a row has no prediction.
    """

    genes: tuple[str, ...]
    real: NDArray[np.float32]
    control: NDArray[np.float32]
    spread: NDArray[np.float32]
    predicted: dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Sample:
    """Some cells over the evaluation genes.

    Attributes:
        expression: log1p per 10k, (cells, genes).
        kind: CONTROL, REAL or GENERATED (by the first row), (cells,).
        unit: Position in `Evaluation.units`; of a control the first unit of its context, (cells,).
    """

    expression: NDArray[np.float32]
    kind: NDArray[np.int8]
    unit: NDArray[np.int32]


@dataclass(frozen=True)
class KeptEvaluation:
    """The folder of one evaluation."""

    path: Path

    @property
    def record(self) -> Evaluation | None:
        """What was found; None when nothing was kept, or by a version that wrote otherwise."""
        file = self.path / RECORD
        if not file.is_file():
            return None
        try:
            return Evaluation.model_validate_json(file.read_bytes())
        except ValidationError:
            log.info("%s is of another version and counts as none", file)
            return None

    @property
    def means(self) -> Means:
        """Means of every test unit."""
        with np.load(self.path / MEANS) as file:
            return Means(
                genes=tuple(map(str, file["genes"])),
                real=file["real"],
                control=file["control"],
                spread=file["spread"],
                predicted={
                    name.removeprefix(_ROW): file[name] for name in file if name.startswith(_ROW)
                },
            )

    @property
    def sample(self) -> Sample:
        """Some cells."""
        with np.load(self.path / SAMPLE) as file:
            return Sample(expression=file["expression"], kind=file["kind"], unit=file["unit"])

    def of(self, weights: Path) -> Evaluation | None:
        """The record, if it is of these weights: a run that trained on has others."""
        found = self.record
        return found if found is not None and found.weights == sha256(weights) else None

    def keep(self, record: Evaluation, means: Means, sample: Sample) -> None:
        """Write an evaluation in place of an older one; a folder that is not ours is left alone."""
        try:
            with published(self.path), replaced_directory(self.path) as draft:
                write_json(draft / RECORD, record.model_dump(mode="json"))
                # As numpy's types have it, any of them might be its `allow_pickle`.
                arrays: Mapping[str, Any] = _arrays(means)
                np.savez(draft / MEANS, **arrays)
                np.savez_compressed(
                    draft / SAMPLE,
                    expression=sample.expression,
                    kind=sample.kind,
                    unit=sample.unit,
                )
        except OSError as error:
            # The scores are worth more than their copy.
            log.warning("the evaluation is not kept in %s: %s", self.path, error.strerror or error)
        except HeldError as error:
            log.warning("the evaluation is not kept: %s", error)


def _arrays(means: Means) -> dict[str, NDArray[Any]]:
    return {
        "genes": np.array(means.genes),
        "real": means.real,
        "control": means.control,
        "spread": means.spread,
        **{f"{_ROW}{name}": values for name, values in means.predicted.items()},
    }


def kept_beside(model: Path) -> KeptEvaluation:
    """Where the evaluation of a model is kept: in the directory of its run, else in its own."""
    run = model.parent
    own = model.name == MODEL and (run / RUN).is_file()
    return KeptEvaluation((run if own else model) / FOLDER)


def kept_of(model: Path) -> KeptEvaluation:
    """Where the evaluation of a model is; if it has none, where one would be kept.

    A sweep's best models are copies: tests of the winner (`final`) are kept with the run of its
    trial.
    """
    own, weights = kept_beside(model), identity_file(model)
    if own.of(weights) is None:
        for folder in _of_trials(model):
            if KeptEvaluation(folder).of(weights) is not None:
                return KeptEvaluation(folder)
    return own


def _of_trials(model: Path) -> Iterator[Path]:
    """Where the evaluation of the run is that one of a sweep's best models is a copy of.

    Older sweeps do not say which trial that is: then those of all trials.
    """
    if model.parent.name == BEST_SPLITS:
        sweep, split = model.parent.parent, model.name
    elif model.name == BEST_TRIAL:
        sweep, split = model.parent, "0"
    else:
        return
    if not (sweep / SWEEP).is_file():
        return
    chosen = read_record(sweep / CHOICE, _Chosen)
    if chosen is None or chosen.key is None:
        yield from sorted(sweep.glob(f"trials/*/split-{split}/{FOLDER}"))
        return
    # Trials that differ in how they sample have the same weights, and other cells.
    run = sweep / f"trials/{chosen.key}/split-{split}"
    if address_of(sweep) is not None:  # which has it apart from the sweep
        RunDirectory(run).fetch(these(f"{FOLDER}/"))
    yield run / FOLDER


class _Chosen(BaseModel, extra="ignore"):
    """What a sweep's choice says of the winner's runs."""

    key: str | None = None  # their folder; versions before wrote none
