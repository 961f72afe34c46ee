"""What an ingest of a small screen says, and the store that it writes."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anndata
import pytest

from data_store.ingest.write import IngestOptions, ingest
from data_store.store.reader import Store
from tests.data_store.cells import adata


def said(
    cells: anndata.AnnData | Sequence[str], store: Path, **options: Any
) -> tuple[Store, list[str]]:
    """The open store of these cells (or labels), and the lines of its ingest."""
    given = cells if isinstance(cells, anndata.AnnData) else adata(cells)
    told = IngestOptions.model_validate(options)
    manifest = ingest(given, store, options=told)
    return Store.open(store), list(manifest.detections)


def refused(cells: anndata.AnnData | Sequence[str], store: Path, **options: Any) -> str:
    """The one line that refuses these cells; nothing is left of a store."""
    with pytest.raises(ValueError, match="expected") as caught:
        said(cells, store, **options)
    line = str(caught.value)
    assert "\n" not in line
    assert not store.exists()
    return line


def advised(line: str) -> dict[str, Any]:
    """The options in a line, as the user would give them."""
    found: dict[str, Any] = {}
    for name, quoted, plain in re.findall(r"--([a-z-]+) (?:'([^']+)'|([^\s;,]+))", line):
        field, value = name.replace("-", "_"), quoted or plain
        if field == "control":
            found[field] = (*found.get(field, ()), value)
        else:
            found.setdefault(field, value)
    return found
