"""What a figure says beside what the table says."""

import numpy as np

from cluster.report.figures.changes import deltas
from cluster.report.records import Pictured


def pictured(predicted: np.ndarray, *, control: np.ndarray) -> Pictured:
    cells = np.tile(control, (3, 1)).astype(np.float32)
    return Pictured(
        context="all",
        condition="A",
        title="A",
        genes=("a", "b", "c", "d"),
        control=cells,
        real=cells,
        generated=cells,
        real_mean=control + np.array([0.1, 0.2, 0.0, 0.4]),
        control_mean=control,
        means={"scDFM": predicted},
    )


def test_the_correlation_of_a_change_that_is_only_rounding_is_undefined() -> None:
    control = np.array([1.0, 2.0, 3.0, 4.0])
    rounding = control + 1e-8 * np.array([1, 2, 0, 4])
    said = deltas(pictured(rounding, control=control), model="scDFM").text
    assert "correlation -." in said
    real = control + 0.1 * np.array([1, 2, 0, 4])
    assert "correlation 1." in deltas(pictured(real, control=control), model="scDFM").text
