"""Options of an ingest; what they leave open is detected and logged."""

import hashlib
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveInt,
    WithJsonSchema,
    model_validator,
)

from data_store.sources.formats.format import EXPRESSION, Reading
from data_store.sources.recipes.registry import RECIPES
from data_store.store.schema import Perturbation
from scdfm.screen.conditions import CONTROL_WORDS, JOINT, Words
from scdfm.screen.names import apart

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_LEAST_MEMORY = 100_000_000
_LATER = (
    "modality",
    "feature_type",
    "multi_guide",
    "drop_uncontrolled",
    "round",
)  # options that the first stores did not know


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


def _several(value: object) -> object:
    """One name where several may stand."""
    return (value,) if isinstance(value, str) else value


def _once(value: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((name for name in value if value.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"expected each column once, got {twice!r} twice")
    return value


_Columns = Annotated[tuple[str, ...], BeforeValidator(_several), AfterValidator(_once)]


class IngestOptions(BaseModel, frozen=True, extra="forbid"):
    """How to read cells into a store. None means: detect."""

    recipe: Annotated[str, RECIPES] | None = Field(
        default=None, description="Columns and names of a published file; your options win"
    )
    cells: tuple[Path, ...] = Field(
        default=(),
        description="Table with a row per cell (.csv, .tsv, .parquet), read whole into memory; one "
        "for all sources, or one for each",
    )
    modality: str | None = Field(
        default=None, description="Which data of an .h5mu file (default: rna, or the only one)"
    )
    feature_type: tuple[str, ...] = Field(
        default=(),
        description=f"Features of 10x files to keep (default: {EXPRESSION})",
    )
    gene_column: str | None = Field(
        default=None, description="var column of the gene names (default: var's index)"
    )
    sha256: tuple[_Hash, ...] = Field(
        default=(),
        description="SHA-256 that each downloaded file must have, in the order of the addresses",
    )
    condition_column: _Columns = Field(
        default=(), description="obs column of the perturbation; several are joined per cell"
    )
    control: tuple[str, ...] = Field(
        default=(),
        description="Label of the control, or a pattern such as 'NT_*' (default: the usual words)",
    )
    guides: Path | None = Field(
        default=None,
        description="Table of guides (.csv, .tsv, .parquet) with their genes; the condition column "
        "then holds guides, several with a sign between them",
    )
    multi_guide: Literal["set", "drop"] = Field(
        default="set",
        description="Cells with guides of several genes: a combination of them, or left out",
    )
    separator: str | None = Field(
        default=None,
        min_length=1,
        description="Sign between the tokens of a label (default: +, where the parts make sense)",
    )
    context_column: _Columns = Field(
        default=(),
        description="obs column of cell line, patient or replicate; several are joined per cell "
        "(default: one context for all)",
    )
    layer: str | None = Field(
        default=None, description="X, a layer, or raw (AnnData's .raw, with its genes)"
    )
    normalised: bool = Field(
        default=False,
        description="Values are log1p of normalised counts; another depth is rescaled to 10,000",
    )
    round: bool = Field(
        default=False, description="Values are corrected counts (SoupX, CellBender): round them"
    )
    library_size_column: str | None = Field(
        default=None, description="obs column of the total counts (all UMIs) of a cell"
    )
    perturbation: Perturbation | None = Field(
        default=None, description="What the labels name: genes or drugs"
    )
    min_cells: NonNegativeInt = Field(
        default=0, description="Drop genes seen in fewer cells, unless perturbed"
    )
    min_condition_cells: PositiveInt = Field(
        default=1, description="Drop conditions with fewer cells in a context"
    )
    genes: PositiveInt | None = Field(
        default=None,
        description="Keep this many genes, the most variable over all cells, and the perturbed "
        "(default: all)",
    )
    gene_list: tuple[str, ...] = Field(
        default=(), description="Genes to keep, besides the perturbed (default: all)"
    )
    exclude: tuple[str, ...] = Field(
        default=(), description="Conditions to leave out, A,B or a file of them"
    )
    drop_unlabelled: bool = Field(
        default=False, description="Leave out cells without condition or context"
    )
    drop_uncontrolled: bool = Field(
        default=False, description="Leave out contexts that have no control cells"
    )
    join: Literal["same", "intersect", "union"] = Field(
        default="same", description="Which genes of several sources to keep"
    )
    remote: bool = Field(
        default=False, description="Larger chunks, for a store that is read over a network"
    )
    seed: NonNegativeInt = Field(
        default=0, description="Seed of the order of cells within a condition"
    )
    memory: Annotated[
        int, BeforeValidator(_bytes), AfterValidator(_enough), WithJsonSchema({"type": "string"})
    ] = Field(
        default="1GB",
        validate_default=True,
        description="Memory to use at most, such as 500MB",
    )
    workers: PositiveInt = Field(default=1, description="Threads that share the work")
    append: bool = Field(
        default=False, description="Add to the store that is there, as its next version"
    )
    overwrite: bool = Field(default=False, description="Replace what is there")

    @model_validator(mode="after")
    def _a_store_grows_or_goes(self) -> Self:
        if self.append and self.overwrite:
            raise ValueError(
                "expected --append or --overwrite, got both; leave out --overwrite to keep the "
                "store's cells, or --append to replace them"
            )
        return self

    @model_validator(mode="after")
    def _values_are_counts_or_logs(self) -> Self:
        if self.normalised and self.round:
            raise ValueError(
                "expected --normalised or --round, got both; leave one out (--round is for counts, "
                "--normalised for log values)"
            )
        return self

    @model_validator(mode="after")
    def _genes_are_chosen_in_one_way(self) -> Self:
        if self.genes is not None and self.gene_list:
            raise ValueError(
                "expected --genes or --gene-list, got both; leave one out (--genes says how many, "
                "--gene-list which)"
            )
        return self

    @property
    def words(self) -> Words:
        """How labels are split into tokens."""
        return Words(controls=self.control or CONTROL_WORDS, separator=self.separator or JOINT)

    def reading(self, scratch: Callable[[], AbstractContextManager[Path]]) -> Reading:
        """What formats are told; `scratch` makes a folder for what must be unpacked."""
        types = self.feature_type or (EXPRESSION,)
        return Reading(modality=self.modality, feature_types=types, scratch=scratch)

    def fingerprint(self) -> str:
        """The identity of what decides the store's content, besides the sources and tables."""
        # Whether --exclude was given A,B or twice is not what the user decided.
        each = tuple(name for text in self.exclude for name in apart(text, known=()))
        left_out = {"cells", "guides", "sha256", "memory", "workers", "overwrite", "append"}
        # An option that came later leaves the identity of older stores as it was.
        left_out |= {name for name in _LATER if name not in self.model_fields_set}
        kept = self.model_copy(update={"exclude": each}).model_dump_json(exclude=left_out)
        return hashlib.sha256(kept.encode()).hexdigest()
