"""Predict many cells with a pool of Ray actors, as AnnData.

The request decides every cell's row, its control cell and its place in a shard, before the first
cell is computed. A task is one shard; actors write shards and nothing else, so their number, order
and losses change no byte. Unfinished work is in `OUT.partial`; the manifest is written last, then
the directory is renamed, so OUT is always complete.
"""

import logging
from functools import cached_property
from pathlib import Path

import numpy as np
import ray
import torch
from numpy.typing import NDArray

from cluster.nodes.examine import Needs
from cluster.nodes.preflight import check_here, check_nodes
from cluster.nodes.stall import Watchdog, stalls, watched
from cluster.nodes.team import Team
from cluster.nodes.waiting import Waiting
from cluster.predict.far import place_of
from cluster.predict.options import PredictionRequest
from cluster.predict.place import Begun, PredictionPlace
from cluster.predict.request import SHARD, THREADS, Part, Work, look_up, warn_of_unseen
from cluster.predict.rows import obs_of
from cluster.predict.summary import add_intervals, require_table, write_summary
from cluster.runs.find_model import model_directory
from cluster.runs.lease import check
from cluster.runs.precision import set_up
from cluster.runs.store_version import open_version
from cluster.runs.whole.unfinished import warn_if_unfinished
from cluster.session import require, session
from cluster.settings.failure import FailureLimits
from cluster.storage.places import address_of
from cluster.work.controls import StoreControls
from cluster.work.model_sampler import sampler_of
from cluster.work.sampler import Sampler, columns_in, starting_cells
from data_store.store.reader import Store
from scdfm.flow.certainty.ensemble import open_model
from scdfm.flow.checkpoint import read_card
from scdfm.screen.address import url_of
from scdfm.screen.progress import OnProgress, Progress, phase

log = logging.getLogger(__name__)

PLACEMENT = FailureLimits().placement_timeout  # seconds that all actors may wait for room
STALL = FailureLimits().stall_timeout  # seconds without a batch until an actor is ended


def predict(
    request: PredictionRequest,
    *,
    actors: int = 1,
    gpu: bool = False,
    address: str | None = None,
    summary: Path | None = None,
    report: OnProgress = lambda now: None,
) -> Path:
    """Predict cells of new conditions; continue when it was begun, return when it is done.

    Args:
        request: What to predict.
        actors: Ray actors that share the work, one core each.
        gpu: One GPU for each actor.
        address: Of a Ray cluster; default RAY_ADDRESS, else Ray starts on this machine.
        summary: File for means and intervals of each condition, .csv or .parquet.
        report: Receives how many shards are done.

    Raises:
        ValueError: Model, store, conditions, contexts or genes do not fit together.
        FileExistsError: Something else stands at `out`, or was begun there.
    """
    if summary is not None:
        require_table(summary)
    # A cluster's workers stand elsewhere, so paths are absolute from here on.
    asked = request.model_copy(update={"store": _absolute(request.store)})
    place = place_of(request.out, overwrite=request.overwrite)
    with open_version(
        asked.store,
        trained_on=read_card(model_directory(request.model)).provenance.fingerprint,
        begun_on=place.store,
        contexts=request.contexts,
    ) as store:
        work = look_up(request, store, device="cuda" if gpu else "cpu")
        place = place.about(work.identity, size=(work.cells, len(work.genes)), rows=SHARD)
        warn_of_unseen(work.provenance.unseen)
        warn_if_unfinished(work.request.model)
        if place.is_done(work.identity):
            log.info(f"{url_of(request.out) or request.out} is done: nothing is predicted again")
            place.tidy_after(work.identity)
        else:
            here = work._replace(
                request=asked.model_copy(update={"model": _elsewhere(work.request.model)})
            )
            with place.writing() as token:
                begun = place.goes_on(_begun(here))
                if not (begun and place.cells.is_sealed):
                    needs = _needs(here, actors=actors, gpu=gpu)
                    check_here(needs, address=address)
                    with session(address):
                        _require(here, actors=actors, gpu=gpu)
                        check_nodes(needs)
                        _lay_out(place, here, store, goes_on=begun)
                        _fill(here, place, token, actors=actors, gpu=gpu, report=report)
                    place.gather()
                    phase(log, "making means and intervals")
                    intervals = add_intervals(place.cells, work, store)
                    log.info(intervals.note)
                    log.info(intervals.far)
                    place.cells.seal(here.provenance.facts())
                place.finish()
            place.tidy()
        if summary is not None:
            local = work.request.model_copy(update={"out": place.out})
            write_summary(summary, work._replace(request=local))
    return request.out


def _absolute(store: str) -> str:
    return url_of(store) or str(Path(store).absolute())


def _elsewhere(path: Path) -> Path:
    """How a process on any machine names a path; an address for what lives at one."""
    address = url_of(path) or address_of(path)
    return path.absolute() if address is None else Path(address)


def _begun(work: Work) -> Begun:
    model = work.request.model
    return Begun(
        provenance=work.provenance,
        model=url_of(model) or str(model.resolve()),
        store=url_of(work.request.store) or str(Path(work.request.store).resolve()),
    )


