"""Open what a user names: find, download, open, join with tables, name cells."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from data_store.publish.leftovers import scratch
from data_store.sources.calls import calls_of
from data_store.sources.cell_names import distinct
from data_store.sources.formats.known import open_source
from data_store.sources.formats.memory import content_of, of_memory
from data_store.sources.guides import with_guides
from data_store.sources.notes import warn
from data_store.sources.options import IngestOptions
from data_store.sources.places import Given, Place, find
from data_store.sources.recipes.applying import applied
from data_store.sources.source import (
    Source,
    fingerprint,
    named_by,
    require_distinct_genes,
    with_raw,
)
from data_store.sources.tables import with_table
from data_store.store.schema import SourceRecord
from scdfm.screen.atomic import sha256


class Opened(NamedTuple):
    """Open sources, and the options to read them with."""

    sources: list[Source]
    records: tuple[SourceRecord, ...]
    options: IngestOptions  # a recipe's among them


@contextmanager
def opened(
    sources: Sequence[Given],
    *,
    options: IngestOptions,
    usual_gene_column: str | None = None,
    beside: Path | str | None = None,
) -> Iterator[Opened]:
    """Open sources as a store needs them; close them at the end.

    Args:
        sources: Files, folders, lists, addresses, AnnData, as `places.find` takes them.
        options: Recipe, gene column and cell tables are applied here.
        usual_gene_column: Gene names of sources that have it, unless the options name another.
        beside: The place next to which files are unpacked while they are open; None or a URL means
            the system's place for temporary files.

    Raises:
        FileNotFoundError, ValueError: Bad input, in one line.
    """
    places = find(sources, sha256=options.sha256)
    tables = _tables(options, count=len(places))
    with ExitStack() as stack:
        reading = options.reading(partial(scratch, beside))
        found: list[Source] = []
        for place in places:
            found.append(
                open_source(place.path, reading=reading)
                if place.cells is None
                else of_memory(place.cells)
            )
            stack.callback(found[-1].close)
        told = applied(options, found)
        if told.layer is not None:
            found = [with_raw(source, layer=told.layer) for source in found]
        if told.gene_column is not None:
            found = [named_by(source, told.gene_column) for source in found]
        elif usual_gene_column is not None:
            found = [
                named_by(source, usual_gene_column)
                if usual_gene_column in source.var.columns
                else source
                for source in found
            ]
        for source in found:
            require_distinct_genes(source)
        # Each lane's own table knows its own names.
        own: Sequence[Path | None] = tables
        if len(tables) < 2:
            own = [None if tables else calls_of(source) for source in found]
        found = [with_table(s, t) if t else s for s, t in zip(found, own, strict=True)]
        found = distinct(found)
        if len(tables) == 1:
            found, own = [with_table(source, tables[0]) for source in found], tables * len(found)
        if told.guides is not None:
            found, told = with_guides(found, options=told)
        records = _records(places, found, own, guides=told.guides)
        _tell_of_copies(records)
        yield Opened(sources=found, records=records, options=told)


def with_scratch(sources: Sequence[Source], folder: Path) -> list[Source]:
    """The sources, with a folder for what does not fit in memory."""
    return [replace(source, scratch=folder) for source in sources]


def _tables(options: IngestOptions, *, count: int) -> tuple[Path, ...]:
    if len(options.cells) not in (0, 1, count):
        raise ValueError(
            f"expected one --cells for all sources or one for each of {count}, got "
            f"{len(options.cells)}"
        )
    return options.cells


def _tell_of_copies(records: Sequence[SourceRecord]) -> None:
    first: dict[str, str] = {}
    for record in records:
        other = first.setdefault(record.fingerprint, record.name)
        if other != record.name:
            warn(f"{record.name} has the same content as {other}; its cells come twice")


def _records(
    places: Sequence[Place],
    sources: Sequence[Source],
    tables: Sequence[Path | None],
    *,
    guides: Path | None,
) -> tuple[SourceRecord, ...]:
    """What the manifest keeps of each source."""
    hashes = {path: sha256(path) for path in (*tables, guides) if path is not None}
    return tuple(
        SourceRecord(
            name=source.name,
            cells=source.cells,
            genes=len(source.var),
            fingerprint=fingerprint(place.path, of=source.files)
            if place.cells is None
            else content_of(source),
            url=place.download.url if place.download else None,
            sha256=place.download.sha256 if place.download else None,
            table_sha256=hashes[table] if table is not None else None,
            guides_sha256=hashes[guides] if guides is not None else None,
        )
        for place, source, table in zip(places, sources, tables, strict=True)
    )
