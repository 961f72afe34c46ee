"""What an ingest may be told; what is not told is detected and said aloud."""

import hashlib
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveInt,
    model_validator,
)

from data_store.store.schema import Perturbation
from scdfm.screen.conditions import CONTROL_WORDS, Words
from scdfm.screen.names import apart

RecipeName = Literal["norman", "combosciplex"]

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_LEAST_MEMORY = 100_000_000


def _bytes(value: object) -> object:
    """Read "2GB" or "512 MB"; numbers are bytes."""
    if not isinstance(value, str):
        return value
    size = r"\s*(\d+\.?\d*|\.\d+)\s*([KMGT]?)i?(B?)\s*"
    match = re.fullmatch(size, value, flags=re.IGNORECASE)
    if match is None:
        raise ValueError("expected a size such as 2GB or 500MB")
    unit = f"{match[2]}B".upper() if match[2] else ""
    return int(float(match[1]) * _UNITS[unit])


def _enough(value: int) -> int:
    if value < _LEAST_MEMORY:
        raise ValueError(f"expected at least {_LEAST_MEMORY // 10**6}MB")
    return value


def _hash(value: str) -> str:
    # Said before a file is downloaded that cannot have it.
    if not re.fullmatch(r"[0-9a-fA-F]{64}", value):
        raise ValueError("expected a SHA-256 of 64 hexadecimal digits")
    return value


_Hash = Annotated[str, AfterValidator(_hash)]


class IngestOptions(BaseModel, frozen=True, extra="forbid"):
    """How to read cells into a store. None means: detect."""

    recipe: RecipeName | None = None  # columns and names of a published file
    cells: tuple[Path, ...] = ()  # tables of cells: one for all sources, or one for each
    gene_column: str | None = None  # var column with the gene names; None: var's index
    sha256: tuple[_Hash, ...] = ()  # of the sources that are addresses, in their order
    condition_column: str | None = None
    control: tuple[str, ...] = ()  # labels of the control; () means CONTROL_WORDS
    separator: str = Field(default="+", min_length=1)  # between the tokens of a label
    context_column: str | None = None  # cell line, patient or replicate; None: one context "all"
    layer: str | None = None  # "X" or a name in layers
    normalised: bool = False  # take log1p-per-10k values instead of counts
    library_size_column: str | None = None
    perturbation: Perturbation | None = None
    min_cells: NonNegativeInt = 0  # drop genes seen in fewer cells, unless perturbed
    min_condition_cells: PositiveInt = 1  # drop (context, condition) with fewer cells
    genes: PositiveInt | None = None  # keep the most variable over ALL cells, and the perturbed
    gene_list: tuple[str, ...] = ()  # keep these genes, and the perturbed; () means all
    exclude: tuple[str, ...] = ()  # conditions left out, each with or without commas
    drop_unlabelled: bool = False  # leave out cells without condition or context
    join: Literal["same", "intersect", "union"] = "same"  # genes of several sources
    remote: bool = False  # chunks for a network: fewer and larger; always so where STORE is a URL
    seed: NonNegativeInt = 0  # order of the cells within a unit
    memory: Annotated[int, BeforeValidator(_bytes), AfterValidator(_enough)] = 1_000_000_000
    workers: PositiveInt = 1  # threads that share the work
    overwrite: bool = False
    append: bool = False  # to the store that is there, as its new version

    @model_validator(mode="after")
    def _a_store_grows_or_goes(self) -> Self:
        if self.append and self.overwrite:
            raise ValueError(
                "expected --append or --overwrite, got both; one keeps what is there, one does not"
            )
        return self

    @model_validator(mode="after")
    def _genes_are_chosen_in_one_way(self) -> Self:
        if self.genes is not None and self.gene_list:
            raise ValueError(
                "expected --genes or --gene-list, got both; a list says which, a number how many"
            )
        return self

    @property
    def words(self) -> Words:
        """How labels are taken apart."""
        return Words(controls=self.control or CONTROL_WORDS, separator=self.separator)

    def fingerprint(self) -> str:
        """The identity of what decides the store's content, beside the sources and tables."""
        # Whether --exclude was given A,B or twice is not what the user decided.
        each = tuple(name for text in self.exclude for name in apart(text, known=()))
        kept = self.model_copy(update={"exclude": each}).model_dump_json(
            exclude={"cells", "sha256", "memory", "workers", "overwrite", "append"}
        )
        return hashlib.sha256(kept.encode()).hexdigest()
