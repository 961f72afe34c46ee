"""A worker and the others of its group: they average their losses and agree where to stop."""

from collections.abc import Callable
from enum import IntEnum

import torch
import torch.distributed
from torch import Tensor

from cluster.work.build import Place


class Wish(IntEnum):
    """What a worker wants at the end of a step."""

    GO_ON = 0
    SAVE = 1  # a training state now, then go on: its node will be taken away
    LEAVE = 2  # a training state now, then end


class Peers:
    """What a group of workers has agreed on at the end of a step.

    All workers must leave at the same step, or some would wait for the others for ever; so wishes
    travel with the losses, which are averaged in any case.
    """

    def __init__(self, place: Place, *, wish: Callable[[], Wish] = lambda: Wish.GO_ON) -> None:
        self._place, self._wish = place, wish
        self._saved = False
        self.agreed = Wish.GO_ON

    def mean(self, losses: Tensor) -> Tensor:
        """The mean of some losses over all workers; agrees on what to do next."""
        mine = self._wish()
        if self._place.world == 1:
            self.agreed = mine
            return losses
        wishes = losses.new_tensor([mine == Wish.SAVE, mine == Wish.LEAVE])
        both = torch.cat([losses, wishes])
        torch.distributed.all_reduce(both)
        *_, save, leave = both.tolist()
        self.agreed = Wish.LEAVE if leave else Wish.SAVE if save else Wish.GO_ON
        return both[:-2] / self._place.world

    @property
    def leave(self) -> bool:
        """Whether all leave after this step."""
        return self.agreed == Wish.LEAVE

    def save_once(self) -> bool:
        """Whether a training state is wanted while training goes on; True only once."""
        wanted = self.agreed == Wish.SAVE and not self._saved
        self._saved = self._saved or wanted
        return wanted
