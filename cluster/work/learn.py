"""One worker's share of a run: read the plan, feed the trainer, score; the keeper writes.

`cluster.runs.directory` describes what is written, and where.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing

from torch import nn

from cluster.nodes.stall import Watchdog
from cluster.runs.directory import RunDirectory
from cluster.runs.plan import Plan
from cluster.runs.precision import arithmetic
from cluster.runs.provenance import provenance
from cluster.runs.stop import Stop
from cluster.runs.stores.kept import OpenStore
from cluster.settings.config import RunConfig
from cluster.work.build import Place, make_trainer
from cluster.work.channel import keep_one_base, with_channel
from cluster.work.feed import feed
from cluster.work.group.peers import Peers, Wish
from cluster.work.group.shared import PausedError
from cluster.work.keeper import Keeper, Report
from cluster.work.means import measured_units
from cluster.work.validation import Validation
from cluster.work.watch.watched import Watched
from data_store.store.reader import Store
from data_store.stream import Batch, Stream
from scdfm.flow.loop.fit import fit
from scdfm.flow.training import Round, Trainer
from scdfm.method import METHODS, settings_of
from scdfm.model.field import VelocityField

log = logging.getLogger(__name__)


def learn(
    run: RunConfig,
    directory: RunDirectory,
    *,
    place: Place,
    on_round: Callable[[Round], bool],
    report: Report,
    watchdog: Watchdog,
    wrap: Callable[[nn.Module], nn.Module] | None = None,
    stop: Stop | None = None,
    opener: OpenStore = Store.open,
    wish: Callable[[], Wish] = lambda: Wish.GO_ON,
) -> bool:
    """Train on this worker's share of the batches until the run is done; False if it is not.

    Args:
        run: The run.
        directory: The run's, held, as `OpenRun.prepare` made it; a worker that lost it stops
            before it writes.
        place: Rank, number of workers, device.
        on_round: Called after every validation round; False stops early.
        report: Receives what is written to metrics.jsonl, on rank 0.
        watchdog: Is told of every step, and of every unit that a validation round predicts.
        wrap: Puts the field into its data-parallel wrapper.
        stop: Where a driver asks to stop; none: in the run's directory.
        opener: Opens the run's store.
        wish: What this worker wants at the end of a step.
    """
    stop = stop or directory.stop
    begun = directory.manifest
    assert begun is not None
    with (
        Watched() as watch,  # at the very end: it may wait for a server
        arithmetic(run.precision, device=place.device, compile=run.compile) as how,
        # The store may have grown since `prepare`.
        opener(run.store, fingerprint=begun.fingerprint) as store,
    ):
        directory.require_plan()
        plan = Plan.load(directory.path, run=run, store=store)
        plan, changes = with_channel(plan, run, store)
        checkpoint = directory.states.read()
        # A run that goes on does not need the model that it started from.
        first = begun.init_from if checkpoint is None else None
        trainer = make_trainer(run, plan, place=place, how=how, wrap=wrap, first=first)
        if begun.folds is not None:
            trainer.until = begun.folds.step
        facts = provenance(store, run=run.name, address=run.store)
        weight = None if begun.folds is None else begun.folds.flow

        def between() -> None:
            watchdog.step()
            if stop.asked:
                raise PausedError("asked to stop in a validation round")

        validation = Validation(
            run,
            plan,
            store,
            how,
            weight=weight,
            interval=None if begun.folds is None else begun.folds.interval,
            place=place,
            between=between,
            watchdog=watchdog,
        )
        keeper = Keeper(
            run,
            directory,
            facts=facts,
            plan=plan,
            trainer=trainer,
            validation=validation,
            how=how,
            report=report,
            watch=watch,
        )
        if checkpoint is not None:
            trainer.restore(checkpoint.state)
            _keep_one_base(trainer, plan, told=place.rank == 0)
        elif METHODS[run.method].fits:
            _fit_at_once(run, trainer, plan, store)
        if place.rank == 0:
            keeper.begin(checkpoint)
        stream = Stream(
            store,
            targets=plan.training,
            genes=plan.genes.model,
            config=run.batch,
            seed=run.seed,
            references=run.loss.mmd_cells or 0,
        )
        start = trainer.progress.next_batch
        drawn = stream.batches(
            start=start, rank=place.rank, world=place.world, together=trainer.together
        )
        peers = Peers(place, wish=lambda: Wish.LEAVE if stop.asked else wish())

        def leave() -> bool:
            if peers.save_once() and place.rank == 0:
                keeper.save()
            return peers.leave

        with closing(drawn) as batches, keeper:
            cells = feed(
                _told(batches, watchdog),
                store=store,
                vocabulary=plan.vocabulary,
                device=place.device,
                changes=changes,
            )
            rounds = fit(
                trainer,
                cells,
                validate=lambda field: (
                    validation(field)
                    if begun.folds is None
                    else begun.folds.scores(trainer.progress.step)
                ),
                watch=run.validation.metric,
                mode=run.validation.mode,
                log=keeper.log if place.rank == 0 else lambda line: None,
                stop=leave,
                shared=peers.mean,
                shape=lambda: validation.shape,
            )
            done = _go(rounds, keeper=keeper, rank=place.rank, on_round=on_round, peers=peers)
        if place.rank == 0 and peers.leave and stop.asked:
            directory.stop.answer(trainer.progress.step)
    directory.publish()  # what watchers wrote last
    return done


def _told(batches: Iterable[Batch], watchdog: Watchdog) -> Iterator[Batch]:
    """The same batches; a step begins with each."""
    for batch in batches:
        watchdog.step()
        yield batch


def _keep_one_base(trainer: Trainer, plan: Plan, *, told: bool) -> None:
    """Let a run of an older version go on with the base channel that its units read now."""
    other = False
    for network in (trainer.model, trainer.averaged):
        if isinstance(network, VelocityField) and network.config.base_channel:
            other |= keep_one_base(network, plan.given)
    if other and told:
        log.warning(
            "the base channel of the steps before was fitted by an older version; the run goes on "
            "with one of today's: to compare it with others, train it anew under another name"
        )


def _fit_at_once(run: RunConfig, trainer: Trainer, plan: Plan, store: Store) -> None:
    """Let a method learn from the means of the training units; then there are no steps to take."""
    units = measured_units(store, plan.training, columns=plan.genes.model)
    for network in (trainer.model, trainer.averaged):
        if network is not None:
            METHODS[run.method].fit(network, units, settings=settings_of(run))
    trainer.progress.step = run.training.steps


def _go(
    rounds: Iterator[Round],
    *,
    keeper: Keeper,
    rank: int,
    on_round: Callable[[Round], bool],
    peers: Peers,
) -> bool:
    """Go through the rounds; False if training ended before the run was done."""
    try:
        for outcome in rounds:
            if rank == 0:
                keeper.keep(outcome)
            if not on_round(outcome):
                return False
    except PausedError:  # the state before it is kept, and it is done again
        peers.agreed = Wish.LEAVE
    if rank == 0 and peers.leave:
        keeper.pause()
    elif rank == 0:
        keeper.finish()
    return not peers.leave
