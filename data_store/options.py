"""What an ingest may be told; what is not told is detected and said aloud."""

import hashlib
import re
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field, NonNegativeInt, PositiveInt

from data_store.schema import Perturbation

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def _bytes(value: object) -> object:
    """Read "2GB" or "512 MB"; numbers are bytes."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*([0-9.]+)\s*([KMGT]?)i?(B?)\s*", value, flags=re.IGNORECASE)
    if match is None:
        raise ValueError(f"expected a size such as 2GB, got {value!r}")
    unit = f"{match[2]}B".upper() if match[2] else ""
    return int(float(match[1]) * _UNITS[unit])


class IngestOptions(BaseModel, frozen=True, extra="forbid"):
    """How to read cells into a store. None means: detect."""

    condition_column: str | None = None
    control: tuple[str, ...] = ()  # labels of the control; () means CONTROL_LABELS
    separator: str = Field(default="+", min_length=1)  # between the tokens of a label
    context_column: str | None = None  # cell line, patient or replicate; None: one context "all"
    layer: str | None = None  # "X" or a name in layers
    normalised: bool = False  # take log1p-per-10k values instead of counts
    library_size_column: str | None = None
    perturbation: Perturbation | None = None
    min_cells: NonNegativeInt = 0  # drop genes seen in fewer cells, unless perturbed
    min_condition_cells: PositiveInt = 1  # drop (context, condition) with fewer cells
    genes: PositiveInt | None = None  # keep the most variable over ALL cells, and the perturbed
    exclude: tuple[str, ...] = ()  # conditions left out
    drop_unlabelled: bool = False  # leave out cells without condition or context
    join: Literal["same", "intersect", "union"] = "same"  # genes of several sources
    seed: NonNegativeInt = 0  # order of the cells within a unit
    memory: Annotated[int, BeforeValidator(_bytes), Field(ge=100_000_000)] = 1_000_000_000
    overwrite: bool = False

    def fingerprint(self) -> str:
        """The identity of what decides the store's content."""
        kept = self.model_dump_json(exclude={"memory", "overwrite"})
        return hashlib.sha256(kept.encode()).hexdigest()
