"""Facts of a model that was made of a checkpoint of the authors' code."""

import logging
from pathlib import Path

import anndata
import numpy as np
import pytest
import torch

from cluster.predict.actors import predict
from cluster.predict.options import PredictionRequest
from cluster.runs.inspect_run import describe_model
from cluster.runs.plan import contexts_of_conditions, units_of
from cluster.work.evaluate import evaluate
from data_store.store.reader import Store
from scdfm.flow.checkpoint import load_model
from scdfm.model.release import ReleaseField, load_release
from scdfm.screen.conditions import USUAL
from scdfm.splits import SplitConfig, make_split
from tests.cluster.release.made import GENES, TOKENS, imported, listed, step, tokens_of
from tests.scdfm.release_files import mask, write_mask, write_vocabulary


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
    assert (judged.split.kind, judged.split.fold) == ("additive", 1)
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
