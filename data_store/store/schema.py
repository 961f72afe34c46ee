"""A store's description of itself: `manifest.json`, written last.

A store is a directory with `cells.zarr` (AnnData), `conditions.parquet` (one row per unit),
`moments.zarr` (sums per unit and gene) and the manifest. A store that grew keeps its older versions
below `versions/`, each a directory of the same form. A unit is (context, condition).
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import (
    BaseModel,
    NonNegativeInt,
    PositiveInt,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from scdfm.screen.conditions import Words
from scdfm.screen.spelling import tidy
from scdfm.screen.untyped import JsonObject

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
CELLS = "cells.zarr"
CONDITIONS = "conditions.parquet"
MOMENTS = "moments.zarr"
LIBRARY_SIZE = "library_size"  # our column in obs
GENES_OF_GUIDES = "genes_of_guides"  # ours, too, where conditions were told as guides
COUNTS = "counts"  # a scale, as files name it
LOG = "log1p(counts / library size * 10000)"  # the other
_BETWEEN = " / "  # values of a context
TARGET_SUM = 10_000.0  # expression is log1p(counts / library size * TARGET_SUM)

Perturbation = Literal["gene", "drug"]


class SourceRecord(BaseModel, frozen=True, extra="forbid"):
    """One ingested file. Its fingerprint covers all its bytes, but no path and no date."""

    name: str
    cells: NonNegativeInt
    genes: NonNegativeInt
    fingerprint: str
    url: str | None = None  # where it was downloaded from, without what may be secret
    sha256: str | None = None  # of what came from there
    table_sha256: str | None = None  # of the table that told more about its cells
    guides_sha256: str | None = None  # of the table that told the genes of guides

    @model_serializer(mode="wrap")
    def _without_absent(self, handler: SerializerFunctionWrapHandler) -> JsonObject:
        # A manifest that was written before a field existed keeps its checksum.
        return {name: value for name, value in handler(self).items() if value is not None}


class ShardRecord(BaseModel, frozen=True, extra="forbid"):
    """One file of the store, relative to the store."""

    path: str
    bytes: NonNegativeInt
    sha256: str


class Recipe(BaseModel, frozen=True, extra="forbid"):
    """How the source was read: what was chosen or detected."""

    condition_column: str | tuple[str, ...]  # several are joined
    controls: tuple[str, ...]
    separator: str
    context_column: str | tuple[str, ...] | None  # several are joined
    layer: str
    library_size_column: str | None  # None: row sums
    renamed: dict[str, str]  # obs columns stored under another name: ours -> theirs
    min_cells: NonNegativeInt
    genes: NonNegativeInt | None
    seed: int
    options: str  # fingerprint of the options asked for
    exclude: tuple[str, ...] = ()  # conditions left out
    guide_columns: tuple[str, ...] = ()  # the condition column was made of these
    multi_guide: Literal["set", "drop"] = "set"
    drop_unlabelled: bool = False
    drop_uncontrolled: bool = False
    min_condition_cells: PositiveInt = 1
    recipe: str | None = None  # of a published file
    gene_column: str | None = None  # var column of the gene names; None: var's index
    remote: bool = False  # chunks for a network
    rounded: bool = False  # corrected counts were rounded
    depths: dict[str, float] = {}  # what cells added up to, by source, where not about 10,000
    genes_left_out: bool = False  # the cells were measured for more genes than the store has
    whole: tuple[str, ...] = ()  # tokens that hold the separator

    @property
    def words(self) -> Words:
        """How labels are split into tokens, without the labels that a store knows."""
        return Words(controls=self.controls, separator=self.separator, whole=self.whole)

    @property
    def condition_columns(self) -> tuple[str, ...]:
        """The obs columns that tell a cell's condition."""
        return as_several(self.condition_column)

    @property
    def context_columns(self) -> tuple[str, ...]:
        """The obs columns that tell a cell's context; none where all cells share one."""
        return as_several(self.context_column)

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> JsonObject:
        # A manifest that was written before a field existed keeps its checksum.
        late = {
            "exclude": (),
            "guide_columns": (),
            "multi_guide": "set",
            "drop_unlabelled": False,
            "drop_uncontrolled": False,
            "min_condition_cells": 1,
            "recipe": None,
            "gene_column": None,
            "remote": False,
            "rounded": False,
            "depths": {},
            "genes_left_out": False,
            "whole": (),
        }
        kept = {name: getattr(self, name) != value for name, value in late.items()}
        return {name: value for name, value in handler(self).items() if kept.get(name, True)}


