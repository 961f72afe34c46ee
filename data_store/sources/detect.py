"""Detect what a file does not say: where conditions, controls, counts and library sizes are.

Every choice is logged in one line. What cannot be decided is an error that names the choices and
the option that decides.
"""

from collections.abc import Collection, Sequence
from shlex import quote
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_store.disk.columns import Column, texts
from data_store.sources import controls
from data_store.sources.notes import note, warn
from data_store.sources.options import IngestOptions
from data_store.sources.source import Source
from data_store.store.scales import whole
from data_store.store.schema import GENES_OF_GUIDES, LIBRARY_SIZE
from scdfm.screen.conditions import CONTROL, Condition, Words
from scdfm.screen.labels import judged
from scdfm.screen.names import aside, listed
from scdfm.screen.spelling import is_blank

CONDITION_NAMES = (
    "condition",
    "perturbation",
    "perturbation_name",
    "gene",
    "target_gene",
    "guide_target",
    "drug",
    "compound",
    "treatment",
)
GUIDE_NAMES = (
    "feature_call",  # CellRanger
    "guide_identity",
    "guide_ids",
    "guide_id",
    "guides",
    "guide",
    "sgRNA",
    "sgrna",
    "gRNA",
    "grna",
)
# Ours first: a store that left genes out, or its export, knows better than its row sums.
LIBRARY_NAMES = (LIBRARY_SIZE, "ncounts", "n_counts", "total_counts", "nCount_RNA")

_ROWS = 262_144
_ROW_SUMS = ""  # beside names of columns
_SAME, _DIFFERENT = 1e-3, 0.05  # spreads of totals, as shares of the largest


class Labels(NamedTuple):
    """A text for each cell, as codes."""

    codes: NDArray[np.int32]  # (cells,), -1 where missing
    names: tuple[str, ...]


def read_labels(source: Source, column: str, *, option: str) -> Labels:
    """One obs column as text.

    Raises:
        ValueError: There is no such column (names the columns), or it holds no labels.
    """
    spec = source.columns.get(column)
    if spec is None:
        raise ValueError(
            f"expected an obs column {column!r}{aside(column, source.columns)} in {source.path}, "
            f"got {listed(source.columns)}; choose one with {option}"
        )
    seen: dict[str, int] = {}
    codes = np.full(source.cells, -1, dtype=np.int32)
    for start in range(0, source.cells, _ROWS):
        stop = min(start + _ROWS, source.cells)
        codes[start:stop] = _encode(source, spec, seen, start=start, stop=stop)
    return Labels(codes=codes, names=tuple(seen))


def _encode(
    source: Source, column: Column, seen: dict[str, int], *, start: int, stop: int
) -> NDArray[np.int32]:
    block = source.obs_block([column], start=start, stop=stop)
    values = block[column.key(next(iter(column.dtypes)))]
    missing = np.zeros(len(values), dtype=bool)
    if "mask" in column.dtypes:
        missing = block[column.key("mask")].astype(bool)
    elif values.dtype.kind == "f":
        missing = np.isnan(values)
    distinct, inverse = np.unique(values, return_inverse=True)
    if column.categories is not None:
        words = [str(column.categories[code]) if code >= 0 else "" for code in distinct]
    else:
        words = list(texts(distinct)) if distinct.dtype.kind == "S" else [str(x) for x in distinct]
    missing |= np.isin(inverse, [k for k, word in enumerate(words) if is_blank(word)])
    present = set(inverse[~missing].tolist())
    new = [seen.setdefault(word, len(seen)) if k in present else -1 for k, word in enumerate(words)]
    codes = np.array(new, dtype=np.int32)[inverse] if words else np.empty(0, dtype=np.int32)
    codes[missing] = -1
    return codes


