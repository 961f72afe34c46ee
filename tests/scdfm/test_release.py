"""Facts of the release's network: equal to the authors' values, and what is refused."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from scdfm.flow.checkpoint import Model, load_model, save_model
from scdfm.flow.method import flow_losses
from scdfm.flow.mmd import mmd2
from scdfm.flow.sampling import SamplingConfig, rollout
from scdfm.flow.training import Trainer, TrainingConfig
from scdfm.model import gene_encoder
from scdfm.model.kernels import difference
from scdfm.model.paper import ModelConfig
from scdfm.model.release import ReleaseField, in_release_names, load_release, mask_graph
from scdfm.model.release.names import correspondence
from tests.scdfm import small
from tests.scdfm.test_checkpoint import model as saved_model

TOKENS, GENES, LAYERS = 12, 6, 2
CLOSE = 1e-5  # of the norm: what "equal" means


class Golden(NamedTuple):
    """The authors' values and the network that should repeat them."""

    net: ReleaseField
    values: dict[str, Tensor]
    drugs: bool

    def velocity(self, condition: str) -> Tensor:
        of = self.values
        return self.net(
            of["x_t"],
            of["t"],
            control=of["control"],
            genes=of["gene_ids"],
            condition=of[condition],
        )


@pytest.fixture(params=["gene", "drug"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["small", "large"])
def ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute as networks of this size are computed, and as those of thousands of genes are."""
    if request.param == "large":
        monkeypatch.setattr(difference, "FEATURES", 1)
        monkeypatch.setattr(gene_encoder, "DENSE_UP_TO", 0)


@pytest.fixture(params=[torch.float64, torch.float32], ids=["float64", "float32"])
def golden(request: pytest.FixtureRequest, kind: str, real_data: Path, ways: None) -> Golden:
    folder = real_data / "release_golden" / kind
    with np.load(folder / "golden.npz") as arrays:
        values = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    net = load_release(
        folder / "checkpoint.pt",
        heads=int(values["config"][2]),
        forbidden=values["mask"],
        gene_perturbations=kind == "gene",
    )
    inputs = ("x_t", "t", "control", "mmd_x", "mmd_y")
    values |= {name: values[name].to(request.param) for name in inputs}
    return Golden(net=net.to(request.param), values=values, drugs=kind == "drug")


def distance(ours: Tensor, theirs: Tensor) -> float:
    """Relative to the norm of theirs."""
    return float((ours.detach().double() - theirs).norm() / theirs.norm())


@pytest.mark.parametrize("condition", ["double", "single"])
def test_velocities_equal_the_authors(golden: Golden, condition: str) -> None:
    ours = golden.velocity(condition)
    assert distance(ours, golden.values[f"velocity_{condition}"]) < CLOSE


def test_gradients_equal_the_authors_by_name(golden: Golden) -> None:
    golden.velocity("double").square().mean().backward()
    gradients = {name: p.grad for name, p in golden.net.named_parameters() if p.grad is not None}
    ours = in_release_names(gradients, layers=LAYERS, drugs=golden.drugs)
    theirs = {
        name.removeprefix("grad/"): value
        for name, value in golden.values.items()
        if name.startswith("grad/")
    }
    assert ours.keys() == theirs.keys()
    floor = 1e-2 * torch.stack([value.norm() for value in theirs.values()]).norm()
    for name, value in theirs.items():
        off = (ours[name].double() - value).norm() / max(value.norm(), floor)
        assert off < CLOSE, name


def test_the_rollout_equals_the_authors(golden: Golden) -> None:
    of = golden.values
    ours = rollout(
        golden.net,
        start=of["x_t"],
        control=of["control"],
        genes=of["gene_ids"],
        conditions=of["double"][None],
        unit_of_cell=torch.zeros(len(of["t"]), dtype=torch.long),
        config=SamplingConfig(solver="rk4", steps=19),
    )
    assert distance(ours, of["rollout_double"]) < CLOSE


def test_the_mmd_and_its_gradient_equal_the_authors(golden: Golden) -> None:
    of = golden.values
    generated = of["mmd_x"].requires_grad_()
    ours = mmd2(generated, of["mmd_y"])
    ours.backward()
    assert generated.grad is not None
    assert abs(ours.item() - of["mmd2"]) < CLOSE * of["mmd2"]
    assert distance(generated.grad, of["mmd2_grad_x"]) < CLOSE


def mask() -> Tensor:
    """Some neighbours for genes; the four special tokens see only themselves."""
    draw = torch.Generator().manual_seed(3)
    seen = torch.rand(TOKENS, TOKENS, generator=draw) < 0.4
    seen = seen | seen.T
    seen[:4], seen[:, :4] = False, False
    return ~(seen | torch.eye(TOKENS, dtype=torch.bool))


def network(*, drugs: int | None = None) -> ReleaseField:
    torch.manual_seed(0)
    config = ModelConfig(variant="release", width=16, layers=LAYERS, heads=2)
    made = ReleaseField(config, graph=mask_graph(mask()), tokens=TOKENS, drugs=drugs)
    small.awake(made)
    return made.double().eval()


def inputs(*, cells: int = 5) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(4)
    return {
        "x_t": torch.randn(cells, GENES, generator=draw, dtype=torch.float64),
        "t": torch.rand(cells, generator=draw, dtype=torch.float64),
        "control": torch.rand(cells, GENES, generator=draw, dtype=torch.float64),
        "genes": torch.tensor([4, 9, 5, 11, 6, 8]),
    }


def checkpoint(path: Path, *, drugs: bool = False, rows: int = TOKENS) -> Path:
    """A checkpoint as the authors write it, from our own network, with tensors nobody uses."""
    made = network(drugs=7 if drugs else None).float()
    state = in_release_names(made.state_dict(), layers=LAYERS, drugs=drugs)
    spare = torch.randn(max(0, rows - TOKENS), 16)
    table = torch.cat([state["encoder.embedding.weight"], spare])[:rows]
    state |= {"encoder.embedding.weight": table, "p_mask_embed": torch.zeros(16)}
    torch.save({"iteration": 3, "model_state_dict": state, "eval_score": None}, path)
    return path


def load(path: Path, *, heads: int = 2, drugs: bool = False) -> ReleaseField:
    return load_release(path, heads=heads, forbidden=mask(), gene_perturbations=not drugs)


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


def edited(path: Path, **tensors: Tensor | None) -> Path:
    """A checkpoint with tensors replaced, added or, for None, left out; `__` stands for a dot."""
    content = torch.load(checkpoint(path), weights_only=True)
    for name, tensor in tensors.items():
        content["model_state_dict"].pop(name.replace("__", "."), None)
        if tensor is not None:
            content["model_state_dict"][name.replace("__", ".")] = tensor
    torch.save(content, path)
    return path


def test_missing_tensors_are_named(tmp_path: Path) -> None:
    path = edited(tmp_path / "c.pt", fusion_layer__2__bias=None, gene_adaLN__1__norm__bias=None)
    with pytest.raises(ValueError, match=r"lacks 2 .* first fusion_layer.2.bias, gene_adaLN.1.no"):
        load(path)


def test_unknown_tensors_are_named(tmp_path: Path) -> None:
    path = edited(tmp_path / "c.pt", rotary__table=torch.zeros(3))
    with pytest.raises(ValueError, match=r"has unknown 1 .* first rotary\.table"):
        load(path)


def test_a_drug_table_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"lacks 3 .* first perturbation_embedder\.embedding"):
        load(checkpoint(tmp_path / "c.pt"), drugs=True)


def test_fewer_embeddings_than_tokens_are_refused_with_both_numbers(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "c.pt", rows=TOKENS - 2)
    with pytest.raises(ValueError, match=r"covers 12 tokens, .* has embeddings of only 10"):
        load(path)


def test_heads_that_the_weights_deny_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="16 wide and has 2 heads of 8 features, got heads=4"):
        load(checkpoint(tmp_path / "c.pt"), heads=4)


def test_a_tensor_of_another_shape_is_named(tmp_path: Path) -> None:
    path = edited(tmp_path / "c.pt", fusion_layer__2__weight=torch.zeros(16, 8))
    with pytest.raises(ValueError, match=r"fusion_layer\.2\.weight in .* has shape \(16, 8\)"):
        load(path)


def test_weights_that_are_no_tensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    torch.save({"model_state_dict": {"fusion_layer.2.bias": [1.0]}}, path)
    with pytest.raises(ValueError, match=r"got list for 'fusion_layer\.2\.bias'"):
        load(path)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "got none"),
        ({3: torch.ones(1)}, "got Tensor for 3"),
        ({"a": torch.ones(2, 2).to_sparse()}, "got Tensor for 'a'"),
        ({"a": torch.tensor([1.0, torch.nan])}, "NaN or infinity in a"),
    ],
    ids=["empty", "numbered", "sparse", "not finite"],
)
def test_weights_that_are_of_no_use_are_refused(
    tmp_path: Path, weights: object, message: str
) -> None:
    torch.save({"model_state_dict": weights}, tmp_path / "c.pt")
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "c.pt")


@pytest.mark.parametrize("content", [{"weights": 1}, [1, 2]])
def test_another_layout_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "c.pt")
    with pytest.raises(ValueError, match="expected 'model_state_dict' with weights in"):
        load(tmp_path / "c.pt")


class Ran(Exception):
    """A pickle was allowed to call something."""


def shout() -> None:
    raise Ran


class Trap:
    """Calls `shout` when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[()]]:
        return shout, ()


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_is_not_weights_is_refused_and_runs_nothing(
    tmp_path: Path, legacy: bool
) -> None:
    path = tmp_path / "c.pt"
    torch.save({"model_state_dict": Trap()}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ValueError, match="other objects than weights are not loaded") as refused:
        load(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"weights",
        b"\x80",
        bytes(range(256)),
        pickle.dumps(Trap(), protocol=2),
        b"PK\x03\x04half a zip",
    ],
    ids=["empty", "text", "short", "bytes", "pickle", "zip"],
)
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="expected a checkpoint of weights"):
        load(path)


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "c.pt")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ValueError, match="expected a checkpoint of weights"):
        load(path)


def test_a_checkpoint_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        load(tmp_path / "c.pt")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (torch.zeros(3, 4, dtype=torch.bool), r"got bool of shape \(3, 4\)"),
        (torch.zeros(3, 3), r"got float32 of shape \(3, 3\)"),
        (torch.tensor([[False, True], [True, True]]), "token 1 may look at none"),
    ],
    ids=["not square", "not bool", "nobody"],
)
def test_a_mask_that_is_none_is_refused(wrong: Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        mask_graph(wrong)


def test_a_mask_becomes_neighbours() -> None:
    graph = mask_graph(torch.tensor([[False, True, False], [True, False, True], [False] * 3]))
    assert graph.indptr.tolist() == [0, 2, 3, 6]
    assert graph.indices.tolist() == [0, 2, 1, 0, 1, 2]
