"""What steps say since the last log line: mean losses, gradient norm, and how fast they were."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from scdfm.method import Losses

if TYPE_CHECKING:
    from scdfm.flow.training import Trainer

Shared = Callable[[Tensor], Tensor]  # the mean of a tensor over all workers


class Speed(NamedTuple):
    """How fast steps were, on average; two runs that learn the same differ in it."""

    steps_per_second: float
    cells_per_second: float  # perturbed cells, of all workers
    waiting: float  # seconds that a step waited for its cells, on this worker


class StepLog(NamedTuple):
    """What happened in a step, or on average since the last log line."""

    step: int
    loss: float
    parts: dict[str, float]  # of the loss by name, before their weights
    gradient_norm: float  # before it is limited
    learning_rate: float
    speed: Speed


class Meter:
    """Means and speed since the last reading."""

    def __init__(self, trainer: "Trainer") -> None:
        self.trainer = trainer
        self.names: tuple[str, ...] = ()  # of the parts
        self._start_clock()

    def _start_clock(self) -> None:
        self.timed, self.cells, self.waited = 0, 0, 0.0
        self.began = time.perf_counter()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time of the block as a wait for cells."""
        began = time.perf_counter()
        yield
        self.waited += time.perf_counter() - began

    def add(self, losses: Losses, *, cells: int, shared: Shared) -> None:
        """Count a step.

        Args:
            losses: Of the step.
            cells: Perturbed cells that this worker saw.
            shared: Averages losses over workers.
        """
        self.names = tuple(losses.parts)
        values = shared(torch.stack([losses.total, *losses.parts.values()]).detach())
        self.trainer.unlogged.append(values.cpu().double())
        self.trainer.norms.append(self.trainer.norm)
        self.timed += 1
        self.cells += cells * self.trainer.world

    def read(self) -> StepLog:
        """The means since the last reading; begins anew."""
        trainer = self.trainer
        total, *parts = torch.stack(trainer.unlogged).mean(dim=0).tolist()
        norm = statistics.fmean(trainer.norms)
        seconds = time.perf_counter() - self.began
        speed = Speed(
            steps_per_second=self.timed / seconds,
            cells_per_second=self.cells / seconds,
            waiting=self.waited / self.timed,
        )
        step = trainer.progress.step
        trainer.unlogged.clear()
        trainer.norms.clear()
        self._start_clock()
        return StepLog(
            step=step,
            loss=total,
            parts=dict(zip(self.names, parts, strict=True)),
            gradient_norm=norm,
            learning_rate=trainer.training.rate(step - 1),
            speed=speed,
        )
