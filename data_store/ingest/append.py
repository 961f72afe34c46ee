"""Append: a store's own cells and those of new files become its next version.

Everything is written again, because a unit is one shuffled run of rows. So batches from a store
that grew are like those from a store made at once. New files are read as the store's files were.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_store.disk.columns import named
from data_store.publish.swap import tidy
from data_store.sources.cell_names import name_hashes
from data_store.sources.formats.known import open_source
from data_store.sources.joining import How
from data_store.sources.notes import note
from data_store.sources.options import IngestOptions
from data_store.sources.source import Source
from data_store.store.reader import Store
from data_store.store.schema import (
    CELLS,
    LIBRARY_SIZE,
    Manifest,
    Recipe,
    SourceRecord,
    read_manifest,
)
from scdfm.screen.address import url_of
from scdfm.screen.conditions import Words

# What the first ingest decided: option -> attribute of the manifest's recipe.
_DECIDED = {
    "condition_column": "condition_columns",
    "multi_guide": "multi_guide",
    "control": "controls",
    "separator": "separator",
    "context_column": "context_columns",
    "library_size_column": "library_size_column",
    "seed": "seed",
    "min_condition_cells": "min_condition_cells",
    "recipe": "recipe",
    "round": "rounded",
}
_CHOSEN_ONCE = ("genes", "gene_list", "min_cells")  # genes and names stay as they are


class StoredCells(Source):
    """The cells of a store, as a source whose library sizes are known."""

    def library_sizes(self, start: int, stop: int) -> NDArray[np.float64]:
        """Library sizes of rows start to stop, (cells,)."""
        with self._readable():
            return np.asarray(self.root["obs"][LIBRARY_SIZE][start:stop], dtype=np.float64)


class Base(NamedTuple):
    """The store that grows."""

    source: StoredCells
    manifest: Manifest
    options: IngestOptions  # how new files are read
    words: Words  # and their labels

    @property
    def join(self) -> How:
        """Which genes the new version has."""
        by_itself = self.options.join == "same" and _genes_left_out(self.manifest)
        return "first" if by_itself else self.options.join


@contextmanager
def grown(store: Path | str, *, options: IngestOptions) -> Iterator[Base]:
    """The newest version of a store, to add cells to.

    Raises:
        FileNotFoundError: There is no store.
        ValueError: The store is damaged or not on this machine, or an option contradicts how it
            was made.
    """
    if url_of(store):
        raise ValueError(
            f"expected a store on this machine for --append, got {store}; append to a local copy "
            "and send that, or ingest all files into a new store"
        )
    store = Path(store)
    tidy(store)  # which may be what puts the store back
    with Store.open(store) as opened:  # every file is there
        manifest, words = opened.manifest, opened.words
    source = _source(store, manifest)
    try:
        yield Base(source, manifest, _told(options, manifest, store=store), words)
    finally:
        source.close()


def joined(
    base: Base, sources: Sequence[Source], records: Sequence[SourceRecord]
) -> tuple[list[Source], tuple[SourceRecord, ...]]:
    """The store's cells, those of new files, and the records of all files.

    Raises:
        ValueError: Cells of a new file have names that the store holds, even with the file's name
            added.
    """
    held = {record.fingerprint: record.name for record in base.manifest.sources}
    new = [
        (source, record)
        for source, record in zip(sources, records, strict=True)
        if record.fingerprint not in held
    ]
    for record in records:
        if record.fingerprint in held:
            note(f"{record.name}: skipped, the store holds it as {held[record.fingerprint]}")
    if not new:
        return [], base.manifest.sources
    added = _distinct(base.source, [source for source, _ in new])
    note(f"append: to {base.manifest.cells} cells of version {base.manifest.fingerprint[:12]}")
    return [base.source, *added], (*base.manifest.sources, *(record for _, record in new))


def require_unchanged(base: Base, store: Path | str) -> None:
    """Stop if another process has appended since: its cells would be lost.

    Raises:
        ValueError: The newest version has changed.
    """
    newest = read_manifest(Path(store)).fingerprint
    if newest != base.manifest.fingerprint:
        raise ValueError(
            f"another process added cells to {store} after this append began; run the command again"
        )


def continued(base: Base, recipe: Recipe) -> Recipe:
    """The recipe of the new version: genes and layer stay as the first ingest decided."""
    first = base.manifest.recipe
    return recipe.model_copy(
        update={
            "layer": first.layer,
            "gene_column": first.gene_column,
            "genes_left_out": first.genes_left_out or recipe.genes_left_out,
            "min_cells": first.min_cells,
            "genes": first.genes,
            "depths": {**first.depths, **recipe.depths},
            "exclude": tuple(dict.fromkeys((*first.exclude, *recipe.exclude))),
        }
    )


def _source(store: Path, manifest: Manifest) -> StoredCells:
    """The store's cells under the names that its sources used."""
    cells = open_source(store / CELLS)
    columns = {name: column for name, column in cells.columns.items() if name != LIBRARY_SIZE}
    homes = {name: cells.homes[name] for name in columns}
    for ours, theirs in manifest.recipe.renamed.items():
        columns[theirs] = named(columns.pop(ours), theirs)
        homes[theirs] = {theirs: homes.pop(ours)[ours]}
    values = {field.name: getattr(cells, field.name) for field in fields(cells)}
    return StoredCells(**{**values, "columns": columns, "homes": homes})


