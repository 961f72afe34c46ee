"""The test part of a split in a store: units to predict, their real cells, their controls.

Everything is over the evaluation genes, except what baselines learn from, which is over all genes
of the model. Expression is log1p per 10k.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cluster.runs.plan import known_conditions, units_of, whole_units
from cluster.work.means import control_means, measured_units
from data_store.store.reader import Store
from data_store.store.units import Unit
from data_store.stream import Cells
from scdfm.metrics import Training
from scdfm.metrics.baselines import MeasuredUnits, Prediction, Units, all_baselines
from scdfm.metrics.training import training_of
from scdfm.splits import Split

Expression = NDArray[np.float32]
Array = NDArray[np.float64]

HELD_BYTES = 512 * 1024**2  # of real cells; more are read again for every row
SOME_CELLS = 256  # of a training unit, for its variance; its rows are in random order


@dataclass(frozen=True)
class TestPart:
    """Test units of a split.

    Attributes:
        store: Where the cells are.
        split: Which conditions are tested.
        columns: Of the store: what a model and the baselines see, (model genes,).
        evaluation: Which of these are scored, rising, (genes,).
    """

    __test__ = False  # for pytest, which would take it for tests

    store: Store
    split: Split
    columns: NDArray[np.int64]
    evaluation: NDArray[np.int64]

    @cached_property
    def cells(self) -> tuple[Cells, ...]:
        """All cells of each unit.

        Raises:
            ValueError: The store has none of them.
        """
        found = whole_units(self.store, units_of(self.split, self.store, "test"))
        if not found:
            raise ValueError(
                f"none of the split's {len(self.split.test)} test conditions is in "
                f"{self.store.path}, first {self.split.test[0]!r}; use the store of the run"
            )
        return tuple(found)

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """What the store knows of each unit."""
        return tuple(self.store.units[part.unit] for part in self.cells)

    @property
    def contexts(self) -> tuple[str, ...]:
        """Context of each unit."""
        return tuple(unit.context for unit in self.units)

    @property
    def conditions(self) -> tuple[str, ...]:
        """Canonical condition name of each unit."""
        return tuple(unit.condition for unit in self.units)

    @property
    def scored(self) -> NDArray[np.int64]:
        """Columns of the store that are scored, (genes,)."""
        return self.columns[self.evaluation]

    @property
    def genes(self) -> tuple[str, ...]:
        """Names of the evaluation genes."""
        return tuple(self.store.genes[column] for column in self.scored)

    @property
    def tokens_are_genes(self) -> bool:
        """Whether conditions perturb genes; a drug that is spelt like one is none."""
        return self.store.perturbation == "gene"

    def on(self, evaluation: NDArray[np.int64]) -> "TestPart":
        """The same on other evaluation genes."""
        return TestPart(self.store, self.split, self.columns, evaluation)

    def real(self, unit: int) -> Expression:
        """Real cells of a unit, (cells, genes)."""
        if unit in self._held:
            return self._held[unit]
        part = self.cells[unit]
        cells = self.store.expression(part.start, part.stop, genes=self.scored)
        if sum(one.nbytes for one in self._held.values()) + cells.nbytes <= HELD_BYTES:
            self._held[unit] = cells
        return cells

    def control(self, context: str) -> Expression:
        """All controls of a context, (cells, genes); the same object every time."""
        if context not in self._controls:
            unit = self.store.controls[context]
            self._controls[context] = self.store.expression(
                unit.start, unit.stop, genes=self.scored
            )
        return self._controls[context]

    @cached_property
    def control_mean(self) -> Array:
        """Mean of all controls of each unit's context, (units, model genes)."""
        return control_means(self.store, self.contexts, columns=self.columns)

    def control_noise(self, context: str) -> Array:
        """Variance of the mean of a context's controls, (genes,)."""
        if context not in self._noise:
            cells = self.control(context)
            variance = cells.var(axis=0, ddof=min(1, len(cells) - 1), dtype=np.float64)
            self._noise[context] = variance / len(cells)
        return self._noise[context]

    @cached_property
    def training(self) -> list[Cells]:
        """Units of the training and validation part, which baselines learn from."""
        return whole_units(self.store, known_conditions(self.split, self.store))

    @cached_property
    def measured(self) -> MeasuredUnits:
        """Means of what baselines learn from, over the model's genes."""
        return measured_units(self.store, self.training, columns=self.columns)

    def baselines(self) -> dict[str, Prediction]:
        """What every baseline predicts for the units, over the model's genes."""
        asked = Units(
            contexts=self.contexts,
            conditions=tuple(unit.tokens for unit in self.units),
            control=self.control_mean,
        )
        return all_baselines(self.measured, asked)

    def training_facts(self) -> Training:
        """What metrics take from the training units; variances are those of some cells."""
        cells = [self._some(part) for part in self.training]
        contexts = [self.store.units[part.unit].context for part in self.training]
        controls = {one: self.control(one).var(axis=0, dtype=np.float64) for one in {*contexts}}
        return training_of(
            self.measured.mean[:, self.evaluation],
            variances=np.stack([one.var(axis=0, dtype=np.float64) for one in cells]),
            cells=np.array([part.stop - part.start for part in self.training]),
            control_means=self.measured.control[:, self.evaluation],
            control_variances=np.stack([controls[one] for one in contexts]),
            control_cells=np.array([len(self.control(one)) for one in contexts]),
        )

    def _some(self, part: Cells) -> Expression:
        stop = min(part.stop, part.start + SOME_CELLS)
        return self.store.expression(part.start, stop, genes=self.scored)

    @cached_property
    def _held(self) -> dict[int, Expression]:
        return {}

    @cached_property
    def _noise(self) -> dict[str, Array]:
        return {}

    @cached_property
    def _controls(self) -> dict[str, Expression]:
        return {}
