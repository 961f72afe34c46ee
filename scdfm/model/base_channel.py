"""The shrunken change of a cell's condition, as an input of the network beside its expression.

Axes: units (distinct conditions of a step), genes (of a step), width.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from scdfm.metrics.baselines import MeasuredUnits
from scdfm.metrics.shrunken import Base, fit
from scdfm.screen.conditions import Condition


class _Read(NamedTuple):
    """What buffers say."""

    of: Tensor  # the buffer that it was read from
    base: Base
    spread: float  # root mean square of the effects


class BaseChannel(nn.Module):
    """A base, and how its changes are embedded; at the start they add nothing.

    The base is a fact of the training cells: given before the first step, kept with the weights
    as buffers of any number of rows, and never learnt. A training unit reads a change that was
    fitted without its own cells (`cluster.work.channel`); it could read the answer otherwise.
    """

    effects: Tensor

    def __init__(self, genes: int, *, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(1, width)
        self.out = nn.Linear(width, width, bias=False)
        none = fit(
            MeasuredUnits(
                contexts=("",),
                conditions=((),),
                control=np.zeros((1, genes)),
                mean=np.zeros((1, genes)),
                noise=np.zeros(1),
            )
        )
        for name, value in none.arrays().items():
            self.register_buffer(name, torch.from_numpy(value))
        self._known: _Read | None = None

    def silence(self) -> None:
        """Let the channel add nothing until it has learnt something."""
        nn.init.zeros_(self.out.weight)

    def change(self, context: str, condition: Condition) -> NDArray[np.float64]:
        """The change of a condition in a context, (model genes,)."""
        change: NDArray[np.float64] = self._read().base.delta([context], [condition]).delta[0]
        return change

    def forward(self, base: Tensor) -> Tensor:
        """Embed changes (units, genes) as (units, genes, width)."""
        # Most genes hardly change and a few do much: both must be told apart.
        scaled = torch.asinh(base / self._read().spread).to(self.out.weight.dtype)
        embedded: Tensor = self.out(functional.silu(self.hidden(scaled.unsqueeze(-1))))
        return embedded

    def _read(self) -> _Read:
        if self._known is None or self._known.of is not self.effects:
            arrays = {name: buffer.cpu().numpy() for name, buffer in self.named_buffers()}
            base = Base.from_arrays(arrays)
            spread = float(np.sqrt(np.square(base.effects).mean())) if base.effects.size else 0.0
            self._known = _Read(of=self.effects, base=base, spread=spread or 1.0)
        return self._known

    def _load_from_state_dict(self, state: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        buffers = dict(self.named_buffers())
        kept = {name: state[prefix + name] for name in buffers if prefix + name in state}
        if kept and kept.keys() != buffers.keys():  # of an older version, whose bases held less
            base = Base.from_arrays({name: one.cpu().numpy() for name, one in kept.items()})
            for name, array in base.arrays().items():
                state.setdefault(prefix + name, torch.from_numpy(array))
        # How many tokens and contexts there are is known from the training cells, too.
        for name, buffer in buffers.items():
            if prefix + name in state:
                self.register_buffer(name, torch.empty_like(state[prefix + name]).to(buffer))
        super()._load_from_state_dict(state, prefix, *rest)
