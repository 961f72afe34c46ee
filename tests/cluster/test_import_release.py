"""Facts of a model that was made of a checkpoint of the authors' code."""

import json
import logging
from pathlib import Path

import anndata
import numpy as np
import pytest
import torch
from torch import Tensor

from cluster.predict.actors import predict
from cluster.predict.options import PredictionRequest
from cluster.release.import_release import Imported, import_release
from cluster.release.request import ImportRequest
from cluster.runs.inspect_run import describe_model
from cluster.runs.plan import contexts_of_conditions, units_of
from cluster.work.evaluate import evaluate
from data_store.ingest.write import IngestOptions, ingest
from data_store.simulate import SimulateOptions, simulate
from data_store.store.reader import Store
from scdfm.flow.checkpoint import load_model
from scdfm.model.release import ReleaseField, load_release
from scdfm.screen.conditions import USUAL
from scdfm.splits import SplitConfig, make_split
from tests.scdfm.release_files import mask, write_checkpoint, write_mask, write_vocabulary

GENES = 60  # of the tiny store
TOKENS = 4 + GENES


@pytest.fixture(scope="module")
def drug_store(tiny_h5ad: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny screen as if its tokens were drugs."""
    path = tmp_path_factory.mktemp("drugs") / "drugs.zarr"
    ingest(tiny_h5ad, path, options=IngestOptions(context_column="context", perturbation="drug"))
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """gene.pt, drug.pt and mask.pt of the tiny store's genes."""
    folder = tmp_path_factory.mktemp("release")
    write_checkpoint(folder / "gene.pt", tokens=TOKENS)
    write_checkpoint(folder / "drug.pt", tokens=TOKENS, drugs=8)
    write_mask(folder / "mask.pt", tokens=TOKENS)
    return folder


def tokens_of(store: Path) -> list[str]:
    with Store.open(store) as cells:
        return sorted({token for tokens in cells.conditions.values() for token in tokens})


def listed(store: Path) -> tuple[str, ...]:
    """A table's order: eight rows, the control in their middle, one drug that no cell got."""
    return (*tokens_of(store)[::-1][:4], "control", "unused", *tokens_of(store)[::-1][4:])


def imported(files: Path, store: Path, out: Path, **changes: object) -> Imported:
    values = {
        "checkpoint": files / "gene.pt",
        "mask": files / "mask.pt",
        "model": out / "model",
        "store": str(store),
    }
    return import_release(ImportRequest.model_validate(values | changes))


def refused(files: Path, store: Path, out: Path, **changes: object) -> str:
    with pytest.raises((ValueError, OSError)) as caught:
        imported(files, store, out, **changes)
    assert not (out / "model").exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def step(genes: int) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(4)
    return {
        "x_t": torch.randn(3, genes, generator=draw),
        "t": torch.rand(3, generator=draw),
        "control": torch.rand(3, genes, generator=draw),
    }


def test_the_model_is_the_authors_network_by_names(
    files: Path, tiny_store_path: Path, tmp_path: Path
) -> None:
    imported(files, tiny_store_path, tmp_path)
    model = load_model(tmp_path / "model")
    theirs = load_release(
        files / "gene.pt", heads=2, forbidden=mask(TOKENS), gene_perturbations=True
    )
    with Store.open(tiny_store_path) as store:
        token = {gene: 4 + row for row, gene in enumerate(sorted(store.genes))}
    asked = torch.tensor([41, 3, 17, 59, 0])
    genes = torch.tensor([token[model.card.genes[row]] for row in asked])
    for pair in (model.card.perturbations[:2], model.card.perturbations[3:4]):
        tokens = [token[name] for name in pair] + [3] * (2 - len(pair))
        expected = theirs(**step(5), genes=genes, condition=torch.tensor(tokens))
        ids = model.card.vocabulary.ids(pair)
        assert isinstance(model.field, ReleaseField)
        got = model.field(**step(5), genes=asked, condition=torch.tensor(ids))
        torch.testing.assert_close(got, expected)


def test_the_card_says_what_the_checkpoint_and_the_store_say(
    files: Path, tiny_store_path: Path, tmp_path: Path
) -> None:
    result = imported(files, tiny_store_path, tmp_path)
    card = load_model(tmp_path / "model").card
    assert (result.width, result.heads, result.layers, result.genes) == (16, 2, 1, GENES)
    assert card.perturbations == tuple(tokens_of(tiny_store_path))
    assert (card.source, card.genes_per_step, len(card.contexts)) == ("noise", GENES, 2)
    facts = describe_model(tmp_path / "model")
    assert facts["graph_edges"] == result.graph_edges == int((~mask(TOKENS)[4:, 4:]).sum())
    assert facts["split"]["kind"] == "additive"
    assert facts["provenance"]["step"] == 7


def test_evaluation_genes_are_chosen_as_a_run_chooses_them(
    files: Path, tiny_store_path: Path, tmp_path: Path
) -> None:
    from cluster.runs.plan import make_plan
    from cluster.settings.config import RunConfig

    imported(files, tiny_store_path, tmp_path)
    with Store.open(tiny_store_path) as store:
        run = RunConfig(store=str(tiny_store_path), name="a", split=SplitConfig(kind="additive"))
        plan = make_plan(run, store)
        expected = {store.genes[column] for column in plan.genes.evaluation}
    assert set(load_model(tmp_path / "model").card.evaluation_genes) == expected


@pytest.mark.slow
def test_evaluate_scores_it_on_the_test_part(
    files: Path, tiny_store_path: Path, tmp_path: Path
) -> None:
    result = imported(files, tiny_store_path, tmp_path, fold=1)
    judged = evaluate(tmp_path / "model", cells=2)
    assert (judged.split["kind"], judged.split["fold"]) == ("additive", 1)
    assert judged.conditions == result.test
    assert np.isfinite(judged.tables["scDFM"].overall["mse"].value)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_predict_makes_cells_with_it(
    files: Path, drug_store: Path, tmp_path: Path, ray_session: None
) -> None:
    imported(
        files,
        drug_store,
        tmp_path,
        checkpoint=files / "drug.pt",
        perturbations=listed(drug_store),
        kind="additive",
    )
    drug = tokens_of(drug_store)[0]
    asked = PredictionRequest(
        model=tmp_path / "model",
        store=str(drug_store),
        conditions=(f"{drug}+unused",),
        cells=3,
        out=tmp_path / "cells.h5ad",
    )
    cells = anndata.read_h5ad(predict(asked))
    assert cells.shape == (2 * 3, GENES)
    assert np.isfinite(cells.X.toarray()).all()


def test_a_drug_is_the_row_that_the_list_gives_it(
    files: Path, drug_store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    order = listed(drug_store)
    imported(
        files,
        drug_store,
        tmp_path,
        checkpoint=files / "drug.pt",
        perturbations=order,
        kind="additive",
    )
    assert any("names 8 rows and the drug table has 11" in line for line in caplog.messages)
    table = torch.load(files / "drug.pt", weights_only=True)["model_state_dict"]
    table = table["perturbation_embedder.embedding.weight"]
    model = load_model(tmp_path / "model")
    assert model.field.drugs is not None
    ours, names = model.field.drugs.weight, model.card.vocabulary
    assert torch.equal(ours[names.null], table[order.index("control")])
    for drug in names.perturbations:
        assert torch.equal(ours[names.ids((drug,))[0]], table[order.index(drug)])


def test_without_a_mask_the_graph_is_rebuilt_outside_the_test_part_and_it_is_said(
    files: Path, tiny_store_path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    result = imported(files, tiny_store_path, tmp_path, mask=None, k=4)
    model = load_model(tmp_path / "model")
    with Store.open(tiny_store_path) as store:
        test = units_of(model.split, store, "test")
        known = sum(len(unit) for k, unit in enumerate(store.units) if k not in test)
        logged = np.log1p(
            np.concatenate(
                [
                    store.expression(unit.start, unit.stop)
                    for k, unit in enumerate(store.units)
                    if k not in test
                ]
            ).astype(float)
        )
        column = {gene: place for place, gene in enumerate(store.genes)}
    [line] = [line for line in caplog.messages if "rebuilt" in line]
    assert f"from the {known} cells outside the test part of split additive, fold 0" in line
    assert "k 4" in line
    assert any("no --vocabulary, no --mask: the 60 genes" in line for line in caplog.messages)
    # The strongest partner of each gene, when it is a positive one, is always a neighbour.
    varying = [gene for gene in model.card.genes if np.ptp(logged[:, column[gene]])]
    r = np.corrcoef(logged[:, [column[gene] for gene in varying]].T)
    np.fill_diagonal(r, 0)
    checked = 0
    for row, gene in enumerate(varying):
        best = int(np.abs(r[row]).argmax())
        if r[row, best] > 0:
            place = model.card.genes.index(gene)
            edges = model.graph.indices[model.graph.indptr[place] : model.graph.indptr[place + 1]]
            assert model.card.genes.index(varying[best]) in edges
            checked += 1
    assert checked > 10
    assert result.graph_edges < GENES * (2 * 4 + 1)


def test_a_saved_split_is_the_models(files: Path, tiny_store_path: Path, tmp_path: Path) -> None:
    with Store.open(tiny_store_path) as store:
        double = next(name for name, tokens in store.conditions.items() if len(tokens) == 2)
        split = make_split(
            SplitConfig(kind="list", test=(double,)),
            conditions=store.conditions,
            words=store.words,
            contexts=contexts_of_conditions(store),
        )
    split.save(tmp_path / "split.json")
    imported(files, tiny_store_path, tmp_path, split=tmp_path / "split.json")
    assert load_model(tmp_path / "model").split == split


def test_a_vocabulary_chooses_among_the_stores_genes(
    files: Path, tiny_store_path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with Store.open(tiny_store_path) as store:
        kept = sorted(store.genes)[::2]
        conditions = store.conditions
    write_vocabulary(tmp_path / "v.json", kept)
    write_mask(tmp_path / "mask.pt", tokens=4 + len(kept))
    reachable = [token for token in tokens_of(tiny_store_path) if token in kept]
    assert 0 < len(reachable) < len(tokens_of(tiny_store_path))
    with Store.open(tiny_store_path) as store:
        test = [name for name in conditions if USUAL.parse(name) == (reachable[0],)]
        lost = [name for name in conditions if not set(USUAL.parse(name)) & set(reachable)][:1]
        make_split(
            SplitConfig(kind="list", test=(*test, *lost)),
            conditions=conditions,
            words=store.words,
            contexts=contexts_of_conditions(store),
        ).save(tmp_path / "split.json")
    imported(
        files,
        tiny_store_path,
        tmp_path,
        mask=tmp_path / "mask.pt",
        vocabulary=tmp_path / "v.json",
        split=tmp_path / "split.json",
    )
    model = load_model(tmp_path / "model")
    assert model.card.genes == tuple(kept)
    assert model.card.perturbations == tuple(reachable)
    assert model.split.test == tuple(test)
    gone = len(tokens_of(tiny_store_path)) - len(reachable)
    assert any(
        f"{gone} of the store's" in line and "cannot be predicted" in line
        for line in caplog.messages
    )
    assert any("1 of the 2 test conditions cannot be predicted" in line for line in caplog.messages)
    with pytest.raises(ValueError, match=r"the model knows \d+ genes"):
        model.card.vocabulary.ids(USUAL.parse(lost[0]))


def test_a_split_that_leaves_nothing_to_test_is_refused(
    files: Path, tiny_store_path: Path, tmp_path: Path
) -> None:
    with Store.open(tiny_store_path) as store:
        kept = [gene for gene in sorted(store.genes) if gene not in tokens_of(tiny_store_path)[1:]]
    write_vocabulary(tmp_path / "v.json", kept)
    said = refused(files, tiny_store_path, tmp_path, mask=None, vocabulary=tmp_path / "v.json")
    assert "test conditions of split additive, fold 0 can be predicted by this model" in said


def test_what_stands_there_is_kept_unless_told_otherwise(
    files: Path, tiny_store_path: Path, tmp_path: Path
) -> None:
    imported(files, tiny_store_path, tmp_path)
    before = (tmp_path / "model" / "model.json").read_text()
    with pytest.raises(FileExistsError, match="exists already; choose another name"):
        imported(files, tiny_store_path, tmp_path, fold=2)
    assert (tmp_path / "model" / "model.json").read_text() == before
    imported(files, tiny_store_path, tmp_path, fold=2, overwrite=True)
    assert load_model(tmp_path / "model").split.fold == 2
    with pytest.raises(FileExistsError, match=r"expected a model at .* to overwrite"):
        imported(files, tiny_store_path, tmp_path, model=tiny_store_path, overwrite=True)
    with pytest.raises(FileExistsError, match=r"expected a model at .* to overwrite"):
        imported(files, tiny_store_path, tmp_path, model=files / "mask.pt", overwrite=True)
    with pytest.raises(NotADirectoryError, match="expected a directory"):
        imported(files, tiny_store_path, tmp_path, model=files / "mask.pt" / "model")
    assert {path.name for path in tmp_path.iterdir()} == {"model"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"perturbations": ("control", "a")}, "holds gene perturbations; leave it out"),
        ({"heads": 4}, "16 wide and has 2 heads of 8 features, got heads=4"),
        ({"k": 3}, "--k and --negative-edges belong to a graph that is rebuilt"),
        ({"negative_edges": True}, "--k and --negative-edges belong to a graph"),
        ({"split": "s.json", "fold": 1}, "either --split or --kind with --fold"),
        ({"kind": "combosciplex", "fold": 1}, "--fold belongs to --kind additive"),
        ({"kind": "combosciplex"}, "data without .* and give it as --split FILE.json"),
        ({"split": "none.json"}, "none.json"),
        ({"vocabulary": "none.json"}, "there is no vocabulary none.json"),
        ({"mask": "none.pt"}, "there is no mask none.pt"),
        ({"checkpoint": "none.pt"}, "there is no checkpoint of weights none.pt"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_does_not_fit_is_refused_and_nothing_written(
    files: Path, tiny_store_path: Path, tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises((ValueError, OSError), match=said):
        imported(files, tiny_store_path, tmp_path, **changes)
    assert list(tmp_path.iterdir()) == []


def test_a_mask_of_another_size_is_refused_with_both_numbers(
    files: Path, tiny_store_path: Path, tmp_path: Path
) -> None:
    path = write_mask(tmp_path / "mask.pt", tokens=50)
    said = refused(files, tiny_store_path, tmp_path, mask=path)
    assert "60 genes, which make 64 tokens" in said
    assert "the mask has 50; name the genes of the mask with --vocabulary" in said


def test_fewer_rows_than_the_store_has_genes_are_refused_with_both_numbers(
    tiny_store_path: Path, tmp_path: Path
) -> None:
    write_checkpoint(tmp_path / "gene.pt", tokens=20)
    said = refused(tmp_path, tiny_store_path, tmp_path, mask=None)
    assert "64 tokens" in said
    assert "the checkpoint's gene table has 23 rows; name the genes" in said


def test_genes_that_the_store_lacks_are_named(
    files: Path, tiny_store_path: Path, tmp_path: Path
) -> None:
    path = write_vocabulary(tmp_path / "v.json", ["KLF1", *tokens_of(tiny_store_path)])
    said = refused(files, tiny_store_path, tmp_path, vocabulary=path)
    assert "1 of the 7 genes in" in said
    assert "first 'KLF1'" in said


def test_a_drug_store_needs_the_order_of_the_drugs(
    files: Path, drug_store: Path, tmp_path: Path
) -> None:
    assert "--perturbations must name the rows" in refused(files, drug_store, tmp_path)
    said = refused(files, drug_store, tmp_path, perturbations=listed(drug_store), kind="additive")
    assert "lacks 2 tensors" in said
    said = refused(files, drug_store, tmp_path, perturbations=("control", "x", "y"))
    assert "lacks 2 tensors" in said


def test_a_list_without_any_of_the_stores_drugs_is_refused(
    files: Path, drug_store: Path, tmp_path: Path
) -> None:
    said = refused(
        files,
        drug_store,
        tmp_path,
        checkpoint=files / "drug.pt",
        perturbations=("control", "x", "y"),
    )
    assert "none of the 6 perturbations" in said


def test_a_list_longer_than_the_table_is_refused_with_both_numbers(
    files: Path, drug_store: Path, tmp_path: Path
) -> None:
    said = refused(
        files,
        drug_store,
        tmp_path,
        checkpoint=files / "drug.pt",
        perturbations=(*listed(drug_store), "a", "b", "c", "d"),
        kind="additive",
    )
    assert "a drug table of 11 rows, and 12 names need 12" in said


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
