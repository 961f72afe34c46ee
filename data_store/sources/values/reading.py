"""Choose the matrix of a source, and say how its values are read: as counts or as log values.

A sample of cells decides, the ingest then checks all of them. What cannot be decided is an error
that says what the matrix holds and which options decide.
"""

from dataclasses import replace
from typing import NamedTuple, NoReturn

import numpy as np
import scipy.sparse as sp

from data_store.sources.detect import LIBRARY_NAMES
from data_store.sources.notes import note, warn
from data_store.sources.options import IngestOptions
from data_store.sources.source import RAW, Source
from data_store.sources.values import advice, depth
from data_store.sources.values.advice import Found
from data_store.store import normalise, scales
from data_store.store.scales import Values
from data_store.store.schema import TARGET_SUM
from scdfm.screen.names import aside, listed

COUNTS = Values("counts")
_FEW_COUNTS = 200  # of a cell; fewer are hardly kept by anyone
_USUAL_COUNTS = 5_000
_NEW_STORE = "ingest all files into a new store, where they need the same options"
_LOOK = 250_000  # values looked at


class Reading(NamedTuple):
    """Which matrix of a source is read, and how."""

    layer: str
    values: Values
    rounded: bool = False  # fractions become whole counts

    @property
    def normalised(self) -> bool:
        """Whether it is stored as log1p per 10k, not as counts."""
        return self.values.form != "counts"

    @property
    def depth(self) -> float | None:
        """What cells added up to where that is changed to 10,000."""
        return self.values.depth if normalise.is_rescaled(self.values) else None

    def taken(self, block: sp.csr_matrix, *, where: str) -> sp.csr_matrix:
        """Values of whole cells as they are stored.

        Raises:
            ValueError: They are not what the reading says; names `where`.
        """
        if self.normalised:
            return normalise.as_log(block, where=where, values=self.values)
        return normalise.as_counts(block, where=where, rounded=self.rounded)


def reading(source: Source, *, options: IngestOptions) -> Reading:
    """The matrix to read, and what it holds.

    Raises:
        ValueError: No such layer, values that are not what the options say, or undecidable.
    """
    found = _chosen(source, options=options)
    column = options.library_size_column
    if found.normalised and column is not None and found.values.told_by != column:
        raise ValueError(
            f"expected counts for --library-size-column, got {advice.described(found.values)} in "
            f"{advice.shown(found.layer)} of {source.path}, whose depth {column!r} does not tell; "
            f"{_NEW_STORE if options.append else 'leave the option out'}"
        )
    return found


def _chosen(source: Source, *, options: IngestOptions) -> Reading:
    if not source.layers and source.raw is None:
        raise ValueError(f"expected a matrix X in {source.path}, got none; write the file with X")
    if options.layer is not None:
        return _asked(source, options.layer, options=options)
    if options.normalised:
        return _as_log(source, _first(source), usual=True, options=options)
    if options.round:
        return _to_round(source, _first(source), options=options)
    found: Found = {}
    for name in ("X", "counts"):
        if name in source.layers:
            found[name] = look(source, name, options=options)
            if found[name].form == "counts":
                said = "" if name == "X" else f"; X holds {advice.described(found['X'])}"
                note(f"counts: {advice.shown(name)}{said}")
                return Reading(name, COUNTS)
    return _without_counts(source, found, options=options)


def look(source: Source, name: str, *, options: IngestOptions) -> Values:
    """What a matrix holds, .raw among them, of a sample of cells."""
    if name not in source.layers:
        assert source.raw is not None
        source = replace(source, matrices={name: source.raw().matrix}, kept=None)
    if not source.matrices[name].has_rows:
        # All of its values must be read to see whole cells, which counts do not need.
        head = source.head(name, elements=_LOOK)
        if head.nnz and scales.are_counts(head.data):
            return COUNTS._replace(largest=float(head.data.max()))
    rows = source.sample(name, elements=_LOOK)
    values = scales.look(rows)
    if not depth.is_hidden(values):
        return values
    at = source.sampled(name, elements=_LOOK)
    asked = options.library_size_column
    columns = LIBRARY_NAMES if asked is None else (asked,)
    return depth.told(values, source, rows=rows, at=at, columns=columns)


def _choices(source: Source) -> tuple[str, ...]:
    """What --layer may name."""
    if source.raw is None:
        return source.layers
    return (*source.layers, RAW[1] if RAW[0] in source.layers else RAW[0])


def _first(source: Source) -> str:
    return _choices(source)[0]


def _with_others(source: Source, found: Found, *, options: IngestOptions) -> Found:
    """What the other matrices hold, too."""
    others = [name for name in _choices(source) if name not in found]
    return found | {name: look(source, name, options=options) for name in others}


