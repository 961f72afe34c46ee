"""Predict many cells with a pool of Ray actors, as AnnData.

The result is laid out before the first cell: every cell's row, its control cell and its place in a
shard follow from the request. A task is one shard; actors write shards and nothing else, so their
number, order and restarts change no byte. While work is under way it lies in `OUT.partial`; the
manifest is written last and the whole renamed, so that what stands at OUT is complete.
"""

import json
import os
import shutil
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import ray
import torch
from numpy.typing import NDArray

from cluster.predict.request import SHARD, THREADS, PredictionRequest, Work, look_up
from cluster.predict.store_version import open_version
from cluster.runs.lease import check, lease
from cluster.runs.precision import set_up
from cluster.session import require, session
from cluster.work.controls import StoreControls
from cluster.work.evaluate import model_directory
from cluster.work.sampler import Sampler, columns_in, sampler_of, starting_cells
from data_store.prediction import (
    discard_marks,
    is_written,
    lay_out,
    read_facts,
    seal,
    write_h5ad,
    write_shard,
)
from data_store.store.reader import Store
from scdfm.flow.checkpoint import load_model, read_card
from scdfm.screen.conditions import Condition, name

RESTARTS = 3  # of an actor and of its task, after its process or node died
MARK = "request"  # in OUT.partial: the facts of what was begun

Report = Callable[[dict[str, Any]], None]


