"""Every part of the loss besides the flow's own, by name, one line each. Loads no torch."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from scdfm.screen.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor


class LossPart(Protocol):
    """Compares where the step's cells would end with where they should end."""

    def __call__(self, generated: "Tensor", real: "Tensor", *, sizes: tuple[int, ...]) -> "Tensor":
        """The part before its weight, a scalar with a gradient.

        Args:
            generated: (cells, genes), rows sorted by unit.
            real: (cells, genes), likewise.
            sizes: Cells of each unit.
        """


LOSSES: Registry[LossPart] = Registry(
    "loss part",
    group="scdfm.losses",
    of=Callable,
    own={"mmd": "scdfm.flow.mmd:unit_mmd"},
)
