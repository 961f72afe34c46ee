"""Facts of a run that starts from another model's weights."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from cluster.runs.begin import OpenRun
from cluster.runs.directory import RunDirectory
from cluster.runs.fine_tune import begin_from, require_source
from cluster.settings.config import RunConfig, make_run
from cluster.train import train_here
from cluster.work.evaluate import evaluate
from data_store.store.reader import Store
from scdfm.flow.checkpoint import Model, load_model
from scdfm.flow.training import Round
from scdfm.screen import sealed
from scdfm.screen.atomic import sha256
from tests.cluster.small import settings

pytestmark = pytest.mark.slow


def fine_tuned(store: Path, output: Path, start: Path, **changes: Any) -> RunConfig:
    values = settings(store, output, name="tuned", init_from=str(start), seed=8)
    return make_run({**values, **changes}, where="test")


def at_the_start(outcome: Round) -> bool:
    return outcome.step > 0


def velocity(model: Model, genes: list[str]) -> torch.Tensor:
    """Of three cells, on the genes named, for a single and a double."""
    draw = torch.Generator().manual_seed(0)
    x, control = torch.rand(2, 3, len(genes), generator=draw)
    row = {gene: k for k, gene in enumerate(model.card.genes)}
    one, two, *_ = model.card.perturbations
    with torch.no_grad():
        answer: torch.Tensor = model.field(
            x,
            torch.tensor([0.0, 0.4, 1.0]),
            control=control,
            genes=torch.tensor([row[gene] for gene in genes]),
            conditions=torch.tensor(model.card.vocabulary.table([(one,), (one, two)])),
            unit_of_cell=torch.tensor([0, 1, 0]),
        )
    return answer


@pytest.mark.parametrize("place", ["", "model"])
def test_before_its_first_step_it_predicts_what_the_other_model_does(
    trained: Path, tiny_store_path: Path, tmp_path: Path, place: str
) -> None:
    run = fine_tuned(tiny_store_path, tmp_path, trained / place)
    train_here(run, on_round=at_the_start)
    first, source = load_model(run.directory / "model"), load_model(trained / "model")
    assert first.card.provenance.step == 0
    assert first.card.genes == source.card.genes
    genes = list(source.card.genes)
    assert torch.equal(velocity(first, genes), velocity(source, genes))
    assert velocity(source, genes).abs().max() > 0


def test_genes_it_does_not_know_are_named_and_the_others_keep_their_weights(
    trained: Path, tiny_store_path: Path, tmp_path: Path
) -> None:
    run = fine_tuned(tiny_store_path, tmp_path, trained, genes={"model": 40, "evaluation": 12})
    lines: list[dict[str, Any]] = []
    train_here(run, on_round=at_the_start, report=lines.append)
    first, source = load_model(run.directory / "model"), load_model(trained / "model")
    new = [gene for gene in first.card.genes if gene not in source.card.genes]
    facts = json.loads((run.directory / "manifest.json").read_text())["init_from"]
    assert sorted(facts["new"]) == sorted(new)
    assert new
    assert facts["matched"] == len(set(first.card.genes) & set(source.card.genes))
    assert facts["weights"] == sha256(trained / "model" / "model.safetensors")
    assert first.card.provenance.plain()["init_from"] == facts
    [_, note] = [line["note"] for line in lines if "note" in line]
    assert f"{len(new)} are new ({', '.join(new[:5])} and {len(new) - 5} more)" in note
    assert note in [line.get("note") for line in RunDirectory(run.directory).journal.lines()]
    table, known = (one.field.gene_encoder.embedding.weight for one in (first, source))
    for gene in set(first.card.genes) & set(source.card.genes):
        assert torch.equal(
            table[first.card.genes.index(gene)], known[source.card.genes.index(gene)]
        )


def test_weights_that_have_learnt_from_what_is_tested_are_told(
    trained: Path, tiny_store_path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    [seen, *_], [new, *_] = (
        getattr(load_model(trained / "model").split, part) for part in ("train", "test")
    )
    for name, tested, told in (("seen", seen, True), ("new", new, False)):
        split = {"kind": "list", "test": [tested]}
        run = fine_tuned(tiny_store_path, tmp_path / name, trained, split=split)
        lines: list[dict[str, Any]] = []
        train_here(run, on_round=at_the_start, report=lines.append)
        assert any("that this run tests" in line.get("note", "") for line in lines) == told
        caplog.clear()
        evaluate(run.directory, metrics=["mse"], cells=3, keep=False)
        assert ("say nothing of conditions never seen" in caplog.text) == told


def test_it_learns_with_an_optimiser_of_its_own_and_resumes_without_the_other_model(
    trained: Path, tiny_store_path: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    shutil.copytree(trained / "model", source)
    whole = fine_tuned(tiny_store_path, tmp_path / "a", source)
    parts = fine_tuned(tiny_store_path, tmp_path / "b", source)
    train_here(whole)
    train_here(parts, on_round=lambda outcome: outcome.step < 2)
    shutil.rmtree(source)
    assert train_here(parts).finished
    ends = [RunDirectory(run.directory).states.newest for run in (whole, parts)]
    assert ends[0] is not None
    assert ends[1] is not None
    assert sha256(ends[0] / "model.safetensors") == sha256(ends[1] / "model.safetensors")
    steps = [line["step"] for line in RunDirectory(parts.directory).journal.lines()]
    assert max(steps) == 6
    begun = load_model(trained / "model").field.state_dict()
    last = load_file(ends[1] / "model.safetensors")
    assert last.keys() == begun.keys()
    assert not any(torch.equal(last[name], begun[name]) for name in last if "bias" not in name)


def test_a_model_that_changed_between_plan_and_first_step_is_not_started_from(
    trained: Path, tiny_store_path: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    shutil.copytree(trained / "model", source)
    run = fine_tuned(tiny_store_path, tmp_path, source)
    with RunDirectory(run.directory).held() as directory:
        OpenRun(run).prepare(directory)
        begun = directory.manifest
    assert begun is not None
    assert begun.init_from is not None
    weights = source / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    sealed.seal(source)  # another model, not a damaged one
    with pytest.raises(ValueError, match="is no longer the model that this run was begun with"):
        begin_from(load_model(trained / "model").field, facts=begun.init_from)
    # Nothing was learnt, so the next session plans again with the model that is there now.
    train_here(run, on_round=at_the_start)
    again = RunDirectory(run.directory).manifest
    assert again is not None
    assert again.init_from is not None
    assert again.init_from.weights == sha256(weights) != begun.init_from.weights


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": {"width": 32, "layers": 1}}, "model.width is 16 there and 32 here"),
        ({"init_from": "nowhere"}, "init_from: no such model: nowhere"),
        ({"init_from": "."}, "expected a model, or a run that has one"),
    ],
    ids=["size", "missing", "no model"],
)
def test_a_model_that_does_not_fit_is_refused_before_anything_is_written(
    trained: Path,
    tiny_store_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    run = fine_tuned(tiny_store_path, tmp_path, trained, **changes)
    with pytest.raises((ValueError, FileNotFoundError), match=said) as caught:
        train_here(run)
    assert "\n" not in str(caught.value)
    assert not run.directory.exists()


def test_a_model_of_genes_does_not_start_a_run_on_drugs(
    trained: Path, tiny_store_path: Path, tmp_path: Path
) -> None:
    run = fine_tuned(tiny_store_path, tmp_path, trained)
    with pytest.raises(ValueError, match="perturbations are genes there and drugs in"):
        require_source(trained, model=run.model, perturbation="drug")


def test_a_list_of_edges_that_changed_is_noticed_when_the_run_goes_on(
    tiny_store_path: Path, tmp_path: Path
) -> None:
    with Store.open(tiny_store_path) as store:
        a, b, c, *_ = sorted({t for tokens in store.conditions.values() for t in tokens})
    edges = tmp_path / "edges.csv"
    edges.write_text(f"source,target\n{a},{b}\n{a},nobody\n")
    graph = {"kind": "edges", "path": str(edges)}
    run = make_run(settings(tiny_store_path, tmp_path, graph=graph), where="test")
    lines: list[dict[str, Any]] = []
    train_here(run, on_round=at_the_start, report=lines.append)
    [_, note] = [line["note"] for line in lines if "note" in line]
    assert "1 of 2 edges" in note
    edges.write_text(f"source,target\n{a},{c}\n")
    with pytest.raises(ValueError, match=r"was begun with .*edges\.csv of sha256"):
        train_here(run)
    edges.unlink()
    assert train_here(run).finished
