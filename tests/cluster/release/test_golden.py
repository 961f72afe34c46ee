"""An imported model gives the authors' values."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cluster.release.import_release import import_release
from cluster.release.request import ImportRequest
from cluster.work.evaluate import evaluate
from data_store.ingest.write import IngestOptions, ingest
from data_store.simulate import SimulateOptions, simulate
from data_store.store.reader import Store
from scdfm.flow.checkpoint import load_model
from scdfm.model.release import ReleaseField
from tests.cluster.release.made import tokens_of


@pytest.fixture(params=["gene", "drug"])
def golden(
    request: pytest.FixtureRequest, real_data: Path, tmp_path: Path
) -> tuple[str, dict[str, Tensor], Path]:
    """The authors' values, and a model imported beside a store with as many genes."""
    kind = str(request.param)
    folder = real_data / "release_golden" / kind
    with np.load(folder / "golden.npz") as arrays:
        values = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    genes = int(values["config"][0]) - 4
    options = SimulateOptions(cells=300, genes=genes, singles=4, doubles=4, seed=6)
    simulate(options).write_h5ad(tmp_path / "cells.h5ad")
    store = tmp_path / "store.zarr"
    ingest(tmp_path / "cells.h5ad", store, options=IngestOptions(perturbation=kind))  # type: ignore[arg-type]
    torch.save(values["mask"], tmp_path / "mask.pt")
    others = [f"drug{row:02d}" for row in range(genes + 4)]
    order = [*tokens_of(store), *others][: genes + 4]
    order.insert(3, "control")
    import_release(
        ImportRequest(
            checkpoint=folder / "checkpoint.pt",
            model=tmp_path / "model",
            store=str(store),
            mask=tmp_path / "mask.pt",
            perturbations=tuple(order[: genes + 4]) if kind == "drug" else None,
            kind="additive",
        )
    )
    (tmp_path / "order.json").write_text(json.dumps(order))
    return kind, values, tmp_path


@pytest.mark.parametrize("condition", ["double", "single"])
def test_an_imported_network_has_the_authors_velocities(
    golden: tuple[str, dict[str, Tensor], Path], condition: str
) -> None:
    kind, values, folder = golden
    model = load_model(folder / "model")
    names = model.card.vocabulary
    with Store.open(folder / "store.zarr") as store:
        in_order = [None, None, None, None, *sorted(store.genes)]
    listed = json.loads((folder / "order.json").read_text())
    row = {gene: place for place, gene in enumerate(model.card.genes)}
    tokens = values[condition].tolist()
    if kind == "drug":
        ids = names.ids(tuple(listed[token] for token in tokens if token != 3))
    else:
        ids = [names.null if token == 3 else row[str(in_order[token])] for token in tokens]
    assert isinstance(model.field, ReleaseField)
    velocity = model.field.double()(
        values["x_t"],
        values["t"],
        control=values["control"],
        genes=torch.tensor([row[str(in_order[token])] for token in values["gene_ids"].tolist()]),
        condition=torch.tensor(ids),
    )
    expected = values[f"velocity_{condition}"]
    assert float((velocity.detach() - expected).norm() / expected.norm()) < 1e-5


@pytest.mark.slow
def test_an_imported_golden_model_is_evaluated(
    golden: tuple[str, dict[str, Tensor], Path],
) -> None:
    judged = evaluate(golden[2] / "model", cells=2)
    assert np.isfinite(judged.tables["scDFM"].overall["mse"].value)
