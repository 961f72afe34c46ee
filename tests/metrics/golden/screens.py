"""Seven screens whose scores were computed by cell-eval; see `make.py`."""

from dataclasses import replace

from tests.metrics.screens import Screen, screen

NAMES = (
    "zeros",
    "ties",
    "combinations",
    "one_condition",
    "control_prediction",
    "perfect_prediction",
    "sparse",
)
SPARSE = "sparse"
SINGLES = ("G0", "G1", "P2", "P3", "P4", "P5")


def golden_screen(name: str) -> Screen:
    """A small screen; every value is the same in float32 and float64."""
    some = screen(
        seed=NAMES.index(name),
        conditions={
            "combinations": ("G0", "G0+G1", "G2+P9", "P3", "G3+G4", "P4+P5"),
            "one_condition": ("G0",),
        }.get(name, SINGLES),
        genes=160,
        cells=60,
        controls=90,
        levels=3 if name == "ties" else None,
        effect=1.5,
    )
    if name == "zeros":
        # Genes that nobody has, or one side only: fold changes of 0 and of infinity.
        for cells in (some.control, *some.real.values(), *some.predicted.values()):
            cells[:, :5] = 0
        some.control[:, 5:10] = 0
        for position, cells in enumerate(some.real.values()):
            cells[:, 10 + position : 16 + position] = 0
        for position, cells in enumerate(some.predicted.values()):
            cells[:, 14 + position : 20 + position] = 0
        some.predicted["P5"][:] = 0
    if name in ("combinations", "ties"):
        # Two predictions are taken for each other, so that discrimination is not perfect.
        one, other = [*some.real][1:3]
        swapped = {one: some.predicted[other], other: some.predicted[one]}
        return replace(some, predicted=some.predicted | swapped)
    if name == "control_prediction":
        return replace(some, predicted=dict.fromkeys(some.real, some.control))
    if name == "perfect_prediction":
        return replace(some, predicted=some.real)
    return some
