"""Options of a split."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt, model_validator

from scdfm.splits.kinds import KINDS

COMMON = ("kind", "fold", "seed")  # what every kind may be given


class SplitConfig(BaseModel, frozen=True, extra="forbid"):
    """How to divide the conditions. Seed and fold also draw the validation part of every kind."""

    kind: Annotated[str, KINDS] = Field(description="How to divide the conditions")
    fold: NonNegativeInt = Field(default=0, description="Number of the shuffle")
    seed: int = Field(default=42, ge=0, lt=2**31, description="Seed of fold 0")
    fraction: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="additive: share of doubles to test (default: 0.3); holdout: share of genes "
        "(default: 0.2)",
    )
    genes: PositiveInt | None = Field(
        default=None, description="holdout: genes to hold out (default: 12 if there are doubles)"
    )
    context: str | None = Field(
        default=None, description="context: which to leave out (default: number FOLD in name order)"
    )
    path: Path | None = Field(default=None, description="file: a saved split, or lists of names")
    test: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="list: test conditions, tokens in any order"
    )
    validation: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="list: validation conditions (default: drawn)"
    )

    @model_validator(mode="after")
    def _only_options_of_its_kind(self) -> Self:
        for option in sorted(type(self).model_fields.keys() - set(COMMON)):
            # An option that its kind does not read would be ignored.
            if getattr(self, option) is not None and option not in KINDS[self.kind].options:
                kinds = " or ".join(name for name, kind in KINDS.items() if option in kind.options)
                raise ValueError(
                    f"option {option!r} belongs to a split of kind {kinds}, got kind "
                    f"{self.kind!r}; remove it or change the kind"
                )
        return self

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for option, example in KINDS[self.kind].needs:
            if getattr(self, option) is None:
                raise ValueError(f"a split of kind {self.kind!r} needs {option}: {example}")
        if self.fraction is not None and self.genes is not None:
            raise ValueError("give either fraction or genes of a holdout split, got both")
        return self
