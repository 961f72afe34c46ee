"""The summary of a store counts what the cells of its source say."""

from pathlib import Path

import anndata
import numpy as np
import pytest

from data_store.ingest.write import IngestOptions, ingest
from data_store.store.reader import Store
from data_store.store.summary import summarise
from tests.data_store.cells import adata, written


def test_quality_figures_are_those_of_the_cells(
    tiny_store_path: Path, tiny_adata: anndata.AnnData
) -> None:
    with Store.open(tiny_store_path) as store:
        facts = summarise(store)
    cells, obs = tiny_adata.X, tiny_adata.obs
    assert (facts["cells"], facts["genes"]) == cells.shape
    assert facts["zeros"] == pytest.approx(1 - cells.nnz / np.prod(cells.shape))
    assert facts["genes_per_cell"] == pytest.approx(cells.nnz / cells.shape[0])
    assert facts["library_size"]["median"] == pytest.approx(obs["ncounts"].median())
    sizes = (
        obs[obs["condition"] != "control"].groupby(["context", "condition"], observed=True).size()
    )
    sizes = sizes[sizes > 0]
    spread = facts["cells_per_condition"]
    found = [spread[name] for name in ("least", "median", "most")]
    assert found == [sizes.min(), sizes.median(), sizes.max()]
    assert [unit["cells"] for unit in facts["smallest"]] == sorted(sizes)[:5]
    for line, context in facts["contexts"].items():
        assert context["conditions"] == len(sizes[line])
        assert context["cells_per_condition"]["least"] == sizes[line].min()
        controls = (obs["context"] == line) & (obs["condition"] == "control")
        assert context["controls"] == controls.sum()


def test_a_context_of_controls_alone_has_no_sizes(tmp_path: Path) -> None:
    path = written(adata(line=["x", "y", "y", "y", "y", "y"]), tmp_path)
    ingest(path, tmp_path / "store", options=IngestOptions(context_column="line"))
    with Store.open(tmp_path / "store") as store:
        contexts = summarise(store)["contexts"]
    assert contexts["x"]["cells_per_condition"] is None
    assert contexts["y"]["cells_per_condition"]["most"] == 2
