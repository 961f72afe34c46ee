"""What a metric is: a number for each unit, and which way is better."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

import numpy as np

from scdfm.metrics.pseudobulk import Array, Pseudobulks
from scdfm.metrics.units import UnitCells

Need = Literal["training", "real_cells", "predicted_cells"]


@dataclass(frozen=True)
class Metric:
    """How to compute a metric and which way is better: of all units at once, or cell by cell.

    A metric of means takes `Pseudobulks`. One that says what else it `needs` takes `Evidence`,
    which has that, too; units without it are not scored by it.

    Attributes:
        of_units: One number for each unit, in float64; NaN where it is undefined.
        of_cells: One number for a unit from its predicted and real cells, in place of `of_units`;
            the cells need not be kept.
        mode: Whether a smaller or a larger number is better.
        needs: What `of_units` reads beside means: names of attributes of `Evidence`.
        pooled: One number for all units of a context together, given to each of them.
        no_skill: What a prediction that says nothing has. A validation round counts it for a unit
            that the prediction alone leaves undefined; none: the round leaves the unit out.
        on_request: An older form of another metric: only who names it, or its profile, gets it.
        says: One plain sentence for who reads a report.
    """

    of_units: Callable[[Any], Array] | None = None
    _: KW_ONLY
    of_cells: Callable[[UnitCells], float] | None = None
    mode: Literal["min", "max"]
    needs: tuple[Need, ...] = ()
    pooled: bool = False
    no_skill: float | None = None
    on_request: bool = False
    says: str = ""

    def __post_init__(self) -> None:
        """Refuse a metric that is computed in no way, or in two."""
        if (self.of_units is None) == (self.of_cells is None):
            raise ValueError("a metric must have of_units or of_cells, got both or neither")

    @property
    def meaning(self) -> str:
        """What it measures: its own sentence, else the first of its function's docstring."""
        text = self.says or getattr(self.of_units or self.of_cells, "__doc__", None) or ""
        return " ".join(text.split("\n\n")[0].split()).replace(", (units,)", "")

    @property
    def of_means(self) -> bool:
        """Whether it needs nothing but means."""
        return self.of_cells is None and not self.needs

    @property
    def of_rounds(self) -> bool:
        """Whether validation rounds compute it: they have means and some cells of each unit."""
        return not self.needs and not self.on_request

    def known_of(self, units: Pseudobulks) -> bool:
        """Whether these units have what the metric needs."""
        if self.of_cells is not None:
            return self.of_cells in getattr(units, "measured", {})
        return all(getattr(units, need, None) is not None for need in self.needs)

    def values(self, units: Pseudobulks) -> Array:
        """The metric of each unit, (units,); whatever is not finite is undefined, NaN.

        Raises:
            ValueError: The metric gave something else than a number for each unit.
        """
        # A prediction may be as large as a float can be; an overflow is undefined.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            values = np.asarray(self._raw(units), dtype=np.float64)
        if values.shape != (len(units.conditions),):
            raise ValueError(
                f"a metric must give one number for each of {len(units.conditions)} units, got "
                f"shape {values.shape}"
            )
        defined = np.isfinite(values) & np.isfinite(units.predicted).all(axis=1)
        for need in self.needs:
            if need != "training":
                # A unit may be known by its mean alone, beside others with cells.
                defined &= getattr(units, need).cells > 0
        return np.where(defined, values, np.nan)

    def _raw(self, units: Pseudobulks) -> Array:
        if not self.known_of(units):
            wanted = ", ".join(self.needs) or "cells"
            raise ValueError(f"this metric needs {wanted} of the units, got their means alone")
        if self.of_units is not None:
            return self.of_units(units)
        measured: Array = units.measured[self.of_cells]  # type: ignore[attr-defined]
        return measured