def condition_columns(sources: Sequence[Source], *, options: IngestOptions) -> tuple[str, ...]:
    """The obs columns of the conditions: those that were named, or a usual one.

    Raises:
        ValueError: There are no cells, or it cannot be decided; lists the obs columns.
    """
    first = sources[0]
    if not any(source.cells for source in sources):
        raise ValueError(f"expected cells in {first.path}, got none; name a file that holds some")
    if options.guides is not None:
        return (GENES_OF_GUIDES,)
    if options.condition_column:
        return options.condition_column
    if not first.columns:
        raise ValueError(
            f"expected obs columns in {first.path}, got none; give a table of its cells with "
            "--cells"
        )
    usual = [name for name in CONDITION_NAMES if name in first.columns]
    found, passed = _judged(first, usual, options=options)
    if len(found) > 1:
        raise ValueError(
            f"expected one condition column in {first.path}, found several that differ: "
            f"{listed(map(repr, found))}; choose with --condition-column"
        )
    if not found and len(usual) != 1:
        why = "".join(f"; not {name!r}: {reason}" for name, reason in passed.items())
        raise ValueError(
            f"expected one condition column in {first.path}, found none with a usual name that "
            f"holds a control among {listed(first.columns)}{why}; choose with --condition-column"
            f"{_guides(first.columns)}"
        )
    [name] = found or usual
    for other in usual[: usual.index(name)]:
        note(f"conditions: not obs column {other!r}: {passed[other]}")
    note(f"conditions: obs column {name!r}")
    return (name,)


def _judged(
    source: Source, usual: Sequence[str], *, options: IngestOptions
) -> tuple[list[str], dict[str, str]]:
    """Columns of a usual name that hold conditions and differ, and why the others hold none."""
    found: dict[str, NDArray[np.int32]] = {}
    passed: dict[str, str] = {}
    for name in usual:
        labels = read_labels(source, name, option="--condition-column")
        names = _canonical_names(labels.names, options=options)
        if names is None or CONTROL not in names or len(set(names)) < 2:
            passed[name] = _why_none(labels, names)
            continue
        codes = _joint_codes(labels, names)
        if not any(np.array_equal(codes, other) for other in found.values()):
            found[name] = codes
    return [*found], passed


def _why_none(labels: Labels, names: Sequence[str] | None) -> str:
    """Why a column of a usual name holds no conditions."""
    missing = int((labels.codes < 0).sum())
    if missing and (names is None or CONTROL not in names):
        return f"{_cells(missing)} no label, and none is a control; label the controls"
    if names is None:
        return "its labels cannot be read"
    return "it holds no control" if CONTROL not in names else "all its cells are controls"


def _cells(number: int) -> str:
    return f"{number:,} cell{' has' if number == 1 else 's have'}"


def _guides(columns: Collection[str]) -> str:
    usual = [name for name in GUIDE_NAMES if name in columns]
    return f"; {usual[0]!r} may hold guides, --guides TABLE tells their genes" if usual else ""


def _canonical_names(labels: Sequence[str], *, options: IngestOptions) -> list[str] | None:
    try:
        words = judged(labels, controlled(options.words, options, labels)).words
    except ValueError:
        return None
    return [words.name(label) for label in labels]


def controlled(words: Words, options: IngestOptions, labels: Sequence[str]) -> Words:
    """The words, with the labels that patterns of --control mean.

    Raises:
        ValueError: A pattern matches no label.
    """
    if not options.control:
        return words
    return words.with_controls(
        controls.resolved(options.control, labels, separator=words.separator)
    )


def _joint_codes(labels: Labels, names: list[str]) -> NDArray[np.int32]:
    """Codes of canonical names in alphabetical order, to compare columns."""
    order = {name: k for k, name in enumerate(sorted(set(names)))}
    return np.array([*(order[name] for name in names), -1], dtype=np.int32)[labels.codes]


def control_labels(
    names: Sequence[str], tokens: Sequence[Condition], *, words: Words, path: str
) -> tuple[str, ...]:
    """The labels that mean control.

    Raises:
        ValueError: No label does; names labels and suggests --control.
    """
    found = tuple(name for name, parsed in zip(names, tokens, strict=True) if not parsed)
    if not found:
        usual = controls.alike(names) or controls.holding(names)
        remedy = "name the control with --control"
        joined = controls.joined_by(names, words=words)
        if joined is not None:
            sign, label = joined
            remedy = f"{label!r} is the control if {sign!r} joins tokens: --separator {quote(sign)}"
        elif usual:
            every = (*usual, *controls.spelled(names, words=words))
            remedy = f"{listed(usual)} may be: {controls.advice(every, among=names)}"
        raise ValueError(
            f"expected control cells labelled {' or '.join(words.controls)} in {path}, found the "
            f"labels {listed(sorted(names))}; {remedy}"
        )
    return found


