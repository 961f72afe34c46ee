"""Options of a simulated screen. Loads neither anndata nor pandas."""

from typing import Self

from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt, model_validator

CONTROL_SHARE = 0.08  # of all cells
_CELLS = 290  # of a condition


class SimulateOptions(BaseModel, frozen=True, extra="forbid"):
    """Sizes of a simulated screen."""

    cells: PositiveInt = Field(default=5_000, description="Cells, controls included")
    genes: int = Field(default=1_000, ge=10, description="Measured genes")
    singles: PositiveInt | None = Field(
        default=None, description="Perturbed genes (default: as many as the cells allow)"
    )
    doubles: NonNegativeInt | None = Field(
        default=None, description="Pairs of them (default: as many as the cells allow)"
    )
    contexts: PositiveInt = Field(default=1, description="Cell lines")
    seed: NonNegativeInt = Field(default=0, description="Seed of every random draw")

    @model_validator(mode="after")
    def fits(self) -> Self:
        singles, doubles = self.design
        if singles > self.genes // 2:
            raise ValueError(f"expected at most {self.genes // 2} singles, got {singles}")
        if doubles > singles * (singles - 1) // 2:
            raise ValueError(
                f"expected at most {singles * (singles - 1) // 2} doubles of {singles} singles, "
                f"got {doubles}; simulate more singles"
            )
        if self.cells < 4 * self.contexts * (singles + doubles + 1):
            raise ValueError(
                f"expected at least 4 cells for each of {singles + doubles} conditions and the "
                f"control in {self.contexts} contexts, got {self.cells} cells; simulate more"
            )
        return self

    @property
    def design(self) -> tuple[int, int]:
        """How many singles and doubles: about 290 cells each, 4 singles to 5 doubles."""
        room = round(self.cells * (1 - CONTROL_SHARE) / (_CELLS * self.contexts))
        singles = self.singles
        if singles is None:
            singles = max(2, round((room - (self.doubles or 0)) * (1 if self.doubles else 4 / 9)))
            singles = min(singles, self.genes // 2)
        doubles = self.doubles
        if doubles is None:
            doubles = min(max(0, room - singles), singles * (singles - 1) // 2)
        return singles, doubles
