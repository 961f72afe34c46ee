"""How many genes go the right way."""

import numpy as np
from numpy.typing import NDArray

from scdfm.metrics import Metric, Pseudobulks


def sign_agreement(units: Pseudobulks) -> NDArray[np.float64]:
    """Share of genes whose predicted change has the sign of the real one, (units,)."""
    predicted = np.sign(units.predicted - units.control)
    real = np.sign(units.real - units.control)
    share: NDArray[np.float64] = (predicted == real).mean(axis=1)
    return share


SIGN_AGREEMENT = Metric(sign_agreement, mode="max")