def _asked(source: Source, name: str, *, options: IngestOptions) -> Reading:
    if name not in source.layers:
        raise ValueError(
            f"expected a layer {name!r}{aside(name, _choices(source))} in {source.path}, got "
            f"{listed(_choices(source))}; choose one with --layer"
        )
    if options.normalised:
        return _as_log(source, name, usual=False, options=options)
    if options.round:
        return _to_round(source, name, options=options)
    values = look(source, name, options=options)
    if values.form != "counts":
        _refuse(source, name, found={name: values}, expected="counts", options=options)
    return Reading(name, COUNTS)


def _as_log(source: Source, name: str, *, usual: bool, options: IngestOptions) -> Reading:
    """A matrix that the user says holds log values (--normalised)."""
    values = look(source, name, options=options)
    shown = advice.shown(name)
    if values.form == "counts":
        remedy = _NEW_STORE if options.append else "leave out --normalised"
        raise ValueError(
            f"expected log values in {shown} of {source.path} for --normalised, got whole numbers, "
            f"which are counts; {remedy}"
        )
    if usual:
        for other in advice.holding_counts(_with_others(source, {name: values}, options=options)):
            note(f"{advice.shown(other)} holds counts; --layer {other} takes them instead")
    if values.depth is None:
        if not advice.may_be_log(values):
            _refuse(source, name, found={name: values}, expected="log1p per 10k", options=options)
        note(f"values: {shown} is stored as it is, as log1p per 10k of which genes were left out")
        _tell_of_size(values, shown)
        return Reading(name, normalise.AS_GIVEN)
    told = advice.described(values)
    if normalise.is_rescaled(values):
        told += "; stored as log1p per 10k, which is exact because cells share this total"
    note(f"values: {shown} of {source.name} holds {told}")
    return Reading(name, values)


def _tell_of_size(values: Values, shown: str) -> None:
    """Warn if cells would have implausibly few counts, so that the depth is another."""
    counts = TARGET_SUM / values.one_count if values.one_count else np.inf
    if counts < _FEW_COUNTS:
        warn(
            f"as log1p per 10k, {shown} is of cells that had {counts:,.0f} counts of all genes, "
            f"which are few; cells of {_USUAL_COUNTS:,} were normalised to about "
            f"{values.one_count * _USUAL_COUNTS:,.0f}, and their values are too large here"
        )


def _to_round(source: Source, name: str, *, options: IngestOptions) -> Reading:
    """A matrix whose fractions the user says are counts (--round)."""
    values = look(source, name, options=options)
    if values.form not in ("counts", "fractions"):
        _refuse(
            source,
            name,
            found={name: values},
            expected="corrected counts for --round",
            options=options,
        )
    note(f"counts: {advice.shown(name)}, rounded to whole numbers as --round says")
    return Reading(name, COUNTS, rounded=True)


def _without_counts(source: Source, found: Found, *, options: IngestOptions) -> Reading:
    """Log values per 10k where no matrix of the source holds counts."""
    name = _first(source)
    found = _with_others(source, found, options=options)
    values = found[name]
    per_10k = values.depth is not None and not normalise.is_rescaled(values)
    if not source.matrices.get("X") and (ways := advice.taking_counts(found)):
        raise ValueError(f"expected a matrix X in {source.path}, got none; {', or '.join(ways)}")
    if name != "X" or not per_10k or advice.holding_counts(found):
        _refuse(source, name, found=found, expected="counts", options=options)
    broken = [
        f"{advice.shown(other)} holds {_undefined(one)}"
        for other, one in found.items()
        if one.form == "undefined"
    ]
    note(
        f"values: X holds {advice.described(values)} and no matrix holds counts"
        f"{f' ({listed(broken)})' if broken else ''}; stored as float32 as they are"
    )
    return Reading(name, values)


def _refuse(
    source: Source, name: str, *, found: Found, expected: str, options: IngestOptions
) -> NoReturn:
    where = f"{advice.shown(name)} of {source.path}"
    if found[name].form == "undefined":
        raise ValueError(
            f"expected numbers in {where}, got {_undefined(found[name])}; remove these cells or "
            "fill them"
        )
    found = _with_others(source, found, options=options)
    raise ValueError(
        f"expected {expected} in {where}, got {advice.described(found[name])}; "
        f"{_remedy(found, name=name, options=options)}"
    )


def _remedy(found: Found, *, name: str, options: IngestOptions) -> str:
    """What settles it; a store that grows has decided on counts or logs, and on rounding."""
    if not options.append:
        return advice.remedy(found, name=name)
    others = {other: one for other, one in found.items() if other != name}
    ways = [] if options.normalised else advice.taking_counts(others)
    return ", or ".join(ways) or _NEW_STORE


def _undefined(values: Values) -> str:
    return "NaN" if values.example != values.example else f"{values.example:g}"
