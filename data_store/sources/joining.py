"""Join several sources: common genes, common obs columns."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_store.disk.columns import Block, Column
from data_store.sources.notes import note, warn
from data_store.sources.source import Source
from scdfm.screen.names import aside, listed

How = Literal["same", "intersect", "union", "first"]
"""Which genes several sources have in common; "first": those of the first, all others have more."""


class Joined(NamedTuple):
    """What the sources have in common."""

    genes: tuple[str, ...]
    var: pd.DataFrame  # of these genes
    positions: tuple[
        NDArray[np.int32] | None, ...
    ]  # per source: its gene -> ours, -1 dropped; None: same
    columns: tuple[Column, ...]
    codes: tuple[
        dict[str, NDArray[Any]], ...
    ]  # per source: its category code -> ours, or the text where ours is none


def join(sources: Sequence[Source], *, how: How) -> Joined:
    """Decide on common genes and obs columns.

    Raises:
        ValueError: Genes differ and `how` is "same"; no gene is common, or a source has none.
    """
    genes = _genes(sources, how=how)
    place = {gene: k for k, gene in enumerate(genes)}
    positions = tuple(
        None if source.genes == genes
        else np.array([place.get(gene, -1) for gene in source.genes], dtype=np.int32)
        for source in sources
    )  # fmt: skip
    columns = _columns(sources)
    return Joined(
        genes=genes,
        var=_var(sources, genes=genes),
        positions=positions,
        columns=columns,
        codes=tuple(_codes(source, columns) for source in sources),
    )


def require_genes(wanted: Sequence[str], *, genes: Sequence[str]) -> None:
    """Refuse a list with genes that are not measured.

    Raises:
        ValueError: Names the first of them and the gene whose name is nearest.
    """
    measured = set(genes)
    missing = [gene for gene in wanted if gene not in measured]
    if missing:
        raise ValueError(
            f"expected measured genes in --gene-list, got {len(missing)} of {len(wanted)} not in "
            f"the sources, first {missing[0]!r}{aside(missing[0], genes)}; correct or remove them"
        )


def tell_of_lost(
    joined: Joined,
    sources: Sequence[Source],
    *,
    perturbed: Collection[str],
    remedy: str,
) -> None:
    """Name the perturbed genes that some sources have and others do not."""
    kept = set(joined.genes)
    some = {gene for source in sources for gene in source.genes if gene not in kept}
    if lost := sorted(some.intersection(perturbed)):
        warn(
            f"genes: left out {len(lost)} perturbed genes, because not all sources have "
            f"them: {listed(lost)}; {remedy}"
        )


def recoded(block: Block, codes: dict[str, NDArray[Any]], *, columns: Sequence[Column]) -> Block:
    """A source's block with common category codes and number types."""
    result = dict(block)
    for column in columns:
        for part, dtype in column.dtypes.items():
            key = column.key(part)
            # A category of this source is a text of the store's where another source has texts.
            values = result.pop(key) if key in result else result.pop(f"{column.name}/codes")
            if column.name in codes:
                values = codes[column.name][values]
            result[key] = values if dtype.kind == "O" else values.astype(dtype, copy=False)
    return result


def _genes(sources: Sequence[Source], *, how: How) -> tuple[str, ...]:
    bare = next((source.name for source in sources if not source.genes), None)
    if bare is not None:
        remedy = "leave it out" if len(sources) > 1 else "ingest a file that has genes"
        raise ValueError(f"expected genes in {bare}, found none: its var is empty; {remedy}")
    first = sources[0].genes
    if all(source.genes == first for source in sources):
        return first
    if how == "first":
        _require_all(first, sources[1:])
        return first
    sets = [dict.fromkeys(source.genes) for source in sources]
    every = dict.fromkeys(gene for genes in sets for gene in genes)
    common = [gene for gene in first if all(gene in genes for genes in sets)]
    if how == "same" and len(common) < len(every):
        raise ValueError(
            f"expected the same genes in all sources, got {len(common)} of {len(every)} in all; "
            "pass --join intersect or --join union"
        )
    chosen = list(every) if how == "union" else common
    if not chosen:
        raise ValueError("expected genes that all sources measure, found none; check their names")
    note(
        f"genes: {how} of {len(sources)} sources, {len(chosen)} of {len(every)}; {len(common)} are "
        f"in all, {len(every) - len(common)} only in some"
    )
    return tuple(chosen)


