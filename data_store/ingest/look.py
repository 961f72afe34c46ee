"""What sources hold, before a single value is stored: genes, conditions, how values are read."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from data_store.ingest import append
from data_store.ingest.layout import Layout, read_layout
from data_store.sources import detect
from data_store.sources.controls import tell_of_alike, tell_of_cases, tell_of_missing
from data_store.sources.joining import Joined, join, require_genes, tell_of_lost
from data_store.sources.notes import kept_notes, note
from data_store.sources.opening import opened
from data_store.sources.options import IngestOptions
from data_store.sources.perturbed import perturbation
from data_store.sources.places import Given
from data_store.sources.source import Source
from data_store.sources.values.reading import COUNTS, Reading, reading
from data_store.store import normalise
from data_store.store.schema import Perturbation
from scdfm.screen.conditions import Condition, Words, name


class Look(NamedTuple):
    """Open sources as an ingest understands them."""

    joined: Joined
    columns: tuple[str, ...]  # of obs, with the conditions
    layout: Layout
    perturbation: Perturbation
    readings: list[Reading]  # of each source
    measured: frozenset[str]  # genes of any source


class Screen(NamedTuple):
    """What a store of these sources would hold.

    Attributes:
        cells: That would be kept.
        genes: Names, in order.
        conditions: Canonical name to sorted tokens, control among them.
        contexts: Canonical name to the contexts that hold the condition.
        fewest: Cells of the smallest perturbed unit.
        words: How these data write conditions.
        perturbation: What tokens name.
        columns: Of obs, with the conditions.
    """

    cells: int
    genes: tuple[str, ...]
    conditions: Mapping[str, Condition]
    contexts: Mapping[str, list[str]]
    fewest: int
    words: Words
    perturbation: Perturbation
    columns: tuple[str, ...]


def look_at(sources: Sequence[Given], *, options: IngestOptions) -> Screen:
    """Look at sources as `ingest` would, without writing anything.

    Raises:
        FileNotFoundError, ValueError: Bad input, in one line.
    """
    with kept_notes(), opened(list(sources), options=options) as (found, _records, told):
        seen = look(found, options=told)
        layout = seen.layout
        contexts: dict[str, list[str]] = {}
        for context, tokens in layout.units:
            contexts.setdefault(name(tokens), []).append(context)
        sizes = zip(layout.units, layout.cells.tolist(), strict=True)
        return Screen(
            cells=int(layout.cells.sum()),
            genes=seen.joined.genes,
            conditions={name(tokens): tokens for _, tokens in layout.units},
            contexts=contexts,
            fewest=min(cells for (_, tokens), cells in sizes if tokens),
            words=layout.words,
            perturbation=seen.perturbation,
            columns=tuple(seen.columns),
        )


def look(
    sources: Sequence[Source], *, options: IngestOptions, base: append.Base | None = None
) -> Look:
    """Decide what open sources have in common, what their labels say and how values are read.

    Args:
        sources: Open sources.
        options: What the user says wins over what is detected.
        base: The store that they are added to.

    Raises:
        ValueError: Something cannot be decided, or does not fit.
    """
    how = options.join if base is None else base.join
    joined = join(sources, how=how)
    require_genes(options.gene_list, genes=joined.genes)
    columns = detect.condition_columns(sources, options=options)
    layout = read_layout(
        sources,
        columns=columns,
        options=options,
        words=None if base is None else base.words,
        left_out=() if base is None else base.manifest.recipe.exclude,
    )
    perturbed = {token for _, tokens in layout.units for token in tokens}
    if how in ("intersect", "first"):
        tell_of_lost(
            joined,
            sources,
            perturbed=perturbed,
            remedy="--join union keeps them"
            if base is None
            else "to keep them, ingest all files into a new store",
        )
    measured = {gene for source in sources for gene in source.genes}
    likely = tell_of_alike(perturbed, controls=layout.controls, genes=measured)
    tell_of_missing(layout.labels)
    tell_of_cases(perturbed)
    # A control that was not named says nothing about the others.
    tokens = perturbed.difference(likely) or perturbed
    return Look(
        joined=joined,
        columns=tuple(columns),
        layout=layout,
        perturbation=perturbation(
            tokens, genes=measured, var=joined.var, columns=columns, options=options
        ),
        readings=_readings(sources, options=options),
        measured=frozenset(measured),
    )


def _readings(sources: Sequence[Source], *, options: IngestOptions) -> list[Reading]:
    """How the values of each source are read."""
    found = [
        # The cells of a store that grows are in X, and what they are is known.
        Reading("X", normalise.AS_GIVEN if options.normalised else COUNTS)
        if isinstance(source, append.StoredCells)
        else reading(source, options=options)
        for source in sources
    ]
    if len({one.normalised for one in found}) > 1:
        raise ValueError(
            "expected counts in all sources or log values in all, got both; name a --layer that "
            "holds the same in all"
        )
    for source, one in zip(sources, found, strict=True):
        if source.is_collected(one.layer):
            by_columns = source.matrices[one.layer].form == "csc"
            note(
                f"{one.layer} of {source.name} is stored by columns (CSC), so its rows are "
                "collected on disk first; write it as CSR to save that time"
                if by_columns
                else f"{source.name} does not list its values cell by cell, so they are collected "
                "on disk first"
            )
    return found
