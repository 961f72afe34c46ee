"""CellRanger's calls of guides, which lie beside its matrix: a table of cells that nobody names."""

from pathlib import Path

from data_store.sources.notes import note
from data_store.sources.source import Source

_NAME = "protospacer_calls_per_cell.csv"
_FOLDER = "crispr_analysis"


def calls_of(source: Source) -> Path | None:
    """The guides that CellRanger called in a matrix's cells; None if there are none.

    A file that says something about its cells itself is left alone.
    """
    if source.columns:
        return None
    folder = source.path.parent
    places = (folder / inside / name for inside in ("", _FOLDER) for name in (_NAME, f"{_NAME}.gz"))
    found = next((place for place in places if place.is_file()), None)
    if found is not None:
        note(f"cells: {found} tells the guides of {source.name}")
    return found
