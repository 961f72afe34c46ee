"""CellRanger's calls of guides, which lie beside its matrix: a table of cells that nobody names."""

from pathlib import Path

from data_store.sources.notes import note
from data_store.sources.source import Source

_NAME = "protospacer_calls_per_cell.csv"
_REFERENCE = "feature_reference.csv"
_FOLDER = "crispr_analysis"


def calls_of(source: Source) -> Path | None:
    """The guides that CellRanger called in a matrix's cells; None if there are none.

    A file that says something about its cells itself is left alone. Names may have the prefix of
    the matrix, as in GSM1_protospacer_calls_per_cell.csv.gz.
    """
    if source.columns:
        return None
    near = source.path.parent
    found = _named(_NAME, folders=(near, near / _FOLDER), beside=source.name)
    if not found:
        return None
    references = _named(_REFERENCE, folders=(near / _FOLDER, near), beside=source.name)
    genes = f"; {references[0]} may tell their genes (--guides)" if references else ""
    note(f"cells: {found[0]} tells the guides of {source.name}{genes}")
    return found[0]


def _named(name: str, *, folders: tuple[Path, ...], beside: str) -> list[Path]:
    """Files of this name, plain or gzip, whose prefix the matrix has, too; longest first."""
    found = {
        path: path.name.partition(name)[0]
        for folder in folders
        for ending in ("", ".gz")
        for path in sorted(folder.glob(f"*{name}{ending}"))
    }
    fitting = [path for path, prefix in found.items() if beside.startswith(prefix)]
    return sorted(fitting, key=lambda path: -len(found[path]))