def predict(
    request: PredictionRequest,
    *,
    actors: int = 1,
    gpu: bool = False,
    address: str | None = None,
    report: Report = lambda line: None,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Predict cells of new conditions; continue when it was begun, return when it is done.

    Args:
        request: What to predict.
        actors: Ray actors that share the work, one core each.
        gpu: One GPU for each actor.
        address: Of a Ray cluster; default RAY_ADDRESS, else Ray starts on this machine.
        report: Receives {"done", "total", "cells"}: shards done, shards, cells done.
        say: Receives which version of a store that has grown is used.

    Raises:
        ValueError: Model, store, conditions, contexts or genes do not fit together.
        FileExistsError: Something else stands at `out`.
    """
    partial = request.out.with_name(f"{request.out.name}.partial")
    with open_version(
        request.store,
        trained_on=read_card(model_directory(request.model)).provenance.get("fingerprint"),
        begun_on=(read_facts(request.out) or _begun(partial)).get("store"),
        contexts=request.contexts,
        say=say,
    ) as store:
        work = look_up(request, store, device="cuda" if gpu else "cpu")
        if _is_done(work):
            return request.out
        with lease(partial) as token:
            if read_facts(_cells(partial)) != _plain(work.facts):
                with session(address):
                    _require(work, actors=actors, gpu=gpu)
                    _begin(partial, work, store)
                    _fill(work, partial, token, actors=actors, gpu=gpu, report=report)
                seal(_cells(partial), facts=work.facts)
            discard_marks(_cells(partial))
            if request.out.suffix == ".h5ad":
                write_h5ad(_cells(partial), request.out)
            else:
                _cells(partial).rename(request.out)
        shutil.rmtree(partial)
    return request.out


def _require(work: Work, *, actors: int, gpu: bool) -> None:
    """Refuse what the cluster could never run, before anything is written."""
    pool = min(actors, work.shards)
    require(cpus=pool * THREADS, gpus=pool if gpu else 0)


def _fill(work: Work, partial: Path, token: str, *, actors: int, gpu: bool, report: Report) -> None:
    """Generate the shards that are not there yet."""
    todo = [shard for shard in range(work.shards) if not is_written(_cells(partial), shard)]
    _share(work, partial, token, todo, actors=min(actors, len(todo)), gpu=gpu, report=report)


def _is_done(work: Work) -> bool:
    out = work.request.out
    if not out.exists():
        return False
    if read_facts(out) == _plain(work.facts):
        return True
    raise FileExistsError(
        f"{out} exists and is not this prediction; choose another --out or delete it"
    )


def _plain(facts: dict[str, Any]) -> Any:
    """The facts as they come back from JSON."""
    return json.loads(json.dumps(facts))


def _begin(partial: Path, work: Work, store: Store) -> None:
    """Lay the result out, or keep what an interrupted run of the same request has written."""
    if _begun(partial) == _plain(work.facts):
        return
    mark = partial / MARK
    mark.unlink(missing_ok=True)
    card = read_card(work.request.model)
    lay_out(
        _cells(partial),
        obs=_obs(work, store),
        genes=tuple(card.genes[row] for row in work.genes),
        facts=work.facts,
        rows=SHARD,
    )
    mark.write_text(json.dumps(work.facts))


def _begun(partial: Path) -> dict[str, Any]:
    """The facts of an interrupted run; nothing where there is none."""
    try:
        facts = json.loads((partial / MARK).read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _cells(partial: Path) -> Path:
    return partial / "cells.zarr"


def _obs(work: Work, store: Store) -> pd.DataFrame:
    """A row for each predicted cell: condition, context, the control cell it started from."""
    each = work.request.cells
    tables = []
    for context, condition in work.units:
        control = store.controls[context]
        names = np.asarray(store.obs(control.start, control.stop).index)
        start = starting_cells(
            np.arange(control.start, control.stop),
            condition=condition,
            cells=each,
            seed=work.request.seed,
        )
        tables.append(
            pd.DataFrame(
                {
                    "condition": name(condition),
                    "context": context,
                    "source_cell": names[start.rows - control.start],
                    "replicate": start.replicates,
                },
                index=[f"{context}|{name(condition)}|{cell}" for cell in range(each)],
            )
        )
    table = pd.concat(tables)
    return table.astype({"condition": "category", "context": "category"})


def _share(
    work: Work,
    partial: Path,
    token: str,
    todo: list[int],
    *,
    actors: int,
    gpu: bool,
    report: Report,
) -> None:
    """Hand shards to actors, one at a time to each, until all are written."""
    kind = ray.remote(
        num_cpus=THREADS, num_gpus=1 if gpu else 0, max_restarts=RESTARTS, max_task_retries=RESTARTS
    )(Predictor)
    home = Path.cwd()
    pool: list[Any] = [kind.remote(work, partial, token, gpu=gpu, home=home) for _ in range(actors)]
    waiting = iter(todo)
    busy = {actor.write.remote(shard): actor for actor, shard in zip(pool, waiting, strict=False)}
    done = work.shards - len(todo)
    while busy:
        [ready], _ = ray.wait(list(busy), num_returns=1)
        actor = busy.pop(ready)
        ray.get(ready)
        done += 1
        report({"done": done, "total": work.shards, "cells": min(done * SHARD, work.cells)})
        shard = next(waiting, None)
        if shard is not None:
            busy[actor.write.remote(shard)] = actor


class Predictor:
    """One actor: keeps model and store open, and writes the shards it is given."""

    def __init__(self, work: Work, partial: Path, token: str, *, gpu: bool, home: Path) -> None:
        # A cluster's workers stand elsewhere; the request's paths mean the driver's directory.
        os.chdir(home)
        torch.set_num_threads(THREADS)
        self.device = torch.device("cuda" if gpu else "cpu")
        self.work, self.partial, self.token = work, partial, token
        self.store = Store.open(work.request.store, fingerprint=work.facts["store"])

    @cached_property
    def sampler(self) -> Sampler:
        """Made by the first shard: what is wrong then fails a task and not the whole actor."""
        request = self.work.request
        how = set_up(request.precision, device=self.device)
        promised = self.work.facts["arithmetic"]["precision"]
        if how.precision != promised:
            raise ValueError(
                f"expected a GPU with {promised} for precision {request.precision}, got one "
                f"without; ask for --precision {how.precision}"
            )
        model = load_model(request.model)
        model.field.to(self.device)
        return sampler_of(model, genes=self.work.genes, seed=request.seed, products=how.products)

    @cached_property
    def controls(self) -> StoreControls:
        """The store's controls, as the model reads them."""
        return StoreControls(self.store, columns_in(self.store, read_card(self.work.request.model)))

    @cached_property
    def kept(self) -> NDArray[np.int64]:
        """Places of the genes asked for among those that are generated, (genes,)."""
        return np.searchsorted(self.sampler.genes, self.work.genes)

    def write(self, shard: int) -> None:
        """Generate the cells of a shard and write them."""
        values = np.concatenate(
            [
                self.generate(context, condition, cells)
                for context, condition, cells in self.work.parts(shard)
            ]
        )
        check(self.partial, self.token)
        write_shard(_cells(self.partial), shard, values, rows=SHARD)

    def generate(self, context: str, condition: Condition, cells: slice) -> NDArray[np.float32]:
        """Generate some cells of a unit, (cells, genes asked for)."""
        start = starting_cells(
            self.controls.rows(context),
            condition=condition,
            cells=self.work.request.cells,
            seed=self.work.request.seed,
        )
        batches = self.sampler.batches(self.controls, start.some(cells), condition=condition)
        return np.concatenate(list(batches))[:, self.kept]
