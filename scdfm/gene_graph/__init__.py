"""The gene graph: for each gene, the genes it may look at.

Built from log-normalised expression of TRAINING cells only, or from a user's own edges.
"""

from scdfm.gene_graph.config import GraphConfig
from scdfm.gene_graph.correlation import pearson_graph
from scdfm.gene_graph.edges import UserEdges, edges_graph
from scdfm.gene_graph.graph import GeneGraph, none_graph
from scdfm.gene_graph.spearman import RANKED_VALUES, spearman_graph

__all__ = [
    "RANKED_VALUES",
    "GeneGraph",
    "GraphConfig",
    "UserEdges",
    "edges_graph",
    "none_graph",
    "pearson_graph",
    "spearman_graph",
]
