"""What a source is known by."""

from pathlib import Path

import numpy as np
import pytest

from data_store.ingest.write import ingest
from data_store.sources.source import fingerprint
from tests.data_store.cells import adata, written


def test_one_byte_changed_anywhere_makes_another_source(tmp_path: Path) -> None:
    path = tmp_path / "cells"
    content = bytearray(np.random.default_rng(0).bytes(6_000_000))
    path.write_bytes(content)
    seen = {fingerprint(path)}
    for place in np.random.default_rng(1).integers(0, len(content), 20).tolist():
        content[place] ^= 1
        path.write_bytes(content)
        seen.add(fingerprint(path))
    assert len(seen) == 21


def test_an_edited_zarr_of_the_same_size_is_another_source(tmp_path: Path) -> None:
    (tmp_path / "cells.zarr").mkdir()
    file = tmp_path / "cells.zarr" / "0"
    file.write_text("a" * 300_000)
    before = fingerprint(file.parent)
    file.write_text("a" * 299_999 + "b")
    assert fingerprint(file.parent) != before


def test_an_edited_source_is_not_taken_for_the_one_before(tmp_path: Path) -> None:
    path, store = written(adata(), tmp_path), tmp_path / "store"
    ingest(path, store)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes().replace(b"A+B", b"B+A"))
    assert path.stat().st_size == size
    with pytest.raises(FileExistsError, match="--overwrite"):
        ingest(path, store)
