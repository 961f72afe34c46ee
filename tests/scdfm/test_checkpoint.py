"""Facts of models on disk."""

from pathlib import Path

import pytest
import torch

from scdfm.flow.checkpoint import (
    Model,
    ModelCard,
    load_model,
    load_state,
    save_model,
    save_state,
)
from scdfm.flow.sampling import SamplingConfig
from scdfm.screen.conditions import USUAL
from scdfm.splits import Split
from tests.scdfm import small
from tests.scdfm.test_training import run, trainer


def model() -> Model:
    made = small.field().float()
    card = ModelCard(
        model=made.config,
        source="control",
        sampling=SamplingConfig(),
        genes=small.NAMES,
        perturbations=made.vocabulary.perturbations,
        perturbation="gene",
        contexts=("all",),
        evaluation_genes=("G2", "G5"),
        genes_per_step=4,
        seed=1,
        provenance={"run": "test"},
    )
    split = Split(kind="list", seed=0, fold=0, train=("G1",), test=("G3",), validation_kind="cells")
    return Model(field=made, card=card, graph=small.graph(), split=split)


def test_a_model_comes_back_as_it_was(tmp_path: Path) -> None:
    saved = model()
    save_model(saved, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.card == saved.card
    assert loaded.split == saved.split
    for name, tensor in saved.field.state_dict().items():
        assert torch.equal(loaded.field.state_dict()[name], tensor)


def test_a_model_of_before_words_were_kept_has_the_usual_ones(tmp_path: Path) -> None:
    save_model(model(), tmp_path / "model")
    card = tmp_path / "model" / "model.json"
    card.write_text(model().card.model_dump_json(exclude={"words"}))
    assert load_model(tmp_path / "model").card.words == USUAL


def test_saving_again_replaces_the_older_model(tmp_path: Path) -> None:
    save_model(model(), tmp_path / "model")
    save_model(model(), tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("part", ["model.safetensors", "graph.npz", "split.json"])
def test_a_missing_part_is_named(tmp_path: Path, part: str) -> None:
    save_model(model(), tmp_path / "model")
    (tmp_path / "model" / part).unlink()
    with pytest.raises(ValueError, match=f"{part} is missing"):
        load_model(tmp_path / "model")


def test_truncated_weights_are_named(tmp_path: Path) -> None:
    save_model(model(), tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"model\.safetensors does not hold this model's weights"):
        load_model(tmp_path / "model")


def test_a_directory_without_a_card_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is not a model: expected a directory with model\.json"):
        load_model(tmp_path)


def test_a_card_of_another_version_is_refused(tmp_path: Path) -> None:
    save_model(model(), tmp_path / "model")
    card = tmp_path / "model" / "model.json"
    card.write_text(card.read_text().replace('"schema_version": 1', '"schema_version": 9'))
    with pytest.raises(ValueError, match="not a model card of this version: schema_version"):
        load_model(tmp_path / "model")


def test_a_training_state_comes_back_through_files(tmp_path: Path) -> None:
    made = trainer(ema=0.9)
    run(made)
    save_state(made.state(), tmp_path / "state")
    other = trainer(ema=0.9)
    other.restore(load_state(tmp_path / "state"))
    assert other.progress == made.progress
    for ours, theirs in zip(other.sampler.parameters(), made.sampler.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_evaluation_genes_are_blocks_of_the_model_and_not_of_the_caller() -> None:
    card = model().card
    [block] = card.blocks(which="evaluation")
    assert block.tolist() == [2, 5]
    assert sorted(len(block) for block in card.blocks(which="all")) == [3, 4]
