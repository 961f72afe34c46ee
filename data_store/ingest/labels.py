"""The condition and the context of every cell: one obs column, or several that are joined."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_store.sources.controls import require_present
from data_store.sources.detect import Labels, controlled, read_labels
from data_store.sources.notes import note, warn
from data_store.sources.options import IngestOptions
from data_store.sources.source import Source
from data_store.sources.values.codes import tell_of_codes
from data_store.store.schema import context_of
from scdfm.screen.conditions import Condition, Words
from scdfm.screen.labels import judged
from scdfm.screen.spelling import is_blank_beside, tidy

ONE_CONTEXT = "all"


class Conditions(NamedTuple):
    """Labels of cells, and the condition that each label means."""

    labels: Labels
    tokens: list[Condition]  # of each label's name
    words: Words  # that the labels were read with


def read_conditions(
    sources: Sequence[Source],
    *,
    columns: Sequence[str],
    options: IngestOptions,
    words: Words | None,
) -> Conditions:
    """The condition of every cell.

    Args:
        sources: Open sources.
        columns: Of obs; of several the tokens are joined, and blank cells and controls say nothing.
        options: Controls and separator.
        words: Of the store that these cells are added to, which has decided already.

    Raises:
        ValueError: There is no such column, or --control names what no label has.
    """
    each = [_all_labels(sources, column, option="--condition-column") for column in columns]
    for column, labels in zip(columns, each, strict=True):
        tell_of_codes(sources, column, labels=labels.names)
    every = [*dict.fromkeys(name for labels in each for name in labels.names)]
    if words is None and options.recipe is None:  # both know several spellings
        require_present(options.control, every, separator=options.words.separator)
    words = controlled(words or options.words, options, every)
    # Labels that we made of guides hold no other sign.
    told = options.separator is not None or options.guides is not None
    found = judged(every, words, told=told)
    for line in found.remarks():
        note(line)
    for line in found.warnings():
        warn(line)
    words = found.words
    if len(each) == 1:
        return Conditions(each[0], [words.parse(name) for name in each[0].names], words)
    note(f"conditions: obs columns {' and '.join(map(repr, columns))}, joined per cell")
    return _joined(each, words)


def read_contexts(sources: Sequence[Source], *, columns: Sequence[str]) -> Labels:
    """The context of every cell, -1 where a column is blank; without columns all share one.

    Raises:
        ValueError: There is no such column, or two contexts would have one name.
    """
    if not columns:
        cells = sum(source.cells for source in sources)
        return Labels(codes=np.zeros(cells, dtype=np.int32), names=(ONE_CONTEXT,))
    each = [_all_labels(sources, column, option="--context-column") for column in columns]
    rows, codes = _rows(each)
    names, first = list[str | None](), dict[str, tuple[str, ...]]()
    for row in rows:
        values = tuple(tidy(value) for value in row if value is not None)
        text = context_of(values) if len(values) == len(row) else None
        if text is not None and first.setdefault(text, values) != values:
            raise ValueError(
                f"expected contexts with different names, got {first[text]} and {values}, which "
                f"are both written {text!r}; rename one, or choose another --context-column"
            )
        names.append(text)
    if len(columns) > 1 and first:
        note(
            f"contexts: obs columns {' and '.join(map(repr, columns))}, written as "
            f"{next(iter(first))!r}"
        )
    return _named(names, codes)


def _all_labels(sources: Sequence[Source], column: str, *, option: str) -> Labels:
    """The labels of several sources under common codes."""
    seen: dict[str, int] = {}
    codes = []
    for source in sources:
        labels = read_labels(source, column, option=option)
        common = [seen.setdefault(name, len(seen)) for name in labels.names]
        codes.append(np.array([*common, -1], dtype=np.int32)[labels.codes])
    return Labels(codes=np.concatenate(codes), names=tuple(seen))


def _joined(each: Sequence[Labels], words: Words) -> Conditions:
    """One label per cell from the labels of several columns.

    Raises:
        ValueError: Two conditions would have one label.
    """
    rows, codes = _rows(each)
    names, tokens = list[str | None](), dict[str, Condition]()
    for row in rows:
        told = [value for value in row if value is not None and not is_blank_beside(value)]
        perturbed = sorted({value for value in told if words.parse(value)})
        # Sorted, so that A beside B and B beside A are one label, too.
        text = words.separator.join(perturbed) if perturbed else next(iter(told), None)
        if text is not None and tokens.setdefault(text, words.read(told)) != words.read(told):
            raise ValueError(
                f"expected conditions with different names, got two that are written {text!r}; "
                "choose another --separator"
            )
        names.append(text)
    labels = _named(names, codes)
    return Conditions(labels, [tokens[name] for name in labels.names], words)


def _rows(each: Sequence[Labels]) -> tuple[list[tuple[str | None, ...]], NDArray[np.int64]]:
    """The combinations of labels that occur, and the combination of each cell."""
    codes = np.zeros(len(each[0].codes), dtype=np.int64)
    combined = np.zeros((1, 0), dtype=np.int64)  # (combinations, columns)
    for labels in each:
        pair = codes * (len(labels.names) + 1) + labels.codes + 1
        found, codes = np.unique(pair, return_inverse=True)
        before, last = np.divmod(found, len(labels.names) + 1)
        combined = np.column_stack([combined[before], last - 1])
    rows = [
        tuple(
            labels.names[code] if code >= 0 else None
            for labels, code in zip(each, row, strict=True)
        )
        for row in combined.tolist()
    ]
    return rows, codes


def _named(names: Sequence[str | None], codes: NDArray[np.int64]) -> Labels:
    """Labels of cells from the name of each combination; None is no label."""
    places: dict[str, int] = {}
    each = [-1 if name is None else places.setdefault(name, len(places)) for name in names]
    return Labels(codes=np.array([*each, -1], dtype=np.int32)[codes], names=tuple(places))
