"""A model with all that a training step changes, and what a step and a round do to it.

A step is a function of (weights, optimiser state, batch): times, noise and dropout are drawn from
the run's seed and the batch's index, so a stopped run continues as if it had not been stopped.
"""

import copy
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from scdfm.flow.config import TrainingConfig
from scdfm.flow.loop.rounds import RoundMean
from scdfm.flow.loop.state import Progress, TrainingState, first_non_finite, refuse_damaged
from scdfm.flow.objective import StepCells
from scdfm.flow.randomness import seed_torch, torch_generator
from scdfm.method import Losses
from scdfm.model.field import VelocityField


class StepLosses(Protocol):
    """What a step loses: the `losses` of a method, its settings filled in."""

    def __call__(
        self, network: nn.Module, cells: StepCells, *, generator: torch.Generator
    ) -> Losses:
        """Loss of one step, with the step's own generator."""


class Round(NamedTuple):
    """A validation round.

    Attributes:
        step: Steps done.
        metrics: Validation metrics by name.
        improved: No round before had a better value of the watched metric.
        last: Training ends here.
    """

    step: int
    metrics: dict[str, float]
    improved: bool
    last: bool


@dataclass
class Trainer:
    """A model with all that a training step changes."""

    model: nn.Module
    training: TrainingConfig
    losses: StepLosses
    seed: int
    world: int = 1  # data-parallel workers
    together: int = 0  # batches of a step; 0: `training.accumulate` of each worker
    own: int = 0  # of these, how many this worker takes; 0: `training.accumulate`
    wrapped: nn.Module | None = None  # the model inside its data-parallel wrapper
    compiled: bool = False  # run a velocity field through torch.compile
    until: int | None = None  # last step, where known beforehand; rates are those of all steps
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        self.together = self.together or self.world * self.training.accumulate
        self.own = self.own or self.training.accumulate
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(),
            lr=self.training.learning_rate,
            weight_decay=self.training.weight_decay,
            fused=True,  # one pass over the weights: several times faster, on CPU too
        )
        if isinstance(self.model, VelocityField):
            self.model.recompute = self.training.checkpoint_activations
        self.averaged = copy.deepcopy(self.model) if self.training.ema else None
        last = self.training.average_rounds
        self.rounds = RoundMean(self.model, last=last) if last > 1 else None
        self.unlogged: list[Tensor] = []  # losses of steps that no line has told of, on CPU
        self.norms: list[float] = []  # of their gradients
        self.norm = 0.0  # of the last step's gradient, before it was limited
        for model in (self.model, self.averaged, self.rounds and self.rounds.network):
            if self.compiled and isinstance(model, VelocityField):
                model.compile_velocity()

    @property
    def sampler(self) -> nn.Module:
        """The model to sample from: averaged weights where there are any."""
        if self.rounds is not None and self.rounds.kept:
            return self.rounds.network
        return self.averaged or self.model

    def end_round(self) -> None:
        """Count the weights in the mean of the last rounds, if there is one."""
        if self.rounds is not None:
            self.rounds.add(self.averaged or self.model)

    def step(self, *batches: StepCells) -> Losses:
        """Take one optimiser step on one or more batches, all of the same weight.

        Returns:
            This worker's losses, whose mean over workers is that over all batches.

        Raises:
            FloatingPointError: Loss or gradient is not finite; names step, part and conditions.
        """
        self.model.train()
        for group in self.optimiser.param_groups:
            group["lr"] = self.training.rate(self.progress.step)
        self.optimiser.zero_grad(set_to_none=True)
        # Workers average their gradients, also where some take more batches than others.
        share = self.world / self._all(batches)
        losses = []
        for number, cells in enumerate(batches, start=1):
            with self._alone(number < len(batches)):
                losses.append(self._backward(cells, share=share))
        self._clip(batches)
        self.optimiser.step()
        self._average()
        self.progress.step += 1
        self.progress.next_batch += self._all(batches)
        return losses[0] if share == 1 else _weighed(losses, share=share)

    def _all(self, batches: Sequence[StepCells]) -> int:
        """Batches of a step, those of other workers included."""
        return self.together if len(batches) == self.own else self.world * len(batches)

    def _alone(self, alone: bool) -> AbstractContextManager[None]:
        """Workers exchange gradients after the last batch of a step only."""
        inside = getattr(self.wrapped, "no_sync", None) if alone else None
        context: AbstractContextManager[None] = nullcontext() if inside is None else inside()
        return context

    def _backward(self, cells: StepCells, *, share: float) -> Losses:
        """Add a batch's share of the step's gradient."""
        seed_torch(self.seed, "dropout", cells.index)
        losses = self.losses(
            self.wrapped or self.model,
            cells,
            generator=torch_generator(self.seed, "flow", cells.index),
        )
        self._refuse_non_finite(losses, cells)
        total = losses.total if share == 1 else losses.total * share
        total.backward()  # type: ignore[no-untyped-call]
        return losses

    def _average(self) -> None:
        if self.averaged is None or self.training.ema is None:
            return
        # Early on the average follows closely, or it would remember the random start.
        step = self.progress.step
        decay = min(self.training.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            averaged: list[Tensor] = list(self.averaged.parameters())
            current: list[Tensor] = list(self.model.parameters())
            torch._foreach_lerp_(averaged, current, 1 - decay)

    def _refuse_non_finite(self, losses: Losses, cells: StepCells) -> None:
        parts = {**losses.parts, "total": losses.total}
        values = torch.stack([part.detach() for part in parts.values()])  # one look at the device
        for part, value in zip(parts, values.tolist(), strict=True):
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"step {self.progress.step}: the {part} loss is {value} on "
                    f"{', '.join(cells.names)}; lower training.learning_rate or set "
                    "training.clip_norm"
                )

    def _clip(self, batches: Sequence[StepCells]) -> None:
        """Limit the gradient; refuse one that would make every weight infinite at once."""
        gradients = {
            name: weight.grad
            for name, weight in self.model.named_parameters()
            if weight.grad is not None
        }
        norm = nn.utils.get_total_norm(gradients.values())
        self.norm = norm.item()
        if not math.isfinite(self.norm):
            where = first_non_finite(gradients) or "all weights together"
            names = dict.fromkeys(name for cells in batches for name in cells.names)
            elsewhere = "" if self.world == 1 else " or on another worker's cells"
            raise FloatingPointError(
                f"step {self.progress.step}: the gradient of {where} is not finite on "
                f"{', '.join(names)}{elsewhere}; lower training.learning_rate or set "
                "precision to float32"
            )
        if self.training.clip_norm:
            nn.utils.clip_grads_with_norm_(
                self.model.parameters(), self.training.clip_norm, total_norm=norm
            )

    def refuse_infinite_weights(self) -> None:
        """Make sure that the weights to judge and keep are finite.

        Raises:
            FloatingPointError: A weight is not finite, though every loss and gradient was.
        """
        # Part by part: the 2-norm of huge but finite weights could itself overflow.
        name = first_non_finite(dict(self.model.named_parameters()))
        if name is not None:
            raise FloatingPointError(
                f"step {self.progress.step}: the weights {name} are not finite; lower "
                "training.learning_rate"
            )

    def judge(
        self, metrics: dict[str, float], *, watch: str, mode: str, shape: float | None = None
    ) -> Round:
        """Record a validation round and decide whether to go on.

        Args:
            metrics: Validation metrics by name.
            watch: Which of them decides; where nothing validates, the latest model counts.
            mode: "min" or "max".
            shape: How far the flow's own cells are from the real ones; none: not known.
        """
        sign = 1 if mode == "min" else -1
        score = metrics.get(watch, math.inf) * sign
        progress = self.progress
        gained = math.isfinite(score) and (progress.best is None or score < progress.best)
        gained = gained or not metrics
        # A base that carries the whole mean gives all rounds one score: then the flow's own cells
        # decide, and if these are as near to the real ones, too, the later round counts.
        before = progress.best_shape
        apart = 0.0 if shape is None or before is None else shape - before
        equal = score == progress.best and not gained
        gained = gained or (equal and apart < 0)
        improved = gained or (equal and apart <= 0)
        if improved:
            progress.best, progress.best_step, progress.best_shape = score, progress.step, shape
        progress.rounds, progress.judged = progress.rounds + 1, progress.step
        progress.rounds_without_gain = 0 if gained else progress.rounds_without_gain + 1
        return Round(step=progress.step, metrics=metrics, improved=improved, last=self.over)

    @property
    def over(self) -> bool:
        """Whether all steps are done, or patience has run out."""
        patience, waited = self.training.patience, self.progress.rounds_without_gain
        tired = patience is not None and waited >= patience and self.until is None
        return tired or self.progress.step >= self.last_step

    @property
    def last_step(self) -> int:
        """The step that ends training, if patience does not."""
        return self.training.steps if self.until is None else self.until

    @property
    def due(self) -> bool:
        """Whether a validation round comes next."""
        step, training = self.progress.step, self.training
        return step != self.progress.judged and (
            step % training.validate_every == 0 or step >= self.last_step
        )

    def state(self) -> TrainingState:
        """Everything a resumed run needs, as tensors and plain values."""
        return {
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict() if self.averaged else None,
            "rounds": self.rounds.state() if self.rounds else None,
            "optimiser": self.optimiser.state_dict(),
            "progress": {
                **self.progress.kept(),
                # A line is the mean of some steps, of which some may come before a stop.
                "unlogged": [losses.tolist() for losses in self.unlogged],
                "norms": list(self.norms),
                # How it was computed; another number may compute what follows.
                "workers": self.world,
                "threads": torch.get_num_threads(),
            },
        }

    def restore(self, state: TrainingState) -> None:
        """Continue from `state()`, on any device.

        Raises:
            ValueError: A weight or a moment of the optimiser is not finite.
        """
        refuse_damaged(state)
        self.model.load_state_dict(state["model"])
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"] or {})
        if self.rounds is not None:
            self.rounds.restore(state["rounds"] or {})
        # How the update is computed belongs to this trainer, not to the one that saved.
        own = self.optimiser.param_groups
        groups = [
            {**group, "fused": mine["fused"]}
            for group, mine in zip(state["optimiser"]["param_groups"], own, strict=True)
        ]
        self.optimiser.load_state_dict({**state["optimiser"], "param_groups": groups})
        kept = state["progress"]
        self.unlogged = [
            torch.tensor(losses, dtype=torch.float64) for losses in kept.get("unlogged", [])
        ]
        self.norms = list(kept.get("norms", []))
        self.progress = Progress.of(kept)


def _weighed(losses: Sequence[Losses], *, share: float) -> Losses:
    """The sum of some batches' losses, each with its share."""

    def one(values: list[Tensor]) -> Tensor:
        mean = torch.stack(values).mean()
        weight = share * len(values)
        return mean if weight == 1 else mean * weight

    parts = {name: one([some.parts[name].detach() for some in losses]) for name in losses[0].parts}
    return Losses(total=one([some.total.detach() for some in losses]), parts=parts)