def _told(options: IngestOptions, manifest: Manifest, *, store: Path) -> IngestOptions:
    """The options for new files, which are read as the store's files were."""
    recipe = manifest.recipe
    decided = {option: getattr(recipe, name) for option, name in _DECIDED.items()}
    if recipe.guide_columns:
        decided["condition_column"] = recipe.guide_columns
    if bool(recipe.guide_columns) != (options.guides is not None):
        raise ValueError(
            f"expected new files to be read as the files of {store} were, got "
            + (
                "no --guides for their guides; pass --guides TABLE"
                if recipe.guide_columns
                else "--guides for files without guides; leave the option out"
            )
        )
    decided |= {"perturbation": manifest.perturbation, "normalised": manifest.normalised}
    asked = options.model_dump(include={*decided, *_CHOSEN_ONCE}, exclude_defaults=True)
    for name, value in asked.items():
        known = decided.get(name)
        if name in _CHOSEN_ONCE or value != known:
            raise ValueError(
                f"new files are read as the files of {store} were, got --{name.replace('_', '-')} "
                f"{_shown(value)}{_was(decided, name)}; leave the option out, or ingest all files "
                "into a new store"
            )
    if options.join == "union" and _genes_left_out(manifest):
        raise ValueError(
            f"{store} left out genes that its cells have, and --join union would write 0 for them; "
            "leave the option out, or ingest all files into a new store"
        )
    decided["drop_unlabelled"] = options.drop_unlabelled or recipe.drop_unlabelled
    decided["drop_uncontrolled"] = options.drop_uncontrolled or recipe.drop_uncontrolled
    decided["remote"] = options.remote or recipe.remote
    # The words of the store say it; that the user does, too, takes doubtful labels apart.
    del decided["separator"]
    return options.model_copy(update=decided)


def _genes_left_out(manifest: Manifest) -> bool:
    """Whether cells were measured for genes that the store does not have."""
    # Stores of before this was recorded tell it by their sources.
    more = any(source.genes > manifest.genes for source in manifest.sources)
    return manifest.recipe.genes_left_out or more


def _was(decided: Mapping[str, Any], name: str) -> str:
    return f" where it was {_shown(decided[name])}" if name in decided else ""


def _shown(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _distinct(base: Source, sources: Sequence[Source]) -> list[Source]:
    """New sources with new cell names: the file's name is added where the store holds a name."""
    known = name_hashes(base)
    result = []
    for source in sources:
        shared = np.isin(name_hashes(source), known)
        if shared.any():
            source = replace(source, suffix=f"{source.suffix}-{source.path.stem}")
            note(
                f"cell names: {int(shared.sum())} of {source.name} occur in the store; "
                "the names of all its cells now end in the file's name"
            )
            if np.isin(name_hashes(source), known).any():
                raise ValueError(
                    f"expected new cell names in {source.path}, got some that the store holds, "
                    "even with the file's name added; rename the file, or its cells"
                )
        result.append(source)
    return result
