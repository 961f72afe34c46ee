"""A prediction and its real partner are a pair that other tools take as it is."""

import csv
import shutil
import subprocess
from pathlib import Path

import anndata
import numpy as np
import pytest
import scanpy as sc

import scdfm
from cli.main import run
from cluster.settings.config import make_run
from data_store.ingest.write import IngestOptions, ingest
from data_store.simulate import SimulateOptions, simulate
from data_store.store.reader import Store
from tests.cli.conftest import Call
from tests.cluster.small import settings

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that writes its labels in its own way, and a model of it."""
    from cluster.train import train_here

    folder = tmp_path_factory.mktemp("pair")
    screen = simulate(
        SimulateOptions(cells=600, genes=60, singles=6, doubles=5, contexts=2, seed=5)
    )
    labels = screen.obs["condition"].astype(str)
    # Tokens in falling order, joined by another sign; and a control word of its own.
    screen.obs["condition"] = [
        "PBS" if label == "control" else " & ".join(sorted(label.split("+"), reverse=True))
        for label in labels
    ]
    screen.write_h5ad(folder / "screen.h5ad")
    options = IngestOptions(
        context_column="context", control=("PBS",), separator="&", condition_column="condition"
    )
    ingest(folder / "screen.h5ad", folder / "store", options=options)
    train_here(make_run(settings(folder / "store", folder), where="test"))
    return folder


@pytest.fixture(scope="module")
def measured(folder: Path) -> list[str]:
    """Labels of three conditions that were measured in both contexts, a double among them."""
    with Store.open(folder / "store") as store:
        there = [
            {unit.label for unit in store.units if unit.context == context and unit.tokens}
            for context in store.contexts
        ]
        both = sorted(set.intersection(*there), key=lambda label: ("&" in label, label))
    return [both[0], both[1], both[-1]]


@pytest.fixture(scope="module")
def pair(folder: Path, measured: list[str], ray_session: None) -> tuple[Path, Path]:
    """Predicted and real cells, each made by one command; do not change them."""
    predicted, real = folder / "predicted.h5ad", folder / "real.h5ad"
    store = str(folder / "store")
    asked = ["--conditions", ",".join(measured), "--cells", "20", "--with-controls"]
    model = str(folder / "runs" / "tiny")
    assert run(["predict", model, "--store", store, *asked, "--out", str(predicted)]) == 0
    assert run(["export", store, str(real), "--normalised", "--genes-of", str(predicted)]) == 0
    return predicted, real


def test_the_pair_has_the_same_labels_genes_and_scale(
    pair: tuple[Path, Path], measured: list[str], folder: Path
) -> None:
    predicted, real = map(anndata.read_h5ad, pair)
    assert "&" in measured[-1]
    for cells in (predicted, real):
        assert sorted(cells.obs["condition"].cat.categories) == sorted([*measured, "PBS"])
        assert set(cells.obs["condition"]) == {*measured, "PBS"}
        assert cells.uns["scdfm"]["scale"] == "log1p(counts / library size * 10000)"
        assert cells.uns["scdfm"]["control"] == "PBS"
        assert set(cells.obs["condition"][cells.obs["control"]]) == {"PBS"}
    assert list(predicted.var_names) == list(real.var_names)
    assert set(predicted.obs["context"]) == set(real.obs["context"])
    with Store.open(folder / "store") as store:
        genes = np.array([store.genes.index(gene) for gene in real.var_names])
        for unit in store.units:
            rows = (real.obs["condition"] == store.words.spell(unit.tokens)) & (
                real.obs["context"] == unit.context
            )
            if rows.any():
                expected = store.expression(unit.start, unit.stop, genes=genes)
                np.testing.assert_array_equal(real.X.toarray()[rows], expected)
    # The controls of the pair are the same cells.
    beside = predicted[predicted.obs["control"].to_numpy()]
    own = real[beside.obs["source_cell"].to_numpy()]
    np.testing.assert_array_equal(beside.X.toarray(), own.X.toarray())


def test_scanpy_ranks_the_genes_of_both(pair: tuple[Path, Path], measured: list[str]) -> None:
    for path in pair:
        cells = anndata.read_h5ad(path)
        sc.tl.rank_genes_groups(cells, groupby="condition", reference="PBS")
        assert set(cells.uns["rank_genes_groups"]["names"].dtype.names) == set(measured)


@pytest.mark.skipif(shutil.which("cell-eval") is None, reason="needs the command cell-eval")
def test_cell_eval_takes_the_pair_as_it_is_and_gives_our_numbers(
    pair: tuple[Path, Path], measured: list[str], tmp_path: Path
) -> None:
    predicted, real = pair
    command = [
        "cell-eval", "run", "--adata-pred", str(predicted), "--adata-real", str(real),
        "--pert-col", "condition", "--control-pert", "PBS", "--outdir", str(tmp_path / "scores"),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "scores" / "results.csv").open() as file:
        rows = {row["perturbation"]: row for row in csv.DictReader(file)}
    assert set(rows) >= set(measured)
    assert all(np.isfinite(float(rows[label]["mse"])) for label in measured)
    # cell-eval knows no contexts, so ours are left aside, too.
    ours = scdfm.score(
        anndata.read_h5ad(predicted), real=anndata.read_h5ad(real), control="PBS", separator="&"
    )
    shared = [name for name in ours if name in rows[measured[0]]]
    assert len(shared) == 15
    for name in shared:
        theirs = [float(rows[label][name] or "nan") for label in ours.index]
        # The cells are float32, and so are cell-eval's means of them.
        np.testing.assert_allclose(ours[name], theirs, rtol=2e-4, err_msg=name)


def test_a_condition_without_real_cells_is_named_and_left_out(
    scdfm: Call, folder: Path, measured: list[str], tmp_path: Path, ray_session: None
) -> None:
    with Store.open(folder / "store") as store:
        singles = sorted(tokens[0] for tokens in store.conditions.values() if len(tokens) == 1)
        there = set(store.conditions.values())
    new = next((a, b) for a in singles for b in singles if a < b and (a, b) not in there)
    out, real = tmp_path / "new.zarr", tmp_path / "real.h5ad"
    called = scdfm(
        "predict", folder / "runs" / "tiny", "--store", folder / "store", "--cells", 4,
        "--conditions", f"{new[1]}&{new[0]},{measured[0]}", "--out", out, "--contexts", "line2",
    )  # fmt: skip
    assert called.status == 0, called.err
    label = "&".join(new)
    assert set(anndata.read_zarr(out).obs["condition"]) == {label, measured[0]}
    called = scdfm("export", folder / "store", real, "--normalised", "--genes-of", out)
    assert called.status == 0, called.err
    assert f"1 condition of the prediction without real cells in {folder / 'store'}" in called.err
    assert label in called.err
    cells = anndata.read_h5ad(real)
    assert set(cells.obs["condition"]) == {measured[0], "PBS"}
    assert set(cells.obs["context"]) == {"line2"}


def test_an_export_without_options_is_the_sources_and_says_its_scale(
    scdfm: Call, folder: Path, measured: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "back.h5ad"
    wanted = tmp_path / "wanted.txt"
    wanted.write_text("\n".join([measured[-1], "PBS"]))
    assert scdfm("export", folder / "store", out, "--conditions", wanted).status == 0
    found, source = anndata.read_h5ad(out), anndata.read_h5ad(folder / "screen.h5ad")
    same = source[found.obs_names]
    assert (found.X != same.X).nnz == 0
    assert list(found.var_names) == list(source.var_names)
    assert list(found.obs["condition"]) == list(same.obs["condition"])
    assert set(found.obs["condition"].cat.categories) == {measured[-1], "PBS"}
    assert found.uns["scdfm"]["scale"] == "counts"


def test_genes_of_something_need_normalised_values(
    scdfm: Call, folder: Path, tmp_path: Path
) -> None:
    arguments = ("export", folder / "store", tmp_path / "x.h5ad", "--genes-of")
    called = scdfm(*arguments, folder / "runs" / "tiny")
    assert called.status == 2
    assert "add --normalised" in called.error
    called = scdfm(*arguments, folder / "runs" / "tiny", "--normalised")
    assert called.status == 0, called.err
    assert anndata.read_h5ad(tmp_path / "x.h5ad").n_vars == 24
    assert scdfm(*arguments, folder / "store", "--normalised").status == 2
