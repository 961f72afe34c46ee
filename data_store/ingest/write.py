"""Cells in files -> a store, in memory that does not grow with the number of cells.

Two passes. The first reads blocks of rows, checks them and routes each row by (context,
condition) into a bucket; the second sorts one bucket after the other by a random key and writes
whole shards, with the sums of each unit on the way. Only a few bytes per cell stay in memory.
"""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from data_store.disk.columns import Column, named
from data_store.disk.workers import Workers, affordable
from data_store.ingest import append
from data_store.ingest.assemble import Writer
from data_store.ingest.fill import fill, sums_of_all
from data_store.ingest.layout import Layout
from data_store.ingest.look import look
from data_store.ingest.route import Routed, route
from data_store.publish.commit import hash_files
from data_store.publish.upload import discard_leftovers, manifest_at, new_store, require_writable
from data_store.sources.joining import Joined
from data_store.sources.notes import kept_notes, note, warn
from data_store.sources.opening import opened, with_scratch
from data_store.sources.options import IngestOptions
from data_store.sources.places import Given
from data_store.sources.source import Source
from data_store.sources.values.reading import Reading
from data_store.store.schema import (
    LIBRARY_SIZE,
    MANIFEST,
    Manifest,
    Perturbation,
    Recipe,
    ShardRecord,
    SourceRecord,
    as_one,
    fingerprint,
    sealed,
)
from scdfm.screen.address import url_of
from scdfm.screen.atomic import write_text
from scdfm.screen.variable_genes import are_most_variable

__all__ = ["IngestOptions", "ingest"]
from scdfm.screen.progress import OnProgress, phase

FLOAT16_EXACT = 2_048  # float16 holds every whole number up to this

log = logging.getLogger(__name__)


def ingest(
    sources: Given | Sequence[Given],
    store: Path | str,
    *,
    options: IngestOptions | None = None,
    progress: OnProgress | None = None,
) -> Manifest:
    """Write a store from one or more files of cells, or from AnnData in memory.

    Args:
        sources: Files of any format in `formats.registry`, folders or .txt lists of these,
            addresses (https://..., s3://...), or AnnData in memory. Values that are equal give
            the same store, from a file or from memory.
        store: The new directory, or a URL (s3://..., gs://...) that the store is sent to.
        options: What is not to be detected.
        progress: Is told of the cells read, then of those written.

    Raises:
        FileNotFoundError, FileExistsError, ValueError: Bad input, in one line; nothing is left.
    """
    options = options or IngestOptions()
    if url := url_of(store):
        require_writable(url)
        options = options.model_copy(update={"remote": True})
    named = [sources] if isinstance(sources, str | Path | AnnData) else list(sources)
    if not named:
        raise ValueError("expected at least one source of cells, got none; name an .h5ad file")
    with ExitStack() as stack:
        notes = stack.enter_context(kept_notes())
        base = stack.enter_context(append.grown(store, options=options)) if options.append else None
        asked = options if base is None else base.options
        usual = None if base is None else base.manifest.recipe.gene_column
        found, records, told = stack.enter_context(
            opened(named, options=asked, usual_gene_column=usual, beside=store)
        )
        if base is not None:
            found, records = append.joined(base, found, records)
        done = _finished(store, records, options=told) if base is None else base.manifest
        if done is not None and done.sources == records:
            log.info("%s already holds these cells", store)
            discard_leftovers(store)
            return done
        folder = stack.enter_context(new_store(store, overwrite=told.overwrite, append=told.append))
        if base is not None:
            append.require_unchanged(base, store)
        return _write(
            with_scratch(found, folder),
            folder,
            records=records,
            options=told,
            base=base,
            workers=stack.enter_context(Workers(affordable(told.workers, memory=told.memory))),
            notes=notes,
            progress=progress,
        )


def _finished(
    store: Path | str, records: tuple[SourceRecord, ...], *, options: IngestOptions
) -> Manifest | None:
    """The manifest at this place if it comes from the same files and options."""
    manifest = None if options.overwrite else manifest_at(store)
    if manifest is None:
        return None
    same = manifest.sources == records and manifest.recipe.options == options.fingerprint()
    return manifest if same else None