def _require(work: Work, *, actors: int, gpu: bool) -> None:
    """Refuse what the cluster could never run, before anything is written."""
    pool = min(actors, work.shards)
    remedy = "ask for fewer --actors"
    require(
        pool,
        what="actor",
        cpus=THREADS,
        gpus=1 if gpu else 0,
        remedy=f"{remedy}, or leave --gpu out" if gpu else remedy,
    )


def _needs(work: Work, *, actors: int, gpu: bool) -> Needs:
    """What the work needs of the nodes of its actors."""
    request = work.request
    return Needs(
        outputs=(url_of(request.out.parent) or request.out.absolute().parent,),
        inputs=() if url_of(request.model) else (request.model,),
        store=request.store,
        fingerprint=work.identity.store,
        gpu=gpu,
        pieces=min(actors, work.shards),
        cpus=THREADS,
    )


def _lay_out(place: PredictionPlace, work: Work, store: Store, *, goes_on: bool) -> None:
    """Lay the result out."""
    card = read_card(model_directory(work.request.model))
    lay_out = place.go_on if goes_on else place.begin
    lay_out(
        _begun(work),
        obs=obs_of(work, store),
        genes=tuple(card.genes[k] for k in work.genes),
        control=store.words.spell(()),
        rows=SHARD,
    )


def _fill(
    work: Work, place: PredictionPlace, token: str, *, actors: int, gpu: bool, report: OnProgress
) -> None:
    """Give the missing shards to actors, one at a time to each."""
    todo = place.missing(work.shards)
    phase(log, "starting actors")
    kind = ray.remote(num_cpus=THREADS, num_gpus=1 if gpu else 0)(Predictor)
    pool = min(actors, len(todo))
    team: Team[int] = Team(
        kind,
        [(work, place, token, gpu)] * pool,
        ask=lambda actor, shard: actor.write.remote(shard),
        called=lambda shard: f"shard {shard}",
    )
    done = work.shards - len(todo)
    stalled = {stall.file for stall in stalls(place.partial, known=set())}
    with Waiting(
        "actor",
        pieces=pool,
        cpus=THREADS,
        gpus=int(gpu),
        timeout=PLACEMENT,
        waits=lambda: _waits(team, place.partial, known=stalled),
    ) as room:
        for one in team.work(todo):
            if room.expired:
                raise RuntimeError(
                    f"gave up {room.line}, after {PLACEMENT:g} s; ask for fewer --actors, or add "
                    "nodes, and run the command again to go on"
                )
            if one is not None:
                done += 1
                cells = min(done * SHARD, work.cells)
                report(Progress(done, work.shards, "shards", note=f"{cells} cells"))


def _waits(team: Team[int], partial: Path, *, known: set[Path]) -> bool:
    """Whether no actor runs; says which have stalled."""
    for stall in stalls(partial, known=known):
        log.warning(stall.line)
    return team.waits


class Predictor:
    """One actor: keeps model and store open, and writes the shards it is given."""

    def __init__(self, work: Work, place: PredictionPlace, token: str, gpu: bool) -> None:
        torch.set_num_threads(THREADS)
        self.device = torch.device("cuda" if gpu else "cpu")
        self.work, self.place, self.token = work, place.here(), token
        self.store = Store.open(work.request.store, fingerprint=work.identity.store)
        self.watchdog = Watchdog()

    @cached_property
    def model(self) -> Path:
        """Where the model is on this machine."""
        return model_directory(self.work.request.model)

    @cached_property
    def sampler(self) -> Sampler:
        """Made for the first shard, so an error fails a task and not the whole actor."""
        request = self.work.request
        how = set_up(request.precision, device=self.device)
        promised = self.work.identity.precision
        if how.precision != promised:
            raise ValueError(
                f"expected a GPU with {promised} for precision {request.precision}, got one "
                f"without; ask for --precision {how.precision}"
            )
        model = open_model(self.model)
        model.field.to(self.device)
        return sampler_of(model, genes=self.work.genes, seed=request.seed, products=how.products)

    @cached_property
    def controls(self) -> StoreControls:
        """The store's controls, as the model reads them."""
        return StoreControls(self.store, columns_in(self.store, read_card(self.model)))

    @cached_property
    def kept(self) -> NDArray[np.int64]:
        """Places of the genes asked for among those that are generated, (genes,)."""
        return np.searchsorted(self.sampler.genes, self.work.genes)

    def write(self, shard: int) -> None:
        """Generate the cells of a shard and write them."""
        with watched(self.place.partial, who="an actor", seconds=STALL) as self.watchdog:
            values = np.concatenate([self.cells(part) for part in self.work.parts(shard)])
        check(self.place.partial, self.token)
        self.place.keep(shard, values)

    def cells(self, part: Part) -> NDArray[np.float32]:
        """Generate some cells of a unit, or read them where they are controls, (cells, genes)."""
        unit, cells = part
        rows = self.controls.rows(unit.context)
        if not unit.condition:
            return self.controls.expression(rows[cells])[:, self.work.genes]
        start = starting_cells(
            rows,
            condition=unit.condition,
            cells=unit.cells,
            seed=self.work.request.seed,
            context=unit.context,
        )
        batches = self.sampler.batches(self.controls, start.some(cells), condition=unit.condition)
        return np.concatenate([self._done(batch) for batch in batches])[:, self.kept]

    def _done(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        self.watchdog.step()
        return batch