def _require_all(genes: tuple[str, ...], sources: Sequence[Source]) -> None:
    for source in sources:
        known = set(source.genes)
        missing = [gene for gene in genes if gene not in known]
        if missing:
            raise ValueError(
                f"expected the store's genes in {source.path}, got all but {len(missing)} of "
                f"{len(genes)}, first {missing[0]!r}; pass --join intersect to keep the common ones"
            )
        if len(known) > len(genes):
            note(f"genes: kept the store's {len(genes)} of {len(known)} of {source.name}")


def _var(sources: Sequence[Source], *, genes: tuple[str, ...]) -> pd.DataFrame:
    if len(sources) == 1:
        return sources[0].var
    columns = reduce(lambda a, b: a.intersection(b, sort=False), (s.var.columns for s in sources))
    tables = pd.concat([source.var[columns] for source in sources])
    tables.index = tables.index.astype(str)
    return tables[~tables.index.duplicated()].loc[list(genes)]


def _columns(sources: Sequence[Source]) -> tuple[Column, ...]:
    if len(sources) == 1:
        return tuple(sources[0].columns.values())
    kept = []
    for name in sources[0].columns:
        same = [source.columns[name] for source in sources if name in source.columns]
        if len(same) < len(sources):
            continue
        if len({column.encoding for column in same}) == 1:
            kept.append(_merged(same))
        elif all(map(_is_text, same)):
            kept.append(next(column for column in same if column.encoding == "string-array"))
    every = {name for source in sources for name in source.columns}
    if lost := sorted(every - {column.name for column in kept}):
        note(f"obs: left out columns that not all sources have in the same form: {listed(lost)}")
    return tuple(kept)


def _merged(columns: Sequence[Column]) -> Column:
    first = columns[0]
    dtypes = {
        part: reduce(_wider, (column.dtypes[part] for column in columns)) for part in first.dtypes
    }
    if first.categories is None:
        return replace(first, dtypes=dtypes)
    # Every column is a categorical here: encodings are equal.
    union = dict.fromkeys(
        value
        for column in columns
        if column.categories is not None
        for value in column.categories.tolist()
    )
    categories = np.array(
        list(union), dtype=object if first.categories.dtype.kind in "OT" else None
    )
    return replace(first, categories=categories, dtypes={"codes": np.dtype(np.int32)})


def _wider(a: np.dtype[Any], b: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(object) if object in (a, b) else np.promote_types(a, b)


def _is_text(column: Column) -> bool:
    """Whether a column holds texts, as they are or as categories."""
    if column.encoding == "categorical":
        assert column.categories is not None
        return column.categories.dtype.kind in "OTSU"
    return column.encoding == "string-array"


def _codes(source: Source, columns: Sequence[Column]) -> dict[str, NDArray[Any]]:
    """Translations of category codes where they differ; the last entry is for code -1."""
    tables: dict[str, NDArray[Any]] = {}
    for column in columns:
        own = source.columns[column.name].categories
        if column.encoding == "string-array" and own is not None:
            texts = [str(text).encode() for text in own.tolist()]
            tables[column.name] = np.array([*texts, b""], dtype="S")
        if column.categories is None or own is None or own is column.categories:
            continue
        place = {value: k for k, value in enumerate(column.categories.tolist())}
        tables[column.name] = np.array([*(place[v] for v in own.tolist()), -1], dtype=np.int64)
    return tables
