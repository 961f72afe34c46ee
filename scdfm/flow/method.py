"""Flow matching as a method: what the platform trains by default."""

from collections.abc import Sequence
from functools import partial
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel
from torch import nn

from scdfm.flow.config import LossConfig, SamplingConfig, Source
from scdfm.flow.objective import StepCells, step_losses
from scdfm.flow.sampling import Cells, generate
from scdfm.flow.sources import SOURCES
from scdfm.flow.training import StepLosses
from scdfm.gene_graph.graph import GeneGraph
from scdfm.method import Losses, Method
from scdfm.model.config import ModelConfig
from scdfm.model.field import VelocityField
from scdfm.model.paper import build_field
from scdfm.model.vocabulary import Vocabulary
from scdfm.screen.conditions import Condition


class FlowSettings(BaseModel, frozen=True, extra="forbid"):
    """Sections of a run file that flow matching reads."""

    model: ModelConfig = ModelConfig()
    source: Source = "noise"
    loss: LossConfig = LossConfig()
    sampling: SamplingConfig = SamplingConfig()


class Flow(Method):
    """Learn the velocity that carries control cells to perturbed ones. Source: scDFM, section 3."""

    Settings = FlowSettings

    def build(
        self, settings: FlowSettings, *, vocabulary: Vocabulary, graph: GeneGraph
    ) -> VelocityField:
        """The velocity field of the settings' variant."""
        field = build_field(settings.model, vocabulary=vocabulary, graph=graph)
        if SOURCES[settings.source].at_rest:
            field.start_at_rest()
        return field

    def losses(
        self,
        network: nn.Module,
        cells: StepCells,
        *,
        settings: FlowSettings,
        generator: torch.Generator,
        products: torch.dtype | None = None,
    ) -> Losses:
        """The flow loss and the parts that the settings add."""
        return step_losses(
            network,
            cells,
            source=settings.source,
            config=settings.loss,
            generator=generator,
            products=products,
        )

    def generate(
        self,
        network: nn.Module,
        cells: Cells,
        *,
        settings: FlowSettings,
        condition: Condition,
        blocks: Sequence[NDArray[np.int64]],
        seed: int,
        products: torch.dtype | None = None,
    ) -> NDArray[np.float32]:
        """Follow the velocity to t = 1."""
        return generate(
            cast(VelocityField, network),
            cells,
            condition=condition,
            blocks=blocks,
            source=settings.source,
            config=settings.sampling,
            seed=seed,
            products=products,
        )

    def describe(self, settings: FlowSettings) -> str:
        """Solver, steps and clamp."""
        clamped = "clamped at 0" if settings.sampling.clamp else "not clamped"
        return f"{settings.sampling.settled(settings.source)}, {clamped}"

    def one_end(self, settings: FlowSettings) -> bool:
        """Follows from the source."""
        return SOURCES[settings.source].one_end

    def apart(self, settings: FlowSettings) -> bool:
        """Follows from the source."""
        return SOURCES[settings.source].apart

    def clamps(self, settings: FlowSettings) -> bool:
        """Follows from how it samples."""
        return settings.sampling.clamp

    def unclamped(self, settings: FlowSettings) -> FlowSettings:
        """The same without clamping."""
        sampling = settings.sampling.model_copy(update={"clamp": False})
        return settings.model_copy(update={"sampling": sampling})

    def for_validation(self, settings: FlowSettings, *, steps: int) -> FlowSettings:
        """The same with fewer solver steps."""
        sampling = settings.sampling.model_copy(update={"steps": steps})
        return settings.model_copy(update={"sampling": sampling})


FLOW = Flow()


def flow_losses(
    *,
    source: Source = "noise",
    loss: LossConfig | None = None,
    products: torch.dtype | None = None,
) -> StepLosses:
    """What a step of flow matching loses, for a trainer without a run."""
    settings = FlowSettings(source=source, loss=loss or LossConfig())
    return partial(FLOW.losses, settings=settings, products=products)
