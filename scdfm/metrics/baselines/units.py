"""What a baseline is given, units to learn from and units to predict, and what it gives back."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scdfm.screen.conditions import Condition

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Units:
    """Units with the control of their contexts: what a baseline may know of a test unit.

    Attributes:
        contexts: Context of each unit.
        conditions: Sorted tokens of each unit.
        control: Control mean of each unit's context, (units, genes).
    """

    contexts: tuple[str, ...]
    conditions: tuple[Condition, ...]
    control: Array

    def __post_init__(self) -> None:
        """Refuse lists of different lengths."""
        if not len(self.contexts) == len(self.conditions) == len(self.control):
            raise ValueError(
                "each unit needs a context, a condition and a control mean, got "
                f"{len(self.contexts)}, {len(self.conditions)} and {len(self.control)}"
            )


@dataclass(frozen=True)
class MeasuredUnits(Units):
    """Training units.

    Attributes:
        mean: Of each unit's cells, (units, genes).
        genes: Names of the genes, which a token may be; none where tokens are no genes, as drugs,
            or no baseline asks for them.
        noise: Sampling variance of each unit's change, of its cells' mean and of its controls',
            averaged over genes, (units,); none where it is not known.
        control_noise: What of it is the controls', which all units of a context share, (units,);
            none where it is not known apart.
        noise_by_gene: How the noise is spread over genes, with a mean of 1, (genes,); none where
            it is not known.
    """

    mean: Array
    genes: tuple[str, ...] = ()
    noise: Array | None = None
    control_noise: Array | None = None
    noise_by_gene: Array | None = None

    def __post_init__(self) -> None:
        """Refuse an empty training part and means of other units or genes."""
        super().__post_init__()
        if self.mean.shape != self.control.shape or not len(self.mean):
            raise ValueError(
                f"baselines need training units with means like their controls, got shapes "
                f"{self.mean.shape} and {self.control.shape}"
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.control).all()):
            raise ValueError(
                "baselines need finite means to learn from, got NaN or infinity; leave those "
                "units out"
            )
        for noise in (self.noise, self.control_noise):
            if noise is not None and not (noise.shape == (len(self.mean),) and (noise >= 0).all()):
                raise ValueError(
                    f"expected the noise of {len(self.mean)} units, variances of at least 0, got "
                    f"shape {noise.shape}, least {noise.min(initial=0)}"
                )
        shares = self.noise_by_gene
        if shares is not None and not (shares.shape == self.mean.shape[1:] and (shares >= 0).all()):
            raise ValueError(
                f"expected how noise is spread over {self.mean.shape[1]} genes, at least 0, got "
                f"shape {shares.shape}, least {shares.min(initial=0)}"
            )

    @cached_property
    def delta(self) -> Array:
        """Change from control, (units, genes)."""
        return self.mean - self.control


class Prediction(NamedTuple):
    """Means (units, genes), and the units (units,) for which something had to be left out."""

    mean: Array
    incomplete: NDArray[np.bool_]
