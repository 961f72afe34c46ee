"""Which cell belongs to which unit, (context, condition), and the order of the units."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_store.ingest.labels import read_conditions, read_contexts
from data_store.sources.controls import spelled
from data_store.sources.detect import Labels, control_labels
from data_store.sources.notes import note
from data_store.sources.options import IngestOptions
from data_store.sources.recipes.applying import dropped
from data_store.sources.source import Source
from data_store.sources.values.doses import tell_of_doses
from scdfm.screen.conditions import USUAL, Condition, Words, name
from scdfm.screen.names import apart, how_many, listed


class Layout(NamedTuple):
    """The units of a store and the unit of every source cell."""

    unit: NDArray[np.int32]  # (cells of all sources,), -1 for cells that are left out
    units: tuple[tuple[str, Condition], ...]  # (context, tokens), sorted by context and name
    labels: dict[Condition, str]  # how the data write it; the most frequent where they differ
    cells: NDArray[np.int64]  # (units,)
    controls: tuple[str, ...] = ()  # how labels spell the control
    words: Words = USUAL  # how these data write conditions, without the labels
    excluded: tuple[str, ...] = ()  # conditions that the user left out


def read_layout(
    sources: Sequence[Source],
    *,
    columns: Sequence[str],
    options: IngestOptions,
    words: Words | None = None,
    left_out: Sequence[str] = (),
) -> Layout:
    """Read conditions and contexts of all cells.

    Args:
        sources: Open sources.
        columns: Of obs, with the conditions.
        options: What to read and what to leave out.
        words: Of the store that these cells are added to; None: as the options say.
        left_out: Conditions that it leaves out, where they occur.

    Raises:
        ValueError: No control cells, cells without a label, or contexts without controls.
    """
    conditions, tokens, words = read_conditions(
        sources, columns=columns, options=options, words=words
    )
    contexts = read_contexts(sources, columns=options.context_column)
    where = ", ".join(source.name for source in sources)
    controls = control_labels(conditions.names, tokens, words=words, path=where)
    note(f"control: {listed(controls)}")
    kept = _labelled(conditions, columns=columns, options=options)
    kept &= _labelled(contexts, columns=options.context_column, options=options)
    knowing = _knowing(words, conditions, tokens)
    excluded = tuple(one for text in options.exclude for one in apart(text, known=knowing))
    kept &= ~_left_out(
        conditions, tokens, words=knowing, asked=excluded, before=left_out, options=options
    )
    layout = _arrange(conditions, contexts, tokens=tokens, kept=kept)
    controls = spelled(conditions.names, words=words)
    layout = layout._replace(controls=controls, words=words, excluded=excluded)
    layout = _without_small(layout, options=options)
    layout = _controlled(layout, options=options)
    _tell(layout)
    _tell_of_doses(sources, layout, used=(*columns, *options.context_column))
    return layout


def _labelled(
    labels: Labels, *, columns: Sequence[str], options: IngestOptions
) -> NDArray[np.bool_]:
    has_label = labels.codes >= 0
    missing = int((~has_label).sum())
    where = " and ".join(map(repr, columns))
    if missing and not options.drop_unlabelled:
        raise ValueError(
            f"expected a label for every cell in obs column {where}, got {missing} of "
            f"{len(has_label)} cells without one; fill them or pass --drop-unlabelled"
        )
    if missing:
        note(f"left out: {how_many(missing, 'cell')} without a label in {where}")
    return has_label


def _knowing(words: Words, conditions: Labels, tokens: list[Condition]) -> Words:
    """The words with all labels of these data.

    Raises:
        ValueError: Two conditions have one canonical name.
    """
    known = dict(zip(conditions.names, tokens, strict=True))
    first: dict[str, str] = {}
    for label, tokens_of in known.items():
        other = first.setdefault(name(tokens_of), label)
        if known[other] != tokens_of:
            raise ValueError(
                f"labels {other!r} and {label!r} are different conditions, but both are written "
                f"{name(tokens_of)!r}; rename one, or choose another --separator or --control"
            )
    return words.knowing(known)


def _left_out(
    conditions: Labels,
    tokens: list[Condition],
    *,
    words: Words,
    asked: Sequence[str],
    before: Sequence[str],
    options: IngestOptions,
) -> NDArray[np.bool_]:
    """Cells of conditions that the user, the store or the recipe leaves out, in any spelling."""
    present = {name(parsed) for parsed in tokens}
    wanted = {words.name(one) for one in asked}
    unknown = wanted - present
    if unknown:
        raise ValueError(
            f"expected conditions of the data in --exclude, got {listed(sorted(unknown))}, which "
            "it does not hold; correct --exclude"
        )
    wanted |= {words.name(one) for one in before} & present
    by_recipe = {name(one) for one in dropped(options)} & present
    excluded = np.zeros(len(conditions.codes), dtype=bool)
    for names, reason in ((wanted, "excluded"), (by_recipe - wanted, f"recipe {options.recipe}")):
        hit = [name(parsed) in names for parsed in tokens]
        cells = np.array([*hit, False])[conditions.codes]
        if cells.any():
            count = how_many(int(cells.sum()), "cell")
            note(f"left out: {count} of {listed(sorted(names))} ({reason})")
        excluded |= cells
    return excluded


def _arrange(
    conditions: Labels,
    contexts: Labels,
    *,
    tokens: list[Condition],
    kept: NDArray[np.bool_],
) -> Layout:
    width = max(1, len(conditions.names))
    pair = contexts.codes.astype(np.int64) * width + conditions.codes
    pair[~kept] = -1
    counts = Counter(
        dict(zip(*(a.tolist() for a in np.unique(pair, return_counts=True)), strict=True))
    )
    counts.pop(-1, None)
    parsed = {code: (contexts.names[code // width], tokens[code % width]) for code in counts}
    units = sorted(set(parsed.values()), key=lambda unit: (unit[0], name(unit[1])))
    place = {unit: k for k, unit in enumerate(units)}
    unit = np.full(len(pair), -1, dtype=np.int32)
    codes = np.array(sorted(counts), dtype=np.int64)
    targets = np.array([place[parsed[int(code)]] for code in codes], dtype=np.int32)
    if len(codes):
        unit[kept] = targets[np.searchsorted(codes, pair[kept])]
    votes: dict[Condition, Counter[str]] = {}
    for code, count in counts.items():
        votes.setdefault(tokens[code % width], Counter())[conditions.names[code % width]] += count
    return Layout(
        unit=unit,
        units=tuple(units),
        labels={t: min(v, key=lambda name: (-v[name], name)) for t, v in votes.items()},
        cells=np.bincount(unit[unit >= 0], minlength=len(units)).astype(np.int64),
    )


def _without_small(layout: Layout, *, options: IngestOptions) -> Layout:
    small = layout.cells < options.min_condition_cells
    if not small.any():
        return layout
    note(
        f"left out: {int(small.sum())} conditions with fewer than {options.min_condition_cells} "
        f"cells ({int(layout.cells[small].sum())} cells)"
    )
    return _without(layout, small)


def _without(layout: Layout, gone: NDArray[np.bool_]) -> Layout:
    """Leave out these units and their cells."""
    new = np.cumsum(~gone, dtype=np.int32) - 1
    new[gone] = -1
    units = tuple(unit for unit, out in zip(layout.units, gone, strict=True) if not out)
    present = {tokens for _, tokens in units}
    return layout._replace(
        unit=np.append(new, np.int32(-1)).astype(np.int32)[layout.unit],
        units=units,
        labels={tokens: label for tokens, label in layout.labels.items() if tokens in present},
        cells=layout.cells[~gone],
    )


def _controlled(layout: Layout, *, options: IngestOptions) -> Layout:
    """The layout of contexts with controls.

    Raises:
        ValueError: Others have none and are not to be dropped, or nothing is left.
    """
    controlled = {context for context, tokens in layout.units if not tokens}
    without = sorted({context for context, _ in layout.units} - controlled)
    gone = np.array([context not in controlled for context, _ in layout.units], dtype=bool)
    if without and controlled and options.drop_uncontrolled:
        note(
            f"left out: {how_many(int(layout.cells[gone].sum()), 'cell')} of "
            f"{how_many(len(without), 'context')} without "
            f"control cells, {listed(without)}"
        )
        layout = _without(layout, gone)
    elif without:
        leave = "leave these cells out with --drop-uncontrolled, or " if controlled else ""
        raise ValueError(
            f"expected control cells in every context, got none in {listed(without)} "
            f"({int(layout.cells[gone].sum())} cells); {leave}choose another --context-column or "
            "--control"
        )
    if not any(tokens for _, tokens in layout.units):
        raise ValueError(
            f"expected perturbed cells, found only control ({listed(layout.controls)}); "
            "choose another --condition-column or --control"
        )
    return layout


def _tell_of_doses(sources: Sequence[Source], layout: Layout, *, used: Sequence[str]) -> None:
    names = sorted(layout.labels[tokens] for tokens in layout.labels if tokens)
    place = {name: k for k, name in enumerate(names)}
    of_unit = [place.get(layout.labels[tokens], -1) if tokens else -1 for _, tokens in layout.units]
    conditions = np.array([*of_unit, -1], dtype=np.int64)[layout.unit]
    tell_of_doses(sources, conditions=conditions, names=names, used=used)


def _tell(layout: Layout) -> None:
    names = {name(tokens) for _, tokens in layout.units if tokens}
    contexts = {context for context, _ in layout.units}
    note(
        f"{how_many(int(layout.cells.sum()), 'cell')}, {how_many(len(names), 'condition')}, "
        f"{how_many(len(contexts), 'context')}"
    )
