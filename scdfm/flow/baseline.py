"""Every baseline as a method: `train` fits it to the means of training units, `predict` applies it.

Predicted cells are controls that all move by one number in each gene, at least 0, so that the mean
over all controls of the context is theirs plus the change that the baseline predicts. A baseline
learns from means at once, so there are no steps.

A shrunken base is fitted once and kept, so that a model predicts what it did when it was made,
whatever rule newer versions fit by.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel
from torch import Tensor, nn

from scdfm.method import Losses, Method
from scdfm.metrics.baselines import BASELINES, MeasuredUnits, Units
from scdfm.metrics.shrunken import RULE, Base, Delta, fit
from scdfm.model.vocabulary import Vocabulary
from scdfm.screen.conditions import Condition

log = logging.getLogger(__name__)

_NOISE = ("noise", "control_noise", "noise_by_gene")  # buffers, as in MeasuredUnits
_BASE = "base_"  # before the names of a base's arrays
_MARK = "tokens_are_genes"


class NoSettings(BaseModel, frozen=True, extra="forbid"):
    """A baseline has no settings."""


class FittedBaseline(nn.Module):
    """The training units that a baseline looks up, as buffers of any number of rows."""

    control: Tensor  # (units, genes)
    mean: Tensor  # (units, genes)
    noise: Tensor  # of the units, as in MeasuredUnits; empty: not known, as in older models
    control_noise: Tensor  # likewise
    noise_by_gene: Tensor  # likewise, (genes,)
    names: Tensor  # contexts and conditions of the units: the bytes of a JSON text
    tokens_are_genes: Tensor  # 0 for drugs: one that is spelt like a gene is none; older: always 1

    def __init__(self, baseline: str, *, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.baseline, self._genes = baseline, vocabulary.genes
        mark = torch.tensor(vocabulary.kind == "gene", dtype=torch.uint8)
        self.register_buffer(_MARK, mark)
        # The optimiser wants a weight, though nothing is learnt by steps.
        self.idle = nn.Parameter(torch.zeros(1))
        nothing = np.zeros((1, len(vocabulary.genes)))
        self.learn(MeasuredUnits(("",), ((),), nothing, nothing, noise=np.zeros(1)))

    @property
    def genes(self) -> tuple[str, ...]:
        """Which a token may be."""
        return self._genes if self.tokens_are_genes else ()

    def learn(self, units: MeasuredUnits) -> None:
        """Keep training units."""
        conditions = [list(tokens) for tokens in units.conditions]
        text = json.dumps({"contexts": list(units.contexts), "conditions": conditions})
        names = torch.tensor(list(text.encode()), dtype=torch.uint8)
        for name in ("control", "mean", *_NOISE):
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
        self._measured = self._measured or _read(dict(self.named_buffers()), genes=self.genes)
        return self._measured

    def _load_from_state_dict(self, state: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        for name in _NOISE:
            state.setdefault(prefix + name, torch.zeros(0))
        if prefix + "names" in state:  # it predicts what it did when it was made
            state.setdefault(prefix + _MARK, torch.ones_like(self.tokens_are_genes))
        # How many units there are is learnt, too.
        for name in ("control", "mean", *_NOISE, "names"):
            if prefix + name in state:
                self.register_buffer(name, torch.empty_like(state[prefix + name]))
        self._measured = None
        super()._load_from_state_dict(state, prefix, *rest)


class FittedShrunken(FittedBaseline):
    """The same with the base that was fitted to the units, as buffers; it is not fitted again."""

    def learn(self, units: MeasuredUnits) -> None:
        """Keep training units, and the base of what is kept."""
        super().learn(units)
        for name, array in _tensors(fit(self._units())).items():
            self.register_buffer(_BASE + name, array)
        self._base: Base | None = None

    def delta(self, contexts: Sequence[str], conditions: Sequence[Condition]) -> Delta:
        """Changes of conditions in contexts, (units, genes).

        Raises:
            RuleError: The base is of a newer version.
        """
        if self._base is None:
            kept = dict(self.named_buffers())
            self._base = Base.from_arrays(
                {
                    name.removeprefix(_BASE): one.cpu().numpy()
                    for name, one in kept.items()
                    if name.startswith(_BASE)
                }
            )
        return self._base.delta(contexts, conditions)

    def _load_from_state_dict(self, state: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        mine = [name for name, _ in self.named_buffers() if name.startswith(_BASE)]
        if prefix + "names" in state and not any(prefix + name in state for name in mine):
            log.warning(
                "this shrunken model is of a version that kept no base; it is fitted again by "
                "today's rule (%d) and may predict other values than before: train it anew",
                RULE,
            )
            names = ("control", "mean", "names", *_NOISE)
            older = {name: state.get(prefix + name, torch.zeros(0)) for name in names}
            for name, array in _tensors(fit(_read(older, genes=self.genes))).items():
                state[prefix + _BASE + name] = array
            state.setdefault(prefix + _MARK, self.tokens_are_genes)
        for name in mine:
            if prefix + name in state:
                self.register_buffer(name, torch.empty_like(state[prefix + name]))
        self._base = None
        super()._load_from_state_dict(state, prefix, *rest)


def _read(buffers: Mapping[str, Tensor], *, genes: tuple[str, ...]) -> MeasuredUnits:
    """The training units that a network keeps."""
    values = {name: one.cpu().numpy() for name, one in buffers.items()}
    named = json.loads(values["names"].tobytes())
    noise = {name: values[name].astype(np.float64) for name in _NOISE}
    return MeasuredUnits(
        contexts=tuple(named["contexts"]),
        conditions=tuple(tuple(tokens) for tokens in named["conditions"]),
        control=values["control"].astype(np.float64),
        mean=values["mean"].astype(np.float64),
        genes=genes,
        **{name: value if len(value) else None for name, value in noise.items()},
    )


def _tensors(base: Base) -> dict[str, Tensor]:
    """The arrays of a base, for a state."""
    return {
        name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in base.arrays().items()
    }


class BaselineMethod(Method):
    """A baseline that is trained and asked for cells like any model."""

    Settings = NoSettings
    fits = True

    def __init__(self, baseline: str) -> None:
        self.baseline = baseline

    def build(self, settings: NoSettings, *, vocabulary: Vocabulary, graph: Any) -> FittedBaseline:
        """No training units yet: no change."""
        kind = FittedShrunken if self.baseline == "shrunken" else FittedBaseline
        return kind(self.baseline, vocabulary=vocabulary)

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
