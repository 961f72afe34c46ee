"""What a metric is: a number for each unit, and which way is better."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from scdfm.metrics.pseudobulk import Array, Pseudobulks


@dataclass(frozen=True)
class Metric:
    """How to compute a metric and which way is better.

    Attributes:
        of_units: One number for each unit, in float64; NaN where it is undefined.
        mode: Whether a smaller or a larger number is better.
    """

    of_units: Callable[[Pseudobulks], Array]
    mode: Literal["min", "max"]

    def values(self, units: Pseudobulks) -> Array:
        """The metric of each unit, (units,); whatever is not finite is undefined, NaN.

        Raises:
            ValueError: The metric gave something else than a number for each unit.
        """
        # A prediction may be as large as a float can be; an overflow is undefined.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            values = np.asarray(self.of_units(units), dtype=np.float64)
        if values.shape != (len(units.conditions),):
            raise ValueError(
                f"a metric must give one number for each of {len(units.conditions)} units, got "
                f"shape {values.shape}"
            )
        defined = np.isfinite(values) & np.isfinite(units.predicted).all(axis=1)
        return np.where(defined, values, np.nan)
