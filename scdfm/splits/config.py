"""What a user may ask of a split."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt, model_validator

Kind = Literal["additive", "holdout", "combosciplex", "context", "file", "list"]

# The options each kind reads; another one set by the user would be ignored, so it is refused.
OPTIONS: dict[Kind, tuple[str, ...]] = {
    "additive": ("fraction",),
    "holdout": ("fraction", "genes"),
    "combosciplex": (),
    "context": ("context",),
    "file": ("path",),
    "list": ("test", "validation"),
}


class SplitConfig(BaseModel, frozen=True, extra="forbid"):
    """How to part the conditions. Seed and fold also draw the validation part of every kind."""

    kind: Kind = Field(description="How to part the conditions")
    fold: NonNegativeInt = Field(default=0, description="Which of the shuffles")
    seed: int = Field(default=42, ge=0, lt=2**31, description="Of fold 0")
    fraction: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="additive: share of doubles to test, else 0.3; holdout: of genes, else 0.2",
    )
    genes: PositiveInt | None = Field(
        default=None, description="holdout: genes to hold out; else 12 where there are doubles"
    )
    context: str | None = Field(
        default=None, description="context: which to leave out; else number FOLD in name order"
    )
    path: Path | None = Field(default=None, description="file: a saved split, or lists of names")
    test: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="list: test conditions, tokens in any order"
    )
    validation: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="list: validation conditions; else drawn"
    )

    @model_validator(mode="after")
    def _only_options_of_its_kind(self) -> Self:
        for option in sorted({one for options in OPTIONS.values() for one in options}):
            if getattr(self, option) is not None and option not in OPTIONS[self.kind]:
                kinds = " or ".join(kind for kind in OPTIONS if option in OPTIONS[kind])
                raise ValueError(
                    f"option {option!r} belongs to a split of kind {kinds}, got kind "
                    f"{self.kind!r}; remove it or change the kind"
                )
        return self

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind == "file" and self.path is None:
            raise ValueError("a split of kind 'file' needs path: FILE (JSON or YAML)")
        if self.kind == "list" and self.test is None:
            raise ValueError("a split of kind 'list' needs test: [CONDITION, ...]")
        if self.fraction is not None and self.genes is not None:
            raise ValueError("give either fraction or genes of a holdout split, got both")
        return self