def context_of(values: Sequence[str]) -> str:
    """The name of a context: its value in each of the context columns."""
    return _BETWEEN.join(map(tidy, values))


def as_one(columns: tuple[str, ...]) -> str | tuple[str, ...] | None:
    """Columns as a recipe holds them: the name, where there is one."""
    return columns if len(columns) > 1 else next(iter(columns), None)


def as_several(columns: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """What `as_one` was told."""
    if columns is None:
        return ()
    return (columns,) if isinstance(columns, str) else columns


class Manifest(BaseModel, frozen=True, extra="forbid"):
    """What a store holds, and the hash of every file in it."""

    schema_version: int = SCHEMA_VERSION
    package: str  # version that wrote it
    cells: NonNegativeInt
    genes: NonNegativeInt
    nonzero: NonNegativeInt
    units: NonNegativeInt
    contexts: tuple[str, ...]
    perturbation: Perturbation
    normalised: bool  # values are log1p per 10k already, not counts
    recipe: Recipe
    sources: tuple[SourceRecord, ...]
    detections: tuple[str, ...]
    shards: tuple[ShardRecord, ...]
    fingerprint: str
    checksum: str = ""  # of all of the above


def sealed(manifest: Manifest) -> Manifest:
    """The manifest with its checksum."""
    return manifest.model_copy(update={"checksum": _checksum(manifest)})


def _checksum(manifest: Manifest) -> str:
    return hashlib.sha256(manifest.model_dump_json(exclude={"checksum"}).encode()).hexdigest()


def fingerprint(shards: tuple[ShardRecord, ...], *, perturbation: str) -> str:
    """The identity of a store's content: its files and what its tokens are."""
    digest = hashlib.sha256(f"{SCHEMA_VERSION} {perturbation}\n".encode())
    for shard in sorted(shards, key=lambda shard: shard.path):
        digest.update(f"{shard.path} {shard.sha256}\n".encode())
    return digest.hexdigest()


def read_manifest(store: Path) -> Manifest:
    """The manifest of a store on this machine.

    Raises:
        FileNotFoundError: There is nothing at this path.
        ValueError: It is not a store, is unfinished, or has another schema; names the file.
    """
    path = store / MANIFEST
    if not store.exists():
        raise FileNotFoundError(f"expected a store at {store}, found nothing there; ingest first")
    if not path.is_file():
        raise ValueError(
            f"expected a store with {MANIFEST}, got {store} without one; "
            "it is not a store or its ingest never finished: ingest again"
        )
    return parse_manifest(path.read_bytes(), path=path)


def parse_manifest(raw: bytes, *, path: Path | str) -> Manifest:
    """The manifest in these bytes, which come from `path`.

    Raises:
        ValueError: It is damaged, or has another schema; names the file.
    """
    try:
        content = json.loads(raw.decode("utf-8"))
    except (ValueError, UnicodeDecodeError):
        raise ValueError(
            f"expected JSON of a store in {path}, got what is not JSON; ingest again or "
            "restore the file"
        ) from None
    version = content.get("schema_version") if isinstance(content, dict) else None
    if not isinstance(version, int):
        raise ValueError(
            f"expected the manifest of a store in {path}, got JSON of something else; name a store"
        )
    if version != SCHEMA_VERSION:
        raise ValueError(
            f"expected schema version {SCHEMA_VERSION} in {path}, got {version}; "
            f"{'upgrade scdfm' if version > SCHEMA_VERSION else 'ingest again'}"
        )
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise ValueError(
            f"expected a manifest in {path}, got one whose {field} does not fit ({first['msg']}); "
            "ingest again or restore the file"
        ) from None
    if manifest.checksum != _checksum(manifest):
        raise ValueError(
            f"expected the manifest that ingest wrote in {path}, got a changed or damaged one; "
            "ingest again or restore the file"
        )
    return manifest
