"""Guides: which genes a cell's guides target, as a table says (guide -> gene).

A cell with guides of one gene has that gene's condition, however many guides they are. A guide that
is a control says nothing beside one that is not. Guides of several genes are a combination, or
their cells are left out (`--multi-guide`).
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_store.sources.controls import advice, alike, meant_by
from data_store.sources.detect import GUIDE_NAMES, Labels, read_labels
from data_store.sources.notes import note
from data_store.sources.options import IngestOptions
from data_store.sources.source import Source
from data_store.sources.tables import frame_columns, read_table
from data_store.store.schema import GENES_OF_GUIDES
from scdfm.screen.names import aside, listed

SEVERAL = "guides of several genes"  # the label of cells that --multi-guide drop leaves out

_GUIDES = (
    *("guide", "guide_id", "guide_name", "sgrna", "sgrna_id", "grna", "grna_id", "sgid"),
    *("id", "name", "feature_call", "protospacer"),  # CellRanger's feature reference: id, name
)
_GENES = (
    *("gene", "target_gene", "target_gene_name", "gene_name", "gene_symbol", "symbol", "target"),
    *("gene_target", "target_gene_id", "gene_id"),
)
_JOINTS = "|;,&"  # between the guides of a cell, and seldom in a name
_SIGNS = f"{_JOINTS}+/ _"  # `_` last, as most names hold it


class _Reading(NamedTuple):
    """What the guides of a cell say."""

    genes: tuple[str, ...]  # a control's name if all guides are controls
    guides: tuple[str, ...]
    unknown: tuple[str, ...] = ()


def with_guides(
    sources: Sequence[Source], *, options: IngestOptions
) -> tuple[list[Source], IngestOptions]:
    """The sources with the genes of their cells' guides, and the options with what that decides.

    Raises:
        FileNotFoundError, ValueError: As `guided`.
    """
    columns = _guide_columns(sources, options=options)
    found = [guided(source, columns=columns, options=options) for source in sources]
    exclude = options.exclude
    made = (one.columns[GENES_OF_GUIDES].categories for one in found)
    if any(names is not None and SEVERAL in names for names in made):
        exclude = (*exclude, SEVERAL)
    return found, options.model_copy(update={"condition_column": columns, "exclude": exclude})


def _guide_columns(sources: Sequence[Source], *, options: IngestOptions) -> tuple[str, ...]:
    """The obs columns of the guides: those that were named, or a usual one of all sources.

    Raises:
        ValueError: None was named, and there is no usual one; lists the columns.
    """
    if options.condition_column:
        return options.condition_column
    usual = [name for name in GUIDE_NAMES if all(name in one.columns for one in sources)]
    if not usual:
        raise ValueError(
            f"expected an obs column of guides, such as {GUIDE_NAMES[0]!r}, in "
            f"{sources[0].path}, got {listed(sources[0].columns)}; choose one with "
            "--condition-column"
        )
    return (usual[0],)


def guided(source: Source, *, columns: Sequence[str], options: IngestOptions) -> Source:
    """The source with an obs column of the genes that its cells' guides target.

    Args:
        source: An open source.
        columns: Of obs; each holds one guide of a cell, or several with a sign between them.
        options: The table, what is a control, and the rule for several genes.

    Raises:
        FileNotFoundError: There is no table.
        ValueError: It has no such columns or contradicts itself, or a guide is not in it.
    """
    assert options.guides is not None
    each = [read_labels(source, column, option="--condition-column") for column in columns]
    texts = sorted({name for labels in each for name in labels.names})
    genes = _read_guides(options.guides, texts, separator=options.words.separator)
    reader = _Reader(genes, is_control=meant_by(options.words.controls))
    said = {text: reader.read(text) for text in texts}
    rows, codes = _rows(each)
    readings = [reader.of([guide for text in row for guide in said[text]]) for row in rows]
    cells = np.bincount(codes[codes >= 0], minlength=len(rows))
    _tell(source, readings, cells, columns=columns, known=genes, options=options)
    labels = [_label(reading, options=options) for reading in readings]
    names = list(dict.fromkeys(label for label in labels if label is not None))
    place = {name: k for k, name in enumerate(names)}
    code_of = np.array([-1 if one is None else place[one] for one in labels] + [-1], dtype=np.int32)
    frame = pd.DataFrame(
        {GENES_OF_GUIDES: pd.Categorical.from_codes(code_of[codes], pd.Index(names, dtype=object))}
    )
    home, made = frame_columns(frame)
    return replace(
        source,
        columns={**source.columns, **made},
        homes={**source.homes, **dict.fromkeys(made, home)},
    )


class _Reader:
    """Takes labels apart into guides of a table."""

    def __init__(self, genes: Mapping[str, str], *, is_control: Callable[[str], bool]) -> None:
        self._genes = genes
        self.is_control = is_control

    def read(self, label: str) -> list[str]:
        """The guides in a label."""
        ways = (self._apart(label, sign) for sign in _SIGNS)
        found = next((guides for guides in ways if not self._strange(guides)), None)
        # What is unknown may hold any of the signs that names hold.
        return found or min((self._apart(label, sign) for sign in _JOINTS), key=self._strange)

    def of(self, guides: Sequence[str]) -> _Reading:
        """The genes of these guides."""
        known = [self._genes.get(guide, guide) for guide in guides if self._knows(guide)]
        genes = sorted({gene for gene in known if not self.is_control(gene)})
        return _Reading(
            genes=tuple(genes) or tuple(known[:1]),
            guides=tuple(guides),
            unknown=tuple(guide for guide in guides if not self._knows(guide)),
        )

    def _knows(self, text: str) -> bool:
        return text in self._genes or (self.is_control(text) and not self._holds_guide(text))

    def _holds_guide(self, text: str) -> bool:
        """Whether a part is a guide: `NT_*` matches NT_1|sgA and NT_1|NT_2, which are two."""
        if any(sign in text and all(map(self._knows, text.split(sign))) for sign in _JOINTS):
            return True
        return any(
            sign.join(pieces[start:stop]).strip() in self._genes
            for pieces, sign in ((text.split(sign), sign) for sign in _SIGNS)
            for start in range(len(pieces))
            for stop in range(start + 1, len(pieces) + 1)
        )

    def _apart(self, label: str, sign: str) -> list[str]:
        """The guides between signs: as much as can be is known, in as few guides as can be."""
        pieces = label.split(sign)
        best: list[list[str]] = [[] for _ in range(len(pieces) + 1)]
        for start in reversed(range(len(pieces))):
            ways = []
            for stop in range(start + 1, len(pieces) + 1):
                guide = sign.join(pieces[start:stop]).strip()
                ways.append([guide, *best[stop]] if guide else best[stop])
            best[start] = min(ways, key=lambda way: (self._strange(way), len(way)))
        return best[0] or [label]

    def _strange(self, guides: Sequence[str]) -> int:
        """Letters of unknown guides."""
        return sum(len(guide) for guide in guides if not self._knows(guide))


def _rows(each: Sequence[Labels]) -> tuple[list[tuple[str, ...]], NDArray[np.int64]]:
    """The distinct texts of a cell in all columns, and which of them each cell has; -1 for none."""
    if len(each) == 1:
        return [(name,) for name in each[0].names], each[0].codes.astype(np.int64)
    together = np.stack([labels.codes for labels in each], axis=1)
    distinct, codes = np.unique(together, axis=0, return_inverse=True)
    rows = [
        tuple(labels.names[code] for labels, code in zip(each, row, strict=True) if code >= 0)
        for row in distinct.tolist()
    ]
    blank = np.array([not row for row in rows], dtype=bool)
    codes = codes.reshape(-1)
    return rows, np.where(blank[codes], -1, codes)


def _read_guides(path: Path, used: Iterable[str], *, separator: str) -> dict[str, str]:
    """The gene of each guide in a table.

    Of several columns that may hold guides, the one that holds most of those in use is taken.
    """
    table = read_table(path, of="guides")
    table = table.rename(columns=lambda name: name.strip())
    lower = {name.casefold(): name for name in reversed(table.columns)}
    guides = [lower[name] for name in _GUIDES if name in lower]
    genes = [lower[name] for name in _GENES if name in lower]
    if table.shape[1] == 2 and not (guides and genes):
        guides, genes = [table.columns[0]], [table.columns[1]]
    if not guides or not genes:
        raise ValueError(
            f"expected columns of guides and genes in {path}, such as guide and gene, got "
            f"{listed(table.columns)}; rename them"
        )
    pieces = {part for text in used for sign in _SIGNS for part in text.split(sign)} | set(used)
    column = max(guides, key=lambda name: len(pieces.intersection(table[name].astype(str))))
    pairs = table[[column, genes[0]]].dropna().astype(str).apply(lambda text: text.str.strip())
    pairs = pairs[(pairs != "").all(axis=1)].drop_duplicates()
    pairs.columns = pd.Index(["guide", "gene"])
    _refuse_contradictions(pairs, path=path, separator=separator)
    return dict(zip(pairs["guide"], pairs["gene"], strict=True))


def _refuse_contradictions(pairs: pd.DataFrame, *, path: Path, separator: str) -> None:
    twice = pairs["guide"][pairs["guide"].duplicated()]
    if len(twice):
        first = twice.iloc[0]
        raise ValueError(
            f"expected one gene for each guide in {path}, got "
            f"{listed(pairs['gene'][pairs['guide'] == first])} for {first!r}; keep one"
        )
    joined = [gene for gene in pairs["gene"] if separator in gene]
    if joined:
        raise ValueError(
            f"expected names of genes in {path}, got {joined[0]!r}, which holds the sign between "
            f"genes; name another sign, such as --separator '|'"
        )


def _tell(
    source: Source,
    readings: Sequence[_Reading],
    cells: NDArray[np.int64],
    *,
    columns: Sequence[str],
    known: Mapping[str, str],
    options: IngestOptions,
) -> None:
    """Say what was read.

    Raises:
        ValueError: Guides have no gene, and their cells are not to be left out.
    """
    assert options.guides is not None
    used = {guide for reading in readings for guide in reading.guides}
    unknown = sorted({guide for reading in readings for guide in reading.unknown})
    without = _cells(cells, [bool(reading.unknown) for reading in readings])
    where = f"obs column {' and '.join(map(repr, columns))} of {source.name}"
    if unknown and not options.drop_unlabelled:
        raise ValueError(
            f"expected a gene in {options.guides} for every guide in {where}, got none for "
            f"{len(unknown)} of {len(used)} ({without} cells), first {unknown[0]!r}"
            f"{aside(unknown[0], known)}; add them to the table, or leave their cells out with "
            f"--drop-unlabelled{_controls(unknown, used, known=known, options=options)}"
        )
    is_control = meant_by(options.words.controls)
    genes = {known.get(guide, guide) for guide in used.difference(unknown)}
    perturbed = {gene for gene in genes if not is_control(gene)}
    note(
        f"guides: {where}, {len(used) - len(unknown)} guides of {len(perturbed)} genes and of "
        f"controls, by {options.guides.name}"
    )
    if unknown:
        note(
            f"guides: {without} cells have no label, as {options.guides.name} has no gene for "
            f"{len(unknown)} guides, {listed(unknown)}"
        )
    several = _cells(cells, [len(reading.genes) > 1 for reading in readings])
    if several and options.multi_guide == "set":
        note(
            f"guides: {several} cells have guides of several genes and are combinations "
            "(--multi-guide drop leaves them out)"
        )


def _cells(cells: NDArray[np.int64], hit: Sequence[bool]) -> int:
    """How many cells have such a reading."""
    return int(cells[np.array(hit, dtype=bool)].sum())


def _controls(
    unknown: Sequence[str],
    used: Collection[str],
    *,
    known: Mapping[str, str],
    options: IngestOptions,
) -> str:
    """The options for guides without a gene that look like controls; "" if none does."""
    likely = alike(unknown)
    if not likely:
        return ""
    is_control = meant_by(options.words.controls)
    found = sorted({one for one in (*known.values(), *used) if is_control(one)})
    remedy = advice((*found, *likely), among={*used, *known.values(), *found})
    return f"; {listed(likely)} may be controls: {remedy}"


def _label(reading: _Reading, *, options: IngestOptions) -> str | None:
    """The condition of a cell as a label; None if it is not known."""
    if reading.unknown or not reading.genes:
        return None
    if len(reading.genes) > 1 and options.multi_guide == "drop":
        return SEVERAL
    return options.words.separator.join(reading.genes)
