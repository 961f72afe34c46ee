"""What a variant of the velocity field is. Loads no torch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from scdfm.gene_graph.graph import GeneGraph
    from scdfm.model.config import ModelConfig
    from scdfm.model.field import VelocityField
    from scdfm.model.vocabulary import Vocabulary


class Build(Protocol):
    """Makes a velocity field with weights from torch's global generator."""

    def __call__(
        self, config: "ModelConfig", *, vocabulary: "Vocabulary", graph: "GeneGraph"
    ) -> "VelocityField":
        """The field; the graph has a row for each of the vocabulary's genes."""


def any_form(config: "ModelConfig") -> None:
    """Refuse nothing."""


@dataclass(frozen=True)
class Network:
    """A variant of the velocity field.

    Attributes:
        build: Makes it; imports torch only when called.
        check: Raises ValueError for a configuration that this variant cannot have.
        lacks: Settings of the model that it has not; a preset leaves them out.
    """

    build: Build
    check: Callable[["ModelConfig"], None] = any_form
    lacks: tuple[str, ...] = ()
