"""A model that was evaluated, as a report reads it: what `evaluate` kept beside it.

What was not evaluated is evaluated first, and the result is kept.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cluster.report.records import Pictured
from cluster.runs.find_model import model_directory
from cluster.work.evaluate import evaluate
from cluster.work.evaluation.again import is_of_today, when_of
from cluster.work.evaluation.kept import CONTROL, GENERATED, REAL, Means, Sample, kept_of
from cluster.work.evaluation.record import Evaluation, UnitFacts
from data_store.store.reader import Store
from scdfm.flow.checkpoint import read_card
from scdfm.flow.files import SPLIT, identity_file
from scdfm.metrics import METRICS
from scdfm.screen.conditions import Words
from scdfm.screen.names import COMMA, apart
from scdfm.screen.progress import OnProgress
from scdfm.splits import Split

log = logging.getLogger(__name__)

READ = 5_000  # cells of a unit that are read at most; rows are in random order
PICTURED = 4  # conditions that are shown in detail, if none is named
MOST = 12  # conditions that may be named: a figure takes space


@dataclass(frozen=True)
class Judged:
    """An evaluation with the arrays that were kept beside it.

    Attributes:
        model: The model's directory.
        evaluation: What was found.
        means: Of every test unit.
        sample: Some cells.
        store: Where all cells are, open; none: it is gone, and the sample must do.
    """

    model: Path
    evaluation: Evaluation
    means: Means
    sample: Sample
    store: Store | None = None

    @property
    def row(self) -> str:
        """The row of the model in tables."""
        return next(iter(self.evaluation.tables))

    def units(self, wanted: Sequence[str]) -> list[int]:
        """Positions of the units to show in detail: those named, or some from best to worst.

        Raises:
            ValueError: One is not among the test conditions (names the nearest), or too many.
        """
        units = self.evaluation.units
        if not wanted:
            return self._spread()
        words = read_card(self.model).words
        known = {unit.condition for unit in units}
        labels = [label for text in wanted for label in _apart(text, known=words)]
        asked = [words.find(label, among=known) for label in labels]
        found = [at for one in asked for at, unit in enumerate(units) if unit.condition == one]
        if len(found) > MOST:
            raise ValueError(
                f"--conditions may name at most {MOST} conditions in contexts, got {len(found)}; "
                "name fewer"
            )
        return list(dict.fromkeys(found))

    def _spread(self) -> list[int]:
        """Units from the best to the worst by mse, or what stands for it, evenly by rank."""
        scores = self.evaluation.tables[self.row].conditions
        first: dict[str, int] = {}
        for at, unit in enumerate(self.evaluation.units):
            if (self.sample.unit == at).any():
                first.setdefault(unit.condition, at)
        known = self.evaluation.tables[self.row].overall
        metric = "mse" if "mse" in known else next(iter(known))
        sign = 1 if METRICS[metric].mode == "min" else -1
        ranked = sorted(first, key=lambda one: (_last(sign * scores[one][metric].value), one))
        places = np.linspace(0, len(ranked) - 1, min(PICTURED, len(ranked))).round().astype(int)
        return [first[ranked[place]] for place in dict.fromkeys(places.tolist())]

    def pictured(self, at: int) -> Pictured:
        """What is known of a unit's cells."""
        unit, sample = self.evaluation.units[at], self.sample
        real = sample.expression[(sample.kind == REAL) & (sample.unit == at)]
        # Controls are kept once for a context, under its first unit.
        home = next(
            place for place, one in enumerate(self.evaluation.units) if one.context == unit.context
        )
        control = sample.expression[(sample.kind == CONTROL) & (sample.unit == home)]
        stored = self._stored(unit)
        return Pictured(
            context=unit.context,
            condition=unit.condition,
            title=self._title(unit),
            genes=self.means.genes,
            control=control if stored is None else stored[1],
            real=real if stored is None else stored[0],
            generated=sample.expression[(sample.kind == GENERATED) & (sample.unit == at)],
            real_mean=self.means.real[at],
            control_mean=self.means.control[at],
            means={
                row: mean[at]
                for row, mean in self.means.predicted.items()
                if np.isfinite(mean[at]).all()
            },
        )

    def _stored(self, unit: UnitFacts) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """Real cells of a unit and controls of its context, from the store."""
        if self.store is None:
            return None
        store, column = self.store, {gene: at for at, gene in enumerate(self.store.genes)}
        genes = np.array([column[gene] for gene in self.means.genes], dtype=np.int64)
        here = next(
            one
            for one in store.units
            if (one.context, one.condition) == (unit.context, unit.condition)
        )
        control = store.controls[unit.context]
        return (
            store.expression(here.start, min(here.stop, here.start + READ), genes=genes),
            store.expression(control.start, min(control.stop, control.start + READ), genes=genes),
        )

    def _title(self, unit: UnitFacts) -> str:
        contexts = {one.context for one in self.evaluation.units}
        return f"{unit.condition} in {unit.context}" if len(contexts) > 1 else unit.condition


def judged(target: Path, *, store: str | None, progress: OnProgress | None = None) -> Judged:
    """The kept evaluation of a run's best model, or of a model; made now if there is none.

    Args:
        target: Run or model directory.
        store: Where the cells are; default the store that the model was trained on.
        progress: Is told of the cells generated.

    Raises:
        FileNotFoundError: Nothing is there, or its store is not where it was.
        ValueError: No run or model, or its evaluation cannot be kept.
    """
    model = model_directory(target)
    kept = kept_of(model)
    found = kept.of(identity_file(model))
    if found is None:
        log.info(f"{target} has no evaluation of this model yet: evaluating it")
        evaluate(target, store=store, progress=progress)
        kept = kept_of(model)
        found = kept.of(identity_file(model))
    if found is None:
        raise ValueError(
            f"expected to keep an evaluation in {kept.path}, got none; make the folder writable"
        )
    for line in unusual(found, split=Split.load(model / SPLIT)):
        log.info(f"{target} {line}")
    return Judged(
        model=model,
        evaluation=found,
        means=kept.means,
        sample=kept.sample,
        store=_cells_of(found, store),
    )


def unusual(found: Evaluation, *, split: Split) -> list[str]:
    """How an evaluation was made, where that is not as one of today would be."""
    lines = []
    if not is_of_today(found):
        when = when_of(found)
        lines.append(f"was evaluated{when} by another version of scDFM: `evaluate` does it anew")
    if found.asked is not None and found.asked.cells is not None:
        lines.append(f"was evaluated on {found.asked.cells:,} cells for each unit (--cells)")
    if not found.tests(split):
        lines.append("was evaluated on other conditions than its own split tests (--split)")
    return lines


def _cells_of(evaluation: Evaluation, given: str | None) -> Store | None:
    """The store that was evaluated on, in that version, if it is still there."""
    try:
        return Store.open(given or evaluation.store, fingerprint=evaluation.fingerprint)
    except (FileNotFoundError, ValueError) as error:
        log.info(f"figures show only the cells that were kept with the evaluation: {error}")
        return None


def _apart(text: str, *, known: Words) -> list[str]:
    return apart(text, known=known) if COMMA in text else [text]


def _last(value: float) -> float:
    """Undefined values come last."""
    return value if np.isfinite(value) else np.inf
