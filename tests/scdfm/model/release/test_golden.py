"""The release's network gives the authors' values."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from scdfm.flow.mmd import mmd2
from scdfm.flow.sampling import SamplingConfig, rollout
from scdfm.model import gene_encoder
from scdfm.model.kernels import difference
from scdfm.model.release import ReleaseField, in_release_names, load_release
from tests.scdfm.model.release.made import LAYERS, distance

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
