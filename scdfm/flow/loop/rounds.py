"""The mean of the weights of the last validation rounds.

A late model wanders around a good one; the mean of some of its places is nearer to it.
Source: Izmailov et al. 2018, Averaging weights leads to wider optima.
"""

import copy

import torch
from torch import Tensor, nn


class RoundMean:
    """A network with the mean of the weights that another one had in its last rounds."""

    def __init__(self, like: nn.Module, *, last: int) -> None:
        """Begin with no round.

        Args:
            like: A network of the same form.
            last: Rounds that count.
        """
        self.network = copy.deepcopy(like)
        self.last = last
        self.kept: list[dict[str, Tensor]] = []

    def add(self, network: nn.Module) -> None:
        """Count a round's weights, and forget those of the oldest round where there are enough."""
        weights = {name: one.detach().clone() for name, one in network.named_parameters()}
        self.kept = [*self.kept, weights][-self.last :]
        self._set()

    def state(self) -> dict[str, Tensor]:
        """The weights of every round that counts, by its number and their name."""
        return {
            f"{number}.{name}": weight
            for number, weights in enumerate(self.kept)
            for name, weight in weights.items()
        }

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from `state()`, on any device."""
        device = next(self.network.parameters()).device
        rounds: dict[int, dict[str, Tensor]] = {}
        for place, weight in state.items():
            number, _, name = place.partition(".")
            rounds.setdefault(int(number), {})[name] = weight.to(device)
        self.kept = [rounds[number] for number in sorted(rounds)]
        if self.kept:
            self._set()

    def _set(self) -> None:
        with torch.no_grad():
            for name, weight in self.network.named_parameters():
                weight.copy_(torch.stack([weights[name] for weights in self.kept]).mean(dim=0))
