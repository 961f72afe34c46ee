"""Facts of models on disk."""

from pathlib import Path

import pytest
import torch

from scdfm.flow.checkpoint import (
    Model,
    ModelCard,
    copied,
    load_model,
    load_state,
    read_card,
    save_model,
    save_state,
)
from scdfm.flow.sampling import SamplingConfig
from scdfm.screen.conditions import USUAL
from scdfm.splits import Split
from tests.scdfm import small
from tests.scdfm.flow.test_training import batches, run, trainer


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
    (tmp_path / "model" / "manifest.json").unlink()  # hashes came later
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


def flip(path: Path, *, byte: int) -> None:
    content = bytearray(path.read_bytes())
    content[byte % len(content)] ^= 1
    path.write_bytes(content)


def test_a_flipped_bit_in_any_file_of_a_model_is_found(tmp_path: Path) -> None:
    save_model(model(), tmp_path / "model")
    load_model(tmp_path / "model")
    files = sorted((tmp_path / "model").iterdir())
    assert len(files) == 5
    for file in files:
        whole = file.read_bytes()
        for byte in (0, len(whole) // 3, len(whole) // 2, -1):
            flip(file, byte=byte)
            with pytest.raises(ValueError, match=rf"{file.name} is damaged.*export the model"):
                load_model(tmp_path / "model")
            file.write_bytes(whole)


def test_a_flipped_bit_in_any_file_of_a_training_state_is_found(tmp_path: Path) -> None:
    made = trainer(ema=0.9)
    run(made)
    save_state(made.state(), tmp_path / "state")
    files = sorted((tmp_path / "state").iterdir())
    assert len(files) == 5
    for file in files:
        whole = file.read_bytes()
        for byte in (0, len(whole) // 3, len(whole) // 2, -1):
            flip(file, byte=byte)
            with pytest.raises(ValueError, match=f"{file.name} is damaged"):
                load_state(tmp_path / "state")
            file.write_bytes(whole)
    load_state(tmp_path / "state")


def test_a_card_alone_is_checked_too(tmp_path: Path) -> None:
    save_model(model(), tmp_path / "model")
    card = tmp_path / "model" / "model.json"
    card.write_text(card.read_text().replace('"G2"', '"G3"'))
    with pytest.raises(ValueError, match=r"model\.json is damaged: its SHA-256"):
        read_card(tmp_path / "model")


def test_models_and_training_states_from_before_hashes_are_read(tmp_path: Path) -> None:
    save_model(model(), tmp_path / "model")
    save_state(trainer().state(), tmp_path / "state")
    for name in ("model", "state"):
        (tmp_path / name / "manifest.json").unlink()
    load_model(tmp_path / "model")
    load_state(tmp_path / "state")


def test_truncated_weights_of_a_model_without_hashes_are_named(tmp_path: Path) -> None:
    save_model(model(), tmp_path / "model")
    (tmp_path / "model" / "manifest.json").unlink()
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"model\.safetensors does not hold this model's weights"):
        load_model(tmp_path / "model")


def test_a_copied_state_stays_while_training_goes_on(tmp_path: Path) -> None:
    made = trainer(ema=0.9)
    made.step(next(batches(0)))
    kept, live = copied(made.state()), made.state()
    before = {name: weight.clone() for name, weight in kept["model"].items()}
    moment = kept["optimiser"]["state"][0]["exp_avg"].clone()
    made.step(next(batches(1)))
    for name, weight in before.items():
        assert torch.equal(kept["model"][name], weight)
    assert torch.equal(kept["optimiser"]["state"][0]["exp_avg"], moment)
    assert not torch.equal(live["optimiser"]["state"][0]["exp_avg"], moment)


def test_a_directory_without_a_card_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is not a model: expected a directory with model\.json"):
        load_model(tmp_path)


def test_a_card_of_another_version_is_refused(tmp_path: Path) -> None:
    save_model(model(), tmp_path / "model")
    card = tmp_path / "model" / "model.json"
    card.write_text(card.read_text().replace('"schema_version": 1', '"schema_version": 9'))
    (tmp_path / "model" / "manifest.json").unlink()
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
