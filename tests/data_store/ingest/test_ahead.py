"""Rows of obs are read ahead, and are the rows all the same."""

from pathlib import Path

import numpy as np
import pytest

from data_store.ingest import ahead
from data_store.ingest.ahead import ObsAhead
from data_store.sources.formats.known import open_source
from tests.data_store.cells import adata, written


@pytest.mark.parametrize("held", [1, 7, 16_384])
@pytest.mark.parametrize("step", [1, 5, 1_000])
def test_obs_read_ahead_is_obs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int, step: int
) -> None:
    monkeypatch.setattr(ahead, "ROWS", held)
    source = open_source(written(adata(), tmp_path, "cells.h5ad"))
    columns = list(source.columns.values())
    whole = source.obs_block(columns, start=0, stop=source.cells)
    reader = ObsAhead(source, columns)
    for start in range(0, source.cells, step):
        stop = min(start + step, source.cells)
        found = reader.rows(start, stop)
        assert found.keys() == whole.keys()
        assert all(np.array_equal(found[name], part[start:stop]) for name, part in whole.items())
    source.close()
