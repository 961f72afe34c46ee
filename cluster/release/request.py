"""What an import of the authors' checkpoint may be told. Loads no torch."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt


class ImportRequest(BaseModel, frozen=True, extra="forbid"):
    """What to import, and what the checkpoint itself does not say."""

    checkpoint: Path = Field(description="Checkpoint as the authors' code saves it")
    model: Path = Field(description="The directory to write")
    store: str = Field(description="The store with the cells it was trained on")
    mask: Path | None = Field(
        default=None, description="The release's mask, .pt (default: rebuilt from the store)"
    )
    vocabulary: Path | None = Field(
        default=None, description="The release's tokenizer, JSON (default: the store's genes)"
    )
    perturbations: tuple[str, ...] | None = Field(
        default=None,
        description="Drugs, control included, in the order of the checkpoint's table: A,B or a "
        "file, one per line (default: perturbations are genes)",
    )
    heads: PositiveInt | None = Field(
        default=None, description="Attention heads of a block (default: as the weights say)"
    )
    split: Path | None = Field(
        default=None, description="The split it was trained on, JSON of `scdfm split`"
    )
    kind: Literal["additive", "combosciplex"] | None = Field(
        default=None,
        description="Without --split: a split of the release (default: additive; for drugs "
        "combosciplex)",
    )
    fold: NonNegativeInt | None = Field(
        default=None, description="Fold of kind additive (default: 0)"
    )
    k: PositiveInt | None = Field(
        default=None, description="Nearest genes of a rebuilt graph, topk (default: 15)"
    )
    negative_edges: bool = Field(
        default=False, description="Negative edges in a rebuilt graph (use_negative_edge)"
    )
    overwrite: bool = Field(default=False, description="Replace what is there")
