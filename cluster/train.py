"""Train one run: through Ray Train on any number of workers, or in this process.

A Ray worker wires and reports; what it learns is `cluster.work.learn`. Checkpoints are files in the
run's directory and not Ray's, so any process can continue a run.
"""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import ray
import ray.train
import ray.train.torch
import torch
from ray.train import ScalingConfig
from ray.train.torch import TorchTrainer
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2.api.exceptions import WorkerGroupError

from cluster.loopback import Listening, OnOneMachine
from cluster.nodes.examine import Needs
from cluster.nodes.following import following
from cluster.nodes.losses import reason
from cluster.nodes.preflight import check_here, check_nodes
from cluster.nodes.stall import Watchdog, watched
from cluster.notices import node_goes_away, told_to_end
from cluster.runs.begin import OpenRun
from cluster.runs.directory import RunDirectory, TrainResult
from cluster.runs.stop import Stop, StoppedError, stoppable
from cluster.runs.stores.kept import OpenStore
from cluster.runs.whole.first_weights import warn_if_untrained
from cluster.session import local_folder, require, session, share
from cluster.settings.config import RunConfig
from cluster.settings.group_size import GroupSize
from cluster.storage.places import address_of, named
from cluster.work.build import Place
from cluster.work.group.follow import Follow, Workers
from cluster.work.group.heard import FarWorkers, Heard, teller
from cluster.work.group.peers import Wish
from cluster.work.keeper import Report
from cluster.work.learn import learn
from cluster.work.members.training import train_whole
from data_store.store.reader import Store
from scdfm.flow.training import Round
from scdfm.screen.address import url_of
from scdfm.screen.progress import phase

log = logging.getLogger(__name__)


def train(
    run: RunConfig,
    *,
    workers: int | tuple[int, int] = 1,
    cpus_per_worker: int | None = None,
    gpu: bool = False,
    address: str | None = None,
    report: Report = lambda line: None,
) -> TrainResult:
    """Train a run through Ray Train; continue it when it was begun, return when it is done.

    Args:
        run: What to train.
        workers: Data-parallel workers; or the fewest and the most, of which as many train as the
            cluster has room for, also while its nodes come and go. A step takes the batches of the
            most.
        cpus_per_worker: Cores of a worker; default an equal share of the cluster.
        gpu: One GPU for each worker.
        address: Of a Ray cluster; default RAY_ADDRESS, else Ray starts on this machine.
        report: Receives every line of metrics.jsonl.

    Raises:
        ValueError: The run contradicts its directory, or the cluster is too small.
        RuntimeError: Training failed, also after restarts.
    """
    opened = OpenRun(run)
    opened.check()
    done = opened.result()
    if done is not None:
        return done
    size = GroupSize.of(workers)
    needs = _needs(opened, workers=size.least, gpu=gpu)
    check_here(needs, address=address)
    with session(address):
        cpus = cpus_per_worker or share(size.most)
        remedy = "ask for fewer --workers or --cpus-per-worker"
        require(
            size.least,
            what="worker",
            cpus=cpus,
            gpus=1 if gpu else 0,
            remedy=f"{remedy}, or leave --gpu out" if gpu else remedy,
        )
        check_nodes(replace(needs, cpus=cpus))
        with (
            opened.directory.held() as directory,
            directory.said.kept(reason=reason) as prepared,
        ):
            phase(log, "preparing genes, split and graph")
            opened.prepare(directory)
            prepared()
            phase(log, "starting workers")
            one = partial(_fit, size=size, cpus=cpus, gpu=gpu)
            train_whole(opened, directory, one=one, report=report)
    result = opened.directory.result()
    warn_if_untrained(result.model, run=opened.directory)
    return result


def _needs(opened: OpenRun, *, workers: int, gpu: bool) -> Needs:
    """What the run needs of the nodes of its workers."""
    with opened.open_store() as store:
        return Needs(
            outputs=(named(opened.directory.path.parent),),
            store=url_of(opened.config.store) or str(Path(opened.config.store).absolute()),
            fingerprint=store.fingerprint,
            gpu=gpu,
            pieces=workers,
        )


