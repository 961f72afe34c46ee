"""Steps and validation rounds in turn, until training is over. Knows no cluster."""

import itertools
from collections.abc import Callable, Iterable, Iterator

from torch import nn

from scdfm.flow.loop.meter import Meter, Shared, StepLog
from scdfm.flow.objective import StepCells
from scdfm.flow.training import Round, Trainer


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
    shape: Callable[[], float | None] = lambda: None,
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
        shape: How far the last round's own cells are from the real ones; it decides between equals.

    Yields:
        Every validation round; the first before any step, so that the untrained model has a row.
    """
    steps = iter(batches)
    meter = Meter(trainer)
    while True:
        if trainer.due:
            scores = validate(trainer.sampler)
            yield trainer.judge(scores, watch=watch, mode=mode, shape=shape())
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
