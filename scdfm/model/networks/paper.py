"""The network as the paper has it."""

from typing import TYPE_CHECKING

from scdfm.model.networks.network import Network

if TYPE_CHECKING:
    from scdfm.gene_graph.graph import GeneGraph
    from scdfm.model.config import ModelConfig
    from scdfm.model.paper import PaperField
    from scdfm.model.vocabulary import Vocabulary


def _build(config: "ModelConfig", *, vocabulary: "Vocabulary", graph: "GeneGraph") -> "PaperField":
    from scdfm.model.paper import PaperField

    return PaperField(config, vocabulary=vocabulary, graph=graph)


PAPER = Network(_build)