class LibrarySize:
    """Finds the library size while rows are read: a usual column of counts, as its structure tells.

    It is never below the row sums, it is whole, and it differs between cells as the row sums do.
    """

    def __init__(self, columns: Sequence[Column], *, options: IngestOptions) -> None:
        self._asked = options.library_size_column
        names = (self._asked,) if self._asked else LIBRARY_NAMES
        numeric = {c.name: c for c in columns if "" in c.dtypes and c.dtypes[""].kind in "iuf"}
        if self._asked and self._asked not in numeric:
            raise ValueError(
                f"expected a numeric obs column {self._asked!r}{aside(self._asked, numeric)} with "
                f"library sizes, found {listed(numeric)}; choose one with --library-size-column"
            )
        self.candidates = [name for name in names if name in numeric]
        self._below = dict.fromkeys(self.candidates, 0)
        self._empty = 0
        self._rounding = options.round  # the file's own totals are of fractions, too
        self._fractions = dict.fromkeys(self.candidates, 0)
        self._ranges = dict.fromkeys([_ROW_SUMS, *self.candidates], (np.inf, 0.0))

    def see(self, block: dict[str, NDArray[np.generic]], *, row_sums: NDArray[np.float64]) -> None:
        """Compare these cells' candidates with their row sums."""
        self._empty += int((row_sums == 0).sum())
        self._widen(_ROW_SUMS, row_sums)
        for name in self.candidates:
            sizes = np.asarray(block[name], dtype=np.float64)
            bad = ~(np.isfinite(sizes) & ((sizes > 0) | (row_sums == 0)))
            if self._asked and bad.any():
                raise ValueError(
                    f"expected library sizes above 0 in obs column {name!r}, got "
                    f"{sizes[bad][0]:g}; choose another with --library-size-column"
                )
            # Written as a negation so that NaN counts as below. float32 sums may be rounded.
            self._below[name] += int((~(sizes >= row_sums * (1 - 1e-6))).sum())
            self._fractions[name] += int((~whole(sizes)).sum())
            self._widen(name, sizes)

    def choose(self, *, genes: int) -> str | None:
        """The column, or None for row sums."""
        if self._empty:
            warn(f"{self._empty} cells have no counts at all")
        if self._asked:
            if self._below[self._asked]:
                warn(
                    f"library size {self._asked!r} is below the row sum in "
                    f"{self._below[self._asked]} cells"
                )
            return self._asked
        for name in self.candidates:
            fault = self._fault(name)
            if fault is None:
                note(f"library size: obs column {name!r}")
                return name
            note(f"library size: not {name!r}, {fault}")
        note(
            f"library size: row sums over {genes} genes (no obs column holds it); "
            "only an estimate if genes were left out of the file"
        )
        return None

    def _fault(self, name: str) -> str | None:
        """Why a column that nobody named is not taken; None if it holds counts of cells."""
        if self._below[name]:
            return f"it is below the row sum in {self._below[name]} cells"
        if name == LIBRARY_SIZE:
            return None
        if self._fractions[name] and not self._rounding:
            return (
                f"it has fractions in {self._fractions[name]} cells, so it adds up other values "
                f"than counts (--library-size-column {name} takes it)"
            )
        (least, most), (fewest, largest) = self._ranges[name], self._ranges[_ROW_SUMS]
        if most - least <= _SAME * most and largest - fewest > _DIFFERENT * largest:
            return (
                f"it is {most:,.0f} in every cell, so it adds up normalised values "
                f"(--library-size-column {name} takes it)"
            )
        return None

    def _widen(self, name: str, values: NDArray[np.floating[Any]]) -> None:
        values = values[values > 0]
        if len(values):
            least, most = self._ranges[name]
            self._ranges[name] = min(least, float(values.min())), max(most, float(values.max()))