def train_inside(
    run: RunConfig,
    *,
    workers: int,
    cpus: int,
    gpu: bool,
    fingerprint: str | None = None,
) -> None:
    """Train a run by workers, in a job that ends with it (`cluster.job`).

    Args:
        run: What to train.
        workers: Data-parallel workers.
        cpus: Cores of each.
        gpu: One GPU for each.
        fingerprint: Of the store's version to begin with; default the newest.

    Raises:
        StoppedError: They were asked to stop, and have.
        RuntimeError: Training failed, also after restarts.
    """
    opened = OpenRun(run, fingerprint=fingerprint)
    opened.check()
    with opened.directory.held() as directory, directory.said.kept(reason=reason) as prepared:
        opened.prepare(directory)
        prepared()
        size = GroupSize.of(workers)
        one = partial(_fit, size=size, cpus=cpus, gpu=gpu, trainer=_OfOneJob)
        try:
            train_whole(opened, directory, one=one, report=lambda line: None)
        except KeyboardInterrupt as error:
            raise StoppedError(f"{directory} was asked to stop; train it again to go on") from error
        except WorkerGroupError as error:  # of what a worker has raised itself
            failure = next(iter(error.worker_failures.values()))
            raise getattr(failure, "_base_exc", failure) from error


class _OfOneJob(TorchTrainer):
    """Leaves placement groups to the end of the job.

    Ray Train's cleaner is a detached actor, which outlives the job. It asks the dashboard whether
    the controller lives, and a local Ray has none: then it neither cleans nor ends.
    """

    def _create_default_callbacks(self) -> list[Any]:
        every: list[Any] = super()._create_default_callbacks()  # type: ignore[misc]
        return [one for one in every if not isinstance(one, PlacementGroupCleanerCallback)]


def _fit(
    run: RunConfig,
    directory: RunDirectory,
    *,
    size: GroupSize,
    cpus: int,
    gpu: bool,
    report: Report,
    trainer: type[TorchTrainer] = TorchTrainer,
) -> None:
    """Have workers train, and pass on what they write.

    Raises:
        KeyboardInterrupt: They were asked to stop, and did.
    """
    directory.refusal.forget()
    local = local_folder()
    far = address_of(directory.path) is not None
    follow = (Heard if far else Follow)(directory, steps=run.training.steps, report=report)
    try:
        with (
            directory.rays_own_files() as files,
            following(
                directory.path, limits=run.failure, workers=size, cpus=cpus, gpus=int(gpu)
            ) as kept,
            stoppable(_workers(directory, lost=kept.lost, follow=follow), stop=directory.stop),
            follow,
        ):
            trainer(
                partial(_worker, run, directory, home=Path.cwd(), most=size.most),
                torch_config=Listening() if local is None else OnOneMachine(folder=str(local)),
                scaling_config=ScalingConfig(
                    # A pair makes the group elastic; the annotation is that of Ray Train before.
                    num_workers=(size.least, size.most) if size.elastic else size.most,  # type: ignore[arg-type]
                    use_gpu=gpu,
                    resources_per_worker=_resources(cpus, gpu=gpu),
                ),
                run_config=ray.train.RunConfig(
                    name=directory.path.name,
                    storage_path=str(files),
                    failure_config=kept.failures,
                    callbacks=kept.callbacks,
                ),
            ).fit()
            directory.take_back()
            if directory.stop.asked and not directory.finished:
                raise KeyboardInterrupt
    finally:
        directory.refusal.repeat()


def _workers(directory: RunDirectory, *, lost: Callable[[], bool], follow: Follow) -> Workers:
    if isinstance(follow, Heard):
        return FarWorkers(directory, lost=lost, heard=follow)
    return Workers(directory, lost=lost)


