"""Every baseline as a method: `train` fits it to the means of training units, `predict` applies it.

Predicted cells are controls that all move by one number in each gene, at least 0, so that the mean
over all controls of the context is theirs plus the change that the baseline predicts. A baseline
learns from means at once, so there are no steps.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel
from torch import Tensor, nn

from scdfm.method import Losses, Method
from scdfm.metrics.baselines import BASELINES, MeasuredUnits, Units
from scdfm.metrics.shrunken import Delta
from scdfm.model.vocabulary import Vocabulary
from scdfm.screen.conditions import Condition


class NoSettings(BaseModel, frozen=True, extra="forbid"):
    """A baseline has no settings."""


class FittedBaseline(nn.Module):
    """The training units that a baseline looks up, as buffers of any number of rows."""

    control: Tensor  # (units, genes)
    mean: Tensor  # (units, genes)
    noise: Tensor  # of the units, as in MeasuredUnits; empty: not known, as in older models
    control_noise: Tensor  # likewise
    names: Tensor  # contexts and conditions of the units: the bytes of a JSON text

    def __init__(self, baseline: str, *, genes: tuple[str, ...]) -> None:
        super().__init__()
        self.baseline, self.genes = baseline, genes
        # The optimiser wants a weight, though nothing is learnt by steps.
        self.idle = nn.Parameter(torch.zeros(1))
        nothing = np.zeros((1, len(genes)))
        self.learn(MeasuredUnits(("",), ((),), nothing, nothing, noise=np.zeros(1)))

    def learn(self, units: MeasuredUnits) -> None:
        """Keep training units."""
        conditions = [list(tokens) for tokens in units.conditions]
        text = json.dumps({"contexts": list(units.contexts), "conditions": conditions})
        names = torch.tensor(list(text.encode()), dtype=torch.uint8)
        for name in ("control", "mean", "noise", "control_noise"):
            value = getattr(units, name)
            known = np.zeros(0) if value is None else value
            self.register_buffer(name, torch.from_numpy(np.asarray(known, dtype=np.float32)))
        self.register_buffer("names", names)
        self._measured: MeasuredUnits | None = None

    def delta(self, contexts: Sequence[str], conditions: Sequence[Condition]) -> Delta:
        """Changes of conditions in contexts, (units, genes)."""
        units = self._units()
        known = dict(zip(units.contexts, units.control, strict=True))
        usual = units.control.mean(axis=0)
        control = np.stack([known.get(context, usual) for context in contexts])
        predicted = BASELINES[self.baseline](units, Units((*contexts,), (*conditions,), control))
        return Delta(predicted.mean - control, predicted.incomplete)

    def _units(self) -> MeasuredUnits:
        self._measured = self._measured or self._read()
        return self._measured

    def _read(self) -> MeasuredUnits:
        named = json.loads(bytes(self.names.cpu().tolist()))
        noise, of_controls = (
            one.cpu().numpy().astype(np.float64) for one in (self.noise, self.control_noise)
        )
        return MeasuredUnits(
            contexts=tuple(named["contexts"]),
            conditions=tuple(tuple(tokens) for tokens in named["conditions"]),
            control=self.control.cpu().numpy().astype(np.float64),
            mean=self.mean.cpu().numpy().astype(np.float64),
            genes=self.genes,
            noise=noise if len(noise) else None,
            control_noise=of_controls if len(of_controls) else None,
        )

    def _load_from_state_dict(self, state: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        for name in ("noise", "control_noise"):
            state.setdefault(prefix + name, torch.zeros(0))
        # How many units there are is learnt, too.
        for name in ("control", "mean", "noise", "control_noise", "names"):
            if prefix + name in state:
                self.register_buffer(name, torch.empty_like(state[prefix + name]))
        self._measured = None
        super()._load_from_state_dict(state, prefix, *rest)


class BaselineMethod(Method):
    """A baseline that is trained and asked for cells like any model."""

    Settings = NoSettings
    fits = True

    def __init__(self, baseline: str) -> None:
        self.baseline = baseline

    def build(self, settings: NoSettings, *, vocabulary: Vocabulary, graph: Any) -> FittedBaseline:
        """No training units yet: no change."""
        return FittedBaseline(self.baseline, genes=vocabulary.genes)

    def fit(self, network: Any, units: MeasuredUnits, *, settings: NoSettings) -> None:
        """Keep the training units."""
        network.learn(units)

    def losses(self, network: Any, cells: Any, **_: Any) -> Losses:
        """There are no steps."""
        raise AssertionError("a baseline is fitted at once")

    def generate(self, network: Any, cells: Any, **_: Any) -> NDArray[np.float32]:
        """Cells come from `changes`."""
        raise AssertionError("a baseline's cells are controls that move")

    def changes(self, network: nn.Module) -> FittedBaseline:
        """All that a baseline knows."""
        assert isinstance(network, FittedBaseline)
        return network

    def describe(self, settings: NoSettings) -> str:
        """The baseline's name."""
        return f"control cells moved to the mean of the baseline {self.baseline}"


CONTROL = BaselineMethod("control")
PERTURBED_MEAN = BaselineMethod("perturbed mean")
ADDITIVE = BaselineMethod("additive")
SCALED = BaselineMethod("scaled")
SHRUNKEN = BaselineMethod("shrunken")
LINEAR = BaselineMethod("linear")
