"""Facts of the table of means and intervals that is kept beside predicted cells."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.stats import norm

import scdfm
from cluster.door.controls import MemoryControls
from cluster.predict.intervals import INTERVALS, Intervals, Trust, intervals_of
from cluster.predict.request import Unit
from cluster.work.errors import measured_noise
from cluster.work.sampler import Generated
from data_store.store.reader import Store
from data_store.stream import Cells
from scdfm.flow.checkpoint import ModelCard
from scdfm.flow.sampling import SamplingConfig
from scdfm.model.config import ModelConfig
from scdfm.splits.distance import NONE

GENES = ("g0", "g1", "g2")


@pytest.fixture
def cells() -> anndata.AnnData:
    """Two units, whose mean of gene k is k and 10 + k."""
    units = pd.DataFrame({"condition": ["A", "B"], "context": ["x", "x"]})
    mean = np.array([[0, 1, 2], [10, 11, 12]], dtype=np.float32)
    table = Intervals(units, GENES, mean, mean - 1, mean + 1, level=0.9, note="")
    found = anndata.AnnData(
        np.zeros((2, 3), np.float32),
        obs=units.astype("category").rename(index=str),
        var=pd.DataFrame(index=[*GENES]),
    )
    found.uns["scdfm"] = {INTERVALS: table.plain()}
    return found


@pytest.mark.parametrize(
    "genes", [["g0", "g1", "g2"], ["g2", "g1", "g0"], ["g2", "g1"], ["g1"]], ids="-".join
)
@pytest.mark.filterwarnings("ignore:Writing zarr v2")
@pytest.mark.parametrize("ending", [None, ".h5ad", ".zarr"])
def test_genes_keep_their_rows_where_cells_lose_some_or_are_sorted(
    cells: anndata.AnnData, genes: list[str], ending: str | None, tmp_path: Path
) -> None:
    some: anndata.AnnData | Path = cells[:, genes].copy()
    if ending is not None:
        some = tmp_path / f"some{ending}"
        kept = cells[:, genes].copy()
        (kept.write_h5ad if ending == ".h5ad" else kept.write_zarr)(some)
    table = scdfm.intervals(some)
    assert [*table["gene"]] == genes * 2
    wanted = [10 * unit + int(gene[1]) for unit in (0, 1) for gene in genes]
    for name, less in (("mean", 0), ("low", -1), ("high", 1)):
        np.testing.assert_array_equal(table[name], np.array(wanted) + less)


def test_a_gene_that_was_not_predicted_has_no_row(cells: anndata.AnnData) -> None:
    cells.var_names = ["g0", "other", "g2"]
    assert [*scdfm.intervals(cells)["mean"]] == [0, 2, 10, 12]
    cells.var_names = ["a", "b", "c"]
    with pytest.raises(ValueError, match=r"got none of them; take the table before renaming genes"):
        scdfm.intervals(cells)


def test_a_table_without_names_is_of_all_genes_or_refused(
    cells: anndata.AnnData, tmp_path: Path
) -> None:
    del cells.uns["scdfm"][INTERVALS]["genes"]
    assert [*scdfm.intervals(cells)["mean"]] == [0, 1, 2, 10, 11, 12]
    fewer = cells[:, ["g2", "g1"]].copy()
    fewer.write_h5ad(tmp_path / "fewer.h5ad")
    for one in (fewer, tmp_path / "fewer.h5ad"):
        with pytest.raises(ValueError, match=r"^expected the 3 genes .*, got 2; take the table"):
            scdfm.intervals(one)


def shifted(cells: int, *, members: int = 1, controls: int = 40) -> tuple[Intervals, np.ndarray]:
    """Intervals of cells that are a control and a half each; and the controls."""
    values = np.random.default_rng(0).gamma(4, [0.3, 0.5, 0.9], (controls, 3)).astype(np.float32)
    place = np.arange(controls)
    known = MemoryControls(
        sp.csr_matrix(values), place, np.full(controls, "x"), place.astype(object), "counts"
    )
    card = ModelCard(
        model=ModelConfig(),
        source="control",
        sampling=SamplingConfig(),
        genes=GENES,
        perturbations=("A",),
        perturbation="gene",
        contexts=("x",),
        evaluation_genes=GENES,
        genes_per_step=3,
        seed=0,
        provenance={},
    )
    rows = place.repeat(-(-cells // controls))[:cells]
    found = intervals_of(
        [Unit("x", ("A",), "A", cells, NONE)],
        lambda number: [Generated(cells=1.5 * values[rows], start=values[rows])],
        controls=known,
        trust=Trust(card, weights=(0.0,) * members),
        genes=np.arange(3),
        level=0.9,
    )
    return found, values


@pytest.mark.parametrize("members", [1, 3])
def test_a_single_cell_is_as_noisy_as_a_control(members: int) -> None:
    found, values = shifted(1, members=members)
    half = norm.ppf(0.95) * np.sqrt(values.var(axis=0, ddof=1))
    np.testing.assert_allclose((found.high - found.mean)[0], half, rtol=1e-5)
    assert (found.low < found.mean).all()
    assert "; noise of a single cell taken to be that of a control" in found.note
    several, _ = shifted(9)
    assert "single" not in several.note
    assert (several.high - several.mean < found.high - found.mean).all()


def test_a_unit_of_one_measured_cell_is_as_noisy_as_a_control(tiny_store_path: Path) -> None:
    with Store.open(tiny_store_path) as store:
        place, unit = next((k, one) for k, one in enumerate(store.units) if not one.is_control)
        columns, control = np.arange(5), store.controls[unit.context]
        lone, whole = Cells(place, unit.start, unit.start + 1), Cells(place, unit.start, unit.stop)
        noise = measured_noise(store, [lone, whole], columns=columns)
        some = [
            store.expression(one.start, min(one.stop, one.start + 256), genes=columns)
            for one in (control, unit)
        ]
    of_control, own = (one.var(axis=0, ddof=1) for one in some)
    np.testing.assert_allclose(noise, [of_control, own / len(unit)], rtol=1e-4)
    assert noise[0].any()


def test_a_single_cell_of_a_single_control_has_no_interval() -> None:
    found, _ = shifted(1, controls=1)
    assert np.isfinite(found.mean).all()
    assert np.isnan(found.low).all()
    assert np.isnan(found.high).all()
    assert found.note.endswith("; undefined where a context has one control")


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        (1, "cells of 1 of 3 members, so no spread between members"),
        (2, "spread of 2 of 3 members"),
        (3, "spread of 3 members"),
        (9, "spread of 3 members"),
    ],
)
def test_a_note_counts_the_members_that_made_cells(cells: int, told: str) -> None:
    assert told in shifted(cells, members=3)[0].note
