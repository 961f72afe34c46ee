"""What a store holds, in numbers, for `scdfm inspect`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from data_store.store.reader import Store
from data_store.store.units import Unit
from data_store.store.versions import versions
from scdfm.screen.census import sizes
from scdfm.screen.untyped import JsonObject

_SAMPLE = 4_000_000  # cells whose library sizes are read, at most
_RUNS = 64
_SMALLEST = 5  # units that are named


class Spread(TypedDict):
    """Quartiles of some counts."""

    least: float
    lower_quartile: float
    median: float
    upper_quartile: float
    most: float


class ContextSummary(TypedDict):
    """What a store holds of a context."""

    cells: int
    controls: int
    conditions: int
    cells_per_condition: Spread | None


class UnitSummary(TypedDict):
    """A condition in a context."""

    context: str
    condition: str
    label: str
    cells: int


class VersionSummary(TypedDict):
    """A version of a store."""

    fingerprint: str
    cells: int
    sources: list[str]
    path: str


class StoreSummary(TypedDict):
    """All that `scdfm inspect --json` prints about a store."""

    kind: str
    path: str
    fingerprint: str
    schema_version: int
    package: str
    cells: int
    genes: int
    nonzero: int
    zeros: float  # share
    genes_per_cell: float  # seen in a cell, mean
    bytes: int
    files: int
    normalised: bool
    perturbation: str
    library_size: Spread | None
    conditions: int
    singles: int
    doubles: int
    by_tokens: dict[int, int]
    perturbed_measured: int
    perturbed: int
    contexts: dict[str, ContextSummary]
    cells_per_condition: Spread | None
    smallest: list[UnitSummary]
    units: list[UnitSummary]
    recipe: JsonObject  # and sources: as in the manifest
    versions: list[VersionSummary]
    sources: list[JsonObject]
    detections: list[str]


def summarise(store: Store) -> StoreSummary:
    """All that `scdfm inspect --json` prints about a store: plain numbers, texts and lists."""
    manifest = store.manifest
    return {
        "kind": "store",
        "path": str(store.path),
        "fingerprint": store.fingerprint,
        "schema_version": manifest.schema_version,
        "package": manifest.package,
        "cells": manifest.cells,
        "genes": manifest.genes,
        "nonzero": manifest.nonzero,
        "zeros": 1 - manifest.nonzero / max(1, manifest.cells * manifest.genes),
        "genes_per_cell": manifest.nonzero / max(1, manifest.cells),
        "bytes": sum(shard.bytes for shard in manifest.shards),
        "files": len(manifest.shards),
        "normalised": manifest.normalised,
        "perturbation": manifest.perturbation,
        "library_size": _quartiles(store),
        "conditions": len(store.conditions),
        "singles": sum(len(tokens) == 1 for tokens in store.conditions.values()),
        "doubles": sum(len(tokens) == 2 for tokens in store.conditions.values()),
        "by_tokens": sizes(store.conditions.values()),
        "perturbed_measured": len(_tokens(store) & set(store.genes)),
        "perturbed": len(_tokens(store)),
        "contexts": {name: _context(store, name) for name in store.contexts},
        "cells_per_condition": _sizes(store.units),
        "smallest": [_unit(unit) for unit in sorted(_perturbed(store), key=len)[:_SMALLEST]],
        "units": [_unit(unit) for unit in store.units],
        "recipe": manifest.recipe.model_dump(mode="json"),
        "versions": _versions(store),
        "sources": [source.model_dump(mode="json") for source in manifest.sources],
        "detections": list(manifest.detections),
    }


def _versions(store: Store) -> list[VersionSummary]:
    """The versions that the store holds, oldest first; behind a URL only the one that is open."""
    if not isinstance(store.path, Path):
        return []
    return [
        {
            "fingerprint": version.manifest.fingerprint,
            "cells": version.manifest.cells,
            "sources": [source.name for source in version.manifest.sources],
            "path": version.folder or ".",
        }
        for version in versions(store.path)
    ]


def _context(store: Store, context: str) -> ContextSummary:
    units = [unit for unit in store.units if unit.context == context]
    return {
        "cells": sum(map(len, units)),
        "controls": len(store.controls[context]),
        "conditions": sum(not unit.is_control for unit in units),
        "cells_per_condition": _sizes(units),
    }


def _unit(unit: Unit) -> UnitSummary:
    return {
        "context": unit.context,
        "condition": unit.condition,
        "label": unit.label,
        "cells": len(unit),
    }


def _perturbed(store: Store) -> list[Unit]:
    return [unit for unit in store.units if not unit.is_control]


def _sizes(units: Iterable[Unit]) -> Spread | None:
    """Cells of a perturbed unit; None where there is none."""
    sizes = np.array([len(unit) for unit in units if not unit.is_control])
    return _spread(sizes) if len(sizes) else None


def _tokens(store: Store) -> set[str]:
    return {token for tokens in store.conditions.values() for token in tokens}


def _quartiles(store: Store) -> Spread | None:
    """Of all cells, or of evenly spaced runs of them in a large store."""
    if store.manifest.normalised:
        return None
    cells = store.manifest.cells
    runs = 1 if cells <= _SAMPLE else _RUNS
    width = min(cells, _SAMPLE) // runs
    starts = np.linspace(0, cells - width, runs).astype(int).tolist()
    sizes = np.concatenate([store.library_sizes(start, start + width) for start in starts])
    return _spread(sizes)


def _spread(values: np.ndarray[Any, np.dtype[Any]]) -> Spread:
    least, lower, median, upper, most = map(float, np.quantile(values, [0, 0.25, 0.5, 0.75, 1]))
    return {
        "least": least,
        "lower_quartile": lower,
        "median": median,
        "upper_quartile": upper,
        "most": most,
    }