def train_here(
    run: RunConfig,
    *,
    device: str = "cpu",
    fingerprint: str | None = None,
    on_round: Callable[[Round], bool] = lambda outcome: True,
    report: Report = lambda line: None,
    watchdog: Watchdog | None = None,
    stop: Stop | None = None,
    opener: OpenStore = Store.open,
) -> TrainResult:
    """Train a run in this process, without Ray.

    Args:
        run: What to train.
        device: "cpu" or "cuda".
        fingerprint: Of the store's version to begin with; default the newest.
        on_round: Called after every validation round, of folds and members not; False stops early,
            and the result says that it is not finished.
        report: Receives every line of metrics.jsonl.
        watchdog: Ends the process if it takes no step; none: it is a caller's.
        stop: Where another process may ask to stop; default the run's directory.
        opener: Opens the run's store; a process of many runs may keep it open.

    Raises:
        StoppedError: It was asked to stop.
    """
    opened = OpenRun(run, fingerprint=fingerprint, opener=opener)
    opened.check()
    with opened.directory.held() as directory, directory.said.kept() as prepared:
        opened.prepare(directory)
        prepared()
        directory.stop.forget()
        asked = stop or directory.stop
        if not directory.finished:
            place = Place(device=torch.device(device))

            def one(part: RunConfig, held: RunDirectory, *, report: Report) -> None:
                stops = on_round if part == run else _go_on
                done = learn(
                    part,
                    held.here(writer=True),
                    place=place,
                    on_round=stops,
                    report=report,
                    watchdog=watchdog or Watchdog(),
                    stop=asked,
                    opener=opener,
                )
                if not done and asked.asked:
                    raise StoppedError(f"{held} was asked to stop; train it again to go on")

            with _threads(run.threads):
                train_whole(opened, directory, one=one, report=report)
    return opened.directory.result()


def _go_on(outcome: Round) -> bool:
    return True


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    """Compute with so many threads, if told; the process is a caller's, so leave it as it was."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _worker(run: RunConfig, directory: RunDirectory, *, home: Path, most: int) -> None:
    """Train on this worker's share of the batches, reporting every validation round.

    Raises:
        RuntimeError: Its process was told to end; the group is started again without it.
    """
    # Ray puts workers into a directory of their own; a run's paths mean the driver's.
    if home.is_dir():
        os.chdir(home)
    if directory.refusal.written or directory.stop.asked:
        return
    me = ray.train.get_context()
    directory = directory.here(writer=me.get_world_rank() == 0)
    mine = ray.get_runtime_context().get_assigned_resources()  # type: ignore[no-untyped-call]
    torch.set_num_threads(run.threads or max(1, int(mine.get("CPU", 1))))

    def on_round(outcome: Round) -> bool:
        ray.train.report({"step": outcome.step, **outcome.metrics})
        return True

    with (
        directory.refusal.kept(alone=me.get_world_size() == 1),
        watched(
            directory.path,
            who=f"worker {me.get_world_rank()}",
            seconds=run.failure.stall_timeout,
        ) as watchdog,
    ):
        done = learn(
            run,
            directory,
            place=Place(
                rank=me.get_world_rank(),
                world=me.get_world_size(),
                device=ray.train.torch.get_device(),
                most=most,
            ),
            on_round=on_round,
            report=teller(directory),
            watchdog=watchdog,
            wrap=ray.train.torch.prepare_model if me.get_world_size() > 1 else None,
            wish=_wish,
        )
    if not done and not directory.stop.asked:
        raise RuntimeError(f"a worker of {run.name} was told to end; its last step is kept")


def _wish() -> Wish:
    """What this worker wants at the end of a step."""
    if told_to_end():
        return Wish.LEAVE
    return Wish.SAVE if node_goes_away() else Wish.GO_ON


def _resources(cpus: int, *, gpu: bool) -> dict[str, float]:
    return {"CPU": cpus, "GPU": 1} if gpu else {"CPU": cpus}