def _write(
    sources: list[Source],
    folder: Path,
    *,
    records: tuple[SourceRecord, ...],
    options: IngestOptions,
    base: append.Base | None,
    workers: Workers,
    notes: list[str],
    progress: OnProgress | None,
) -> Manifest:
    seen = look(sources, options=options, base=base)
    joined, layout, readings = seen.joined, seen.layout, seen.readings
    normalised = readings[0].normalised
    routed = route(
        sources,
        readings=readings,
        joined=joined,
        layout=layout,
        folder=folder,
        options=options,
        workers=workers,
        progress=progress,
    )
    _tell_of_rounding(sources, readings, routed=routed)
    library = None if normalised else routed.library.choose(genes=len(joined.genes))
    kept = _kept_genes(
        routed,
        joined,
        layout=layout,
        library=library,
        normalised=normalised,
        options=options,
    )
    stored, renamed = _stored_columns(joined.columns)
    writer = Writer(
        folder,
        columns=stored,
        var=joined.var.iloc[kept],
        layout=layout,
        nonzero=routed.nonzero if routed.seen is None else int(routed.seen[kept].sum()),
        largest=max(routed.largest),
        normalised=normalised,
        remote=options.remote,
        workers=workers,
    )
    fill(
        writer,
        routed,
        kept=kept,
        renamed=renamed,
        library=library,
        workers=workers,
        progress=progress,
    )
    phase(log, "hashing files")
    recipe = Recipe(
        condition_column=as_one(seen.columns) or "",
        controls=layout.words.controls,
        separator=layout.words.separator,
        context_column=as_one(options.context_column),
        layer=readings[0].layer,
        library_size_column=options.library_size_column or library,
        renamed=renamed,
        min_cells=options.min_cells,
        genes=options.genes,
        seed=options.seed,
        options=options.fingerprint(),
        exclude=layout.excluded,
        guide_columns=options.condition_column if options.guides is not None else (),
        multi_guide=options.multi_guide,
        drop_unlabelled=options.drop_unlabelled,
        drop_uncontrolled=options.drop_uncontrolled,
        min_condition_cells=options.min_condition_cells,
        recipe=options.recipe,
        gene_column=options.gene_column,
        remote=options.remote,
        rounded=options.round,
        depths={
            source.name: one.depth
            for source, one in zip(sources, readings, strict=True)
            if one.depth is not None
        },
        whole=layout.words.whole,
        genes_left_out=len(kept) < len(seen.measured),
    )
    if base is not None:
        recipe = append.continued(base, recipe)
    shards = hash_files(folder, workers=workers)
    return _seal(
        folder,
        shards,
        writer=writer,
        recipe=recipe,
        records=records,
        kind=seen.perturbation,
        notes=notes,
    )


def _tell_of_rounding(
    sources: Sequence[Source], readings: Sequence[Reading], *, routed: Routed
) -> None:
    """Say what rounding changed, and which counts float16 had rounded before."""
    if any(one.rounded for one in readings):
        note(f"rounded: {routed.rounded:,} values that were not whole")
    for source, one, largest in zip(sources, readings, routed.largest, strict=True):
        if not one.normalised and largest > FLOAT16_EXACT and source.is_float16(one.layer):
            warn(
                f"{one.layer} of {source.name} holds float16, which above {FLOAT16_EXACT:,} has "
                f"not every whole number, and counts up to {largest:,.0f}: such counts are "
                "inexact; give the file with float32 or integers if there is one"
            )


def _kept_genes(
    routed: Routed,
    joined: Joined,
    *,
    layout: Layout,
    library: str | None,
    normalised: bool,
    options: IngestOptions,
) -> NDArray[np.int64]:
    """Positions of the genes that the store keeps: seen and variable enough, or perturbed."""
    kept = np.ones(routed.genes, dtype=bool)
    if routed.seen is not None:
        kept = routed.seen >= options.min_cells
    if options.gene_list:
        kept &= np.isin(joined.genes, options.gene_list)
    if not kept.any():
        raise ValueError(
            f"expected genes seen in {options.min_cells} cells, found none; lower --min-cells"
        )
    if options.genes is not None:
        sums = sums_of_all(routed, library=library, normalised=normalised)
        _, total, squares = np.where(kept, sums.sums, 0)
        kept = are_most_variable(
            options.genes, cells=sums.cells, linear_total=total, linear_squares=squares
        )
    perturbed = {token for _, tokens in layout.units for token in tokens}
    kept |= np.array([gene in perturbed for gene in joined.genes])
    if not kept.all():
        rule = f"seen in {options.min_cells} cells"
        rule += f", the {options.genes} most variable of all cells" if options.genes else ""
        rule += f", among the {len(options.gene_list)} listed" if options.gene_list else ""
        note(f"genes: kept {int(kept.sum())} of {len(kept)} ({rule}, or perturbed)")
    return np.flatnonzero(kept)


def _stored_columns(columns: Sequence[Column]) -> tuple[tuple[Column, ...], dict[str, str]]:
    """The obs columns of the store, ours last; a source's column of such a name is renamed."""
    taken = {column.name for column in columns}
    other = f"{LIBRARY_SIZE}_of_source"
    while other in taken:  # a store of a store's cells
        other += "_of_source"
    renamed = {other: LIBRARY_SIZE} if LIBRARY_SIZE in taken else {}
    stored = [named(c, other) if c.name == LIBRARY_SIZE else c for c in columns]
    ours = Column(LIBRARY_SIZE, "array", "0.2.0", {"": np.dtype(np.float64)})
    return (*stored, ours), renamed


def _seal(
    folder: Path,
    shards: tuple[ShardRecord, ...],
    *,
    writer: Writer,
    recipe: Recipe,
    records: tuple[SourceRecord, ...],
    kind: Perturbation,
    notes: list[str],
) -> Manifest:
    manifest = sealed(
        Manifest(
            package=_package_version(),
            cells=writer.cells,
            genes=writer.genes,
            nonzero=writer.nonzero,
            units=len(writer.layout.units),
            contexts=tuple(dict.fromkeys(context for context, _ in writer.layout.units)),
            perturbation=kind,
            normalised=writer.normalised,
            recipe=recipe,
            sources=records,
            detections=tuple(notes),
            shards=shards,
            fingerprint=fingerprint(shards, perturbation=kind),
        )
    )
    write_text(folder / MANIFEST, manifest.model_dump_json(indent=1) + "\n")
    return manifest


def _package_version() -> str:
    try:
        return version("scdfm")
    except PackageNotFoundError:  # run from a checkout
        return "not installed"
