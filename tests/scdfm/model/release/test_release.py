"""Facts of the release's network, on a small one."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scdfm.flow.checkpoint import Model, load_model, save_model
from scdfm.flow.method import flow_losses
from scdfm.flow.training import Trainer, TrainingConfig
from scdfm.model.paper import ModelConfig
from scdfm.model.release import ReleaseField, mask_graph
from scdfm.model.release.names import correspondence
from tests.scdfm import small
from tests.scdfm.flow.test_checkpoint import model as saved_model
from tests.scdfm.model.release.made import (
    LAYERS,
    TOKENS,
    checkpoint,
    distance,
    inputs,
    load,
    mask,
    network,
)


@pytest.mark.parametrize("drugs", [False, True])
@pytest.mark.parametrize("rows", [TOKENS, TOKENS + 5])
def test_a_checkpoint_comes_back_as_the_network_it_was(
    tmp_path: Path, drugs: bool, rows: int
) -> None:
    loaded = load(checkpoint(tmp_path / "c.pt", drugs=drugs, rows=rows), drugs=drugs)
    condition = torch.tensor([3, 6])
    ours = loaded.double()(**inputs(), condition=condition)
    theirs = network(drugs=7 if drugs else None)(**inputs(), condition=condition)
    assert not loaded.training
    assert distance(ours, theirs.detach()) < 1e-6


@pytest.mark.parametrize("drugs", [False, True])
def test_every_parameter_has_one_place_in_the_authors_form(drugs: bool) -> None:
    made = network(drugs=7 if drugs else None)
    pairs = correspondence(layers=LAYERS, drugs=drugs)
    assert {place.name for _, place in pairs} == {name for name, _ in made.named_parameters()}
    covered: dict[str, int] = {}
    for _, place in pairs:
        numbers = place.of(dict(made.named_parameters())).numel()
        covered[place.name] = covered.get(place.name, 0) + numbers
    assert covered == {name: p.numel() for name, p in made.named_parameters()}
    assert len(set(pairs)) == len({theirs for theirs, _ in pairs}) == len(pairs)


def test_several_conditions_at_once_are_each_as_alone() -> None:
    made, given = network(), inputs()
    conditions = torch.tensor([[3, 7], [9, 5]])
    unit_of_cell = torch.tensor([0, 1, 1, 0, 1])
    together = made(**given, conditions=conditions, unit_of_cell=unit_of_cell)
    for unit in (0, 1):
        alone = made(**given, condition=conditions[unit])
        rows = unit_of_cell == unit
        torch.testing.assert_close(together[rows], alone[rows])


def test_a_cell_does_not_depend_on_its_batch() -> None:
    made, given, condition = network(), inputs(), torch.tensor([4, 7])
    together = made(**given, condition=condition)
    for cell in range(len(together)):
        one = {name: x if name == "genes" else x[[cell]] for name, x in given.items()}
        torch.testing.assert_close(made(**one, condition=condition)[0], together[cell])


def test_what_is_computed_once_serves_any_point_and_time() -> None:
    made, given, condition = network(), inputs(), torch.tensor([4, 7])
    around = made.surroundings(
        control=given["control"],
        genes=given["genes"],
        conditions=condition[None],
        unit_of_cell=torch.zeros(5, dtype=torch.long),
    )
    for k in range(3):
        x_t, t = given["x_t"] + k, (given["t"] + 0.3 * k).clamp_max(1)
        torch.testing.assert_close(
            made.velocity(x_t, t, around), made(**given | {"x_t": x_t, "t": t}, condition=condition)
        )


def test_permuting_genes_permutes_the_velocity() -> None:
    made, given, condition = network(), inputs(), torch.tensor([4, 7])
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    permuted = given | {name: given[name][..., order] for name in ("x_t", "control", "genes")}
    torch.testing.assert_close(
        made(**permuted, condition=condition), made(**given, condition=condition)[:, order]
    )


def test_every_parameter_of_the_release_learns() -> None:
    made = network()
    made(**inputs(), condition=torch.tensor([3, 7])).square().sum().backward()
    silent = [name for name, p in made.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_gates_of_the_release_start_closed_but_the_genes_do_not() -> None:
    made = ReleaseField(
        ModelConfig(variant="release", width=16, layers=1, heads=2),
        graph=mask_graph(mask()),
        tokens=TOKENS,
        drugs=None,
    )
    for name, parameter in made.named_parameters():
        if ".modulation." in name or ".mlp_modulation." in name:
            assert not parameter.any(), name
        if name.endswith("gene_modulation.linear.weight"):
            assert parameter.any()


def test_a_network_at_rest_has_no_velocity() -> None:
    made = network()
    made.start_at_rest()
    assert not made(**inputs(), condition=torch.tensor([3, 7])).any()


def test_two_ways_of_naming_conditions_are_not_mixed() -> None:
    made, given = network(), inputs()
    with pytest.raises(ValueError, match="either condition, or conditions with unit_of_cell"):
        made(**given)
    with pytest.raises(ValueError, match="either condition, or conditions with unit_of_cell"):
        made(**given, condition=torch.tensor([4]), conditions=torch.tensor([[4]]))


def test_a_width_that_the_encoders_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="has 8 heads, which must divide width, got width=12"):
        ModelConfig(variant="release", width=12, heads=2)


@pytest.mark.parametrize("settings", [{"attention": "standard"}, {"mlp": False}])
def test_the_papers_ablations_are_not_the_releases(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="differential attention followed by an MLP"):
        ModelConfig.model_validate({"variant": "release"} | settings)


@pytest.mark.parametrize("perturbation", ["gene", "drug"])
def test_a_field_with_names_is_the_same_network(perturbation: str) -> None:
    made = small.awake(small.field(variant="release", kind=perturbation))
    assert isinstance(made, ReleaseField)
    step = small.cells(units=(("G1",), ("G1", "G3")))
    asked = made.vocabulary.table([made.vocabulary.perturbations[:1]])
    t = torch.full((len(step.target),), 0.3, dtype=torch.float64)
    given = {"control": step.control, "genes": step.genes}
    unit_of_cell = torch.zeros(len(t), dtype=torch.long)
    named = made(step.target, t, **given, conditions=torch.tensor(asked), unit_of_cell=unit_of_cell)
    torch.testing.assert_close(
        named, made(step.target, t, **given, condition=torch.tensor(asked[0]))
    )


def test_the_release_variant_trains_and_repeats_itself() -> None:
    def trained() -> Trainer:
        made = Trainer(
            small.field(variant="release", dropout=0.1).float(),
            training=TrainingConfig(steps=3, learning_rate=1e-3),
            losses=flow_losses(source="control"),
            seed=0,
        )
        step = small.cells()
        for index in range(3):
            made.step(
                replace(step, index=index, target=step.target.float(), control=step.control.float())
            )
        return made

    first, second = trained(), trained()
    before = small.field(variant="release").float().state_dict()
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name])
    assert not torch.equal(
        before["fusion.out.weight"], first.model.state_dict()["fusion.out.weight"]
    )


def test_a_model_of_the_release_variant_comes_back_from_its_directory(tmp_path: Path) -> None:
    made = small.awake(small.field(variant="release")).float()
    card = saved_model().card.model_copy(update={"model": made.config})
    model = Model(field=made, card=card, graph=small.graph(), split=saved_model().split)
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert isinstance(loaded.field, ReleaseField)
    for name, tensor in made.state_dict().items():
        assert torch.equal(loaded.field.state_dict()[name], tensor)
