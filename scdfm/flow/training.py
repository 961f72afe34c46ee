"""The training loop: any iterable of cells in, rounds of validation out. Knows no cluster.

A step is a function of (weights, optimiser state, batch): times, noise and dropout are drawn from
the run's seed and the batch's index, so a stopped run continues as if it had not been stopped.
"""

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from scdfm.flow.config import TrainingConfig
from scdfm.flow.meter import Meter, Shared, StepLog
from scdfm.flow.objective import StepCells
from scdfm.flow.randomness import seed_torch, torch_generator
from scdfm.flow.rounds import RoundMean
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
class Progress:
    """Where training stands; part of a checkpoint."""

    step: int = 0
    next_batch: int = 0  # first batch nobody has trained on
    best: float | None = None
    best_step: int = 0
    rounds: int = 0  # validation rounds judged
    rounds_without_gain: int = 0
    judged: int = -1  # step of the last round


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
            where = _first_non_finite(gradients) or "all weights together"
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
        name = _first_non_finite(dict(self.model.named_parameters()))
        if name is not None:
            raise FloatingPointError(
                f"step {self.progress.step}: the weights {name} are not finite; lower "
                "training.learning_rate"
            )

    def judge(self, metrics: dict[str, float], *, watch: str, mode: str) -> Round:
        """Record a validation round and decide whether to go on.

        Args:
            metrics: Validation metrics by name.
            watch: Which of them decides; where nothing validates, the latest model counts.
            mode: "min" or "max".
        """
        score = metrics.get(watch, math.inf) * (1 if mode == "min" else -1)
        progress = self.progress
        gained = math.isfinite(score) and (progress.best is None or score < progress.best)
        gained = gained or not metrics
        # Of equal rounds the later counts: a base that carries the whole mean has one score for all
        # of them, and only its flow, which shapes the cells, goes on learning.
        improved = gained or score == progress.best
        if improved:
            progress.best, progress.best_step = score, progress.step
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

    def state(self) -> dict[str, Any]:
        """Everything a resumed run needs, as tensors and plain values."""
        return {
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict() if self.averaged else None,
            "rounds": self.rounds.state() if self.rounds else None,
            "optimiser": self.optimiser.state_dict(),
            "progress": {
                **asdict(self.progress),
                # A line is the mean of some steps, of which some may come before a stop.
                "unlogged": [losses.tolist() for losses in self.unlogged],
                "norms": list(self.norms),
                # How it was computed; another number may compute what follows.
                "workers": self.world,
                "threads": torch.get_num_threads(),
            },
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state()`, on any device.

        Raises:
            ValueError: A weight or a moment of the optimiser is not finite.
        """
        _refuse_damaged(state)
        self.model.load_state_dict(state["model"])
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"])
        if self.rounds is not None:
            self.rounds.restore(state["rounds"] or {})
        # How the update is computed belongs to this trainer, not to the one that saved.
        own = self.optimiser.param_groups
        groups = [
            {**group, "fused": mine["fused"]}
            for group, mine in zip(state["optimiser"]["param_groups"], own, strict=True)
        ]
        self.optimiser.load_state_dict({**state["optimiser"], "param_groups": groups})
        kept = dict(state["progress"])
        self.unlogged = [
            torch.tensor(losses, dtype=torch.float64) for losses in kept.pop("unlogged", [])
        ]
        self.norms = list(kept.pop("norms", []))
        # An older version kept its state after rounds only.
        kept.setdefault("judged", kept["step"])
        known = {one.name for one in fields(Progress)}
        self.progress = Progress(**{name: kept[name] for name in kept.keys() & known})


def _refuse_damaged(state: dict[str, Any]) -> None:
    moments = {
        f"{moment} of weight {weight}": tensor
        for weight, moments in state["optimiser"]["state"].items()
        for moment, tensor in moments.items()
    }
    for part in (state["model"], state["averaged"] or {}, state["rounds"] or {}, moments):
        name = _first_non_finite(part)
        if name is not None:
            raise ValueError(
                f"the training state of step {state['progress']['step']} cannot go on: {name} is "
                "not finite; delete the run's checkpoints to begin again"
            )


def _first_non_finite(tensors: dict[str, Tensor]) -> str | None:
    """Name of the first tensor with a NaN or an infinity; None if all are finite."""
    for name, tensor in tensors.items():
        # The extremes show both, and need no mask of the tensor's size.
        low, high = tensor.detach().aminmax()
        if not (math.isfinite(low.item()) and math.isfinite(high.item())):
            return name
    return None


def _weighed(losses: Sequence[Losses], *, share: float) -> Losses:
    """The sum of some batches' losses, each with its share."""

    def one(values: list[Tensor]) -> Tensor:
        mean = torch.stack(values).mean()
        weight = share * len(values)
        return mean if weight == 1 else mean * weight

    parts = {name: one([some.parts[name].detach() for some in losses]) for name in losses[0].parts}
    return Losses(total=one([some.total.detach() for some in losses]), parts=parts)


def fit(
    trainer: Trainer,
    batches: Iterable[StepCells],
    *,
    validate: Callable[[nn.Module], dict[str, float]],
    watch: str,
    mode: str,
    log: Callable[[StepLog], None],
    stop: Callable[[], bool] = lambda: False,
    shared: Shared = lambda tensor: tensor,
) -> Iterator[Round]:
    """Train until the steps are done or validation no longer improves.

    Args:
        trainer: The model and its state; changed in place.
        batches: This worker's batches, from `trainer.progress.next_batch` on.
        validate: Scores a model on the validation part.
        watch: The metric that decides which checkpoint is best.
        mode: "min" or "max".
        log: Called with the mean of every `log_every` steps.
        stop: Called after every step; True ends training there, before a round that is due.
        shared: Averages losses over workers.

    Yields:
        Every validation round; the first before any step, so that the untrained model has a row.
    """
    steps = iter(batches)
    meter = Meter(trainer)
    while True:
        if trainer.due:
            yield trainer.judge(validate(trainer.sampler), watch=watch, mode=mode)
            meter = Meter(trainer)
        if trainer.over:
            return
        with meter.waiting():
            cells = tuple(itertools.islice(steps, trainer.own))
        if len(cells) < trainer.own:
            return
        seen = sum(len(batch.target) for batch in cells)
        meter.add(trainer.step(*cells), cells=seen, shared=shared)
        if trainer.progress.step % trainer.training.log_every == 0 or trainer.due:
            log(meter.read())
        if trainer.due:
            # Before a stop, which may come before the round, or within it.
            trainer.refuse_infinite_weights()
            trainer.end_round()
        if stop():
            return
