"""Options of the gene graph."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, Field, PositiveInt, model_validator

NEAREST = 30  # genes, where k is left out: the paper's


class GraphConfig(BaseModel, frozen=True, extra="forbid"):
    """Which genes see each other; `graph: spearman` in a run file means {kind: spearman}."""

    kind: Literal["pearson", "spearman", "edges", "none"] = Field(
        default="pearson",
        description="Correlation over training cells, a list of edges, or no graph",
    )
    k: PositiveInt | None = Field(
        default=None,
        description="Nearest genes of each gene, before the graph is made symmetric "
        "(default: 30; for edges, all)",
    )
    positive: bool = Field(
        default=False, description="Only genes correlated (or weighted) above zero are neighbours"
    )
    cells: PositiveInt = Field(
        default=100_000, description="Training cells to correlate over, at most"
    )
    path: Path | None = Field(
        default=None, description="edges: CSV, TSV or Parquet with columns source,target[,weight]"
    )

    @model_validator(mode="before")
    @classmethod
    def _spelled_out(cls, given: object) -> object:
        given = {"kind": given} if isinstance(given, str) else given
        if not isinstance(given, dict) or given.get("k") is not None:
            return given
        # A user's list says itself which genes belong together; a correlation needs a limit.
        return given if given.get("kind") == "edges" else {**given, "k": NEAREST}

    @property
    def nearest(self) -> int:
        """K of a correlation."""
        return self.k or NEAREST

    @model_validator(mode="after")
    def _path_belongs_to_edges(self) -> Self:
        if self.kind == "edges" and self.path is None:
            raise ValueError(
                "kind edges needs path: FILE (CSV, TSV or Parquet with columns "
                "source,target[,weight]); add it"
            )
        if self.kind != "edges" and self.path is not None:
            raise ValueError(
                f"path belongs to kind edges, got kind {self.kind} with path {str(self.path)!r}; "
                "remove path or set kind to edges"
            )
        return self
