"""Facts about what is plugged in: every line of a registry leads somewhere, and is obeyed."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from scdfm.flow.config import LossConfig
from scdfm.flow.losses import LOSSES
from scdfm.flow.method import FLOW, FlowSettings
from scdfm.flow.objective import step_losses
from scdfm.flow.sources import SOURCES
from scdfm.method import METHODS
from scdfm.metrics import METRICS
from scdfm.metrics.baselines import BASELINES
from scdfm.model.networks import NETWORKS
from scdfm.screen.registry import Registry
from scdfm.splits.kinds import KINDS
from tests.scdfm import small

REGISTRIES = (METRICS, BASELINES, KINDS, SOURCES, LOSSES, NETWORKS, METHODS)


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda one: one.kind)
def test_every_line_of_a_registry_names_a_thing_of_its_class(registry: Registry[Any]) -> None:
    things = dict(registry.items())
    assert things
    assert all(isinstance(thing, registry.of) for thing in things.values())


@pytest.mark.parametrize("source", [*SOURCES])
def test_every_source_starts_each_cell_of_a_step(source: str) -> None:
    control = torch.rand(5, 3)
    start = SOURCES[source].train(control, (2, 3), torch.Generator().manual_seed(0))
    assert start.shape == control.shape
    # A network that reads the cell where its path starts can read off the velocity.
    assert torch.equal(start, control) == SOURCES[source].one_end


@pytest.mark.parametrize("variant", [*NETWORKS])
@pytest.mark.parametrize("source", [*SOURCES])
def test_flow_builds_a_field_at_rest_where_its_source_wants_one(variant: str, source: str) -> None:
    settings = FlowSettings.model_validate(
        {"model": {"width": 16, "layers": 1, "variant": variant}, "source": source}
    )
    field = FLOW.build(settings, vocabulary=small.vocabulary(), graph=small.graph())
    assert (not field.velocity_out.weight.any()) == SOURCES[source].at_rest


def test_a_further_loss_part_counts_by_its_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    def spread(generated: Tensor, real: Tensor, *, sizes: tuple[int, ...]) -> Tensor:
        return (generated.std() - real.std()).square()

    monkeypatch.setitem(LOSSES._things, "spread", spread)
    losses = step_losses(
        small.field(),
        small.cells(),
        source="noise",
        config=LossConfig(mmd_weight=0, parts={"spread": 3.0}),
        generator=torch.Generator().manual_seed(0),
    )
    assert [*losses.parts] == ["cfm", "mmd", "spread"]
    torch.testing.assert_close(losses.total, losses.parts["cfm"] + 3 * losses.parts["spread"])


def test_the_weight_of_the_mmd_has_one_place() -> None:
    with pytest.raises(ValidationError, match=r"set it there"):
        LossConfig(parts={"mmd": 1.0})
    with pytest.raises(ValidationError, match="did you mean 'mmd'"):
        LossConfig(parts={"mmdd": 1.0})
