"""A few steps of a run on made-up cells, smaller batches first, each told as soon as it is known.

    python -m cluster.work.cost.steps < request.json

A process of its own: who asks may end it when it takes too much time or memory, and what was told
by then still holds. Cells are made up and the graph is random, of the sizes that the store and the
settings decide; how long a step takes depends on nothing else.
"""

import json
import os
import resource
import sys
import threading
import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel

from cluster.runs.precision import Arithmetic, arithmetic
from cluster.settings.config import RunConfig
from cluster.work.build import first_weights
from cluster.work.cost.told import Told
from data_store.store.reader import Store
from data_store.store.schema import Perturbation
from scdfm.flow.objective import StepCells
from scdfm.flow.sampling import Cells, canonical_blocks
from scdfm.flow.training import Trainer
from scdfm.gene_graph.graph import GeneGraph, none_graph, symmetric
from scdfm.method import METHODS, settings_of
from scdfm.model.vocabulary import Vocabulary

SHARES = (0.125, 0.25, 0.5, 1.0)  # of the batch's cells
_SEEN = 0.1  # share of values that are not zero
_TURNS = 2  # of each batch; the faster one counts
_GENERATED = 16  # cells, at most


class Sizes(BaseModel, frozen=True):
    """A screen that is not in a store yet."""

    genes: int
    tokens: int
    perturbation: Perturbation


class Request(BaseModel, frozen=True):
    """What to measure."""

    run: RunConfig
    device: str = "cpu"
    threads: int = 1
    sizes: Sizes | None = None  # none: as in the run's store


def main() -> None:
    """Read a request from standard input; write a line of JSON for each thing that is known."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    request = Request.model_validate_json(sys.stdin.read())
    for told in measured(request):
        print(json.dumps(told._asdict()), file=answers, flush=True)


def measured(request: Request) -> Iterator[Told]:
    """Take steps of rising batches, and generate a few cells."""
    torch.set_num_threads(request.threads)
    run, device = request.run, torch.device(request.device)
    names = made_up(run, request.sizes) if request.sizes else vocabulary(run)
    with arithmetic(run.precision, device=device, compile=run.compile) as how:
        graph = _graph(run, genes=len(names.genes))
        network = first_weights(run, seed=run.seed, vocabulary=names, graph=graph).to(device)
        trainer = Trainer(
            network,
            training=run.training,
            losses=lambda field, cells, generator: METHODS[run.method].losses(
                field,
                cells,
                settings=settings_of(run),
                generator=generator,
                products=how.products,
            ),
            seed=run.seed,
            compiled=how.compiled,
        )
        count = sum(weight.numel() for weight in network.parameters())
        yield Told(count, "built", 0, 0.0, _memory(device))
        sizes = [max(2, round(share * run.batch.cells)) for share in SHARES]
        for number, cells in enumerate(dict.fromkeys(sizes)):
            batch = _batch(run, names, cells=cells, device=device)
            batches = (batch,) * run.training.accumulate
            if number == 0:
                trainer.step(*batches)  # the first one compiles, and takes memory from the system
            seconds = min(_seconds(trainer, batches) for _ in range(_TURNS))
            yield Told(count, "step", cells, seconds, _memory(device))
            if number == 0:
                made = _generating(run, trainer, names, how)
                yield Told(count, "cell", 0, made, _memory(device))


def vocabulary(run: RunConfig) -> Vocabulary:
    """As many genes and perturbations as the run's model would know."""
    with Store.open(run.store) as store:
        tokens = sorted({token for tokens in store.conditions.values() for token in tokens})
        known = {*tokens} if store.perturbation == "gene" else set[str]()
        first = sorted(store.genes, key=lambda gene: gene not in known)
        return Vocabulary(tuple(first[: run.genes.model]), tuple(tokens), store.perturbation)


def made_up(run: RunConfig, sizes: Sizes) -> Vocabulary:
    """The same for a screen of these sizes."""
    genes = tuple(f"gene {number}" for number in range(min(sizes.genes, run.genes.model)))
    others = tuple(f"token {number}" for number in range(sizes.tokens))
    tokens = (
        genes[: sizes.tokens] + others[len(genes) :] if sizes.perturbation == "gene" else others
    )
    return Vocabulary(genes, tokens, sizes.perturbation)


def _graph(run: RunConfig, *, genes: int) -> GeneGraph:
    if run.graph.kind == "none" or genes < 2:
        return none_graph(genes)
    neighbours = min(run.graph.k or 1, genes - 1)
    draw = np.random.default_rng(0)
    rows = np.repeat(np.arange(genes), neighbours)
    return symmetric(rows, draw.integers(genes, size=len(rows)), genes=genes)


def _values(cells: int, genes: int) -> NDArray[np.float32]:
    draw = np.random.default_rng(0)
    seen = draw.random((cells, genes), dtype=np.float32) < _SEEN
    values: NDArray[np.float32] = seen * draw.random((cells, genes), dtype=np.float32)
    return values


def _batch(run: RunConfig, names: Vocabulary, *, cells: int, device: torch.device) -> StepCells:
    genes = min(run.batch.genes, len(names.genes))
    count = run.batch.conditions
    values = torch.from_numpy(_values(cells * count, genes)).to(device)
    asked = [(name,) for name in names.perturbations]
    most = run.loss.mmd_cells
    real = None if most is None else torch.from_numpy(_values(most * count, genes)).to(device)
    return StepCells(
        index=0,
        target=values,
        control=values.flip(0),
        genes=torch.arange(genes, device=device),
        conditions=torch.tensor(
            names.table([asked[unit % len(asked)] for unit in range(count)]), device=device
        ),
        sizes=(cells,) * count,
        names=tuple(f"unit {unit}" for unit in range(count)),
        base=values[:1].repeat(count, 1) if run.model.base_channel else None,
        reference=real,
        reference_sizes=() if most is None else (most,) * count,
    )


def _seconds(trainer: Trainer, batches: Sequence[StepCells]) -> float:
    began = time.perf_counter()
    trainer.step(*batches)
    if batches[0].target.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - began


def _generating(run: RunConfig, trainer: Trainer, names: Vocabulary, how: Arithmetic) -> float:
    """Seconds to generate a cell as validation does."""
    method, genes = METHODS[run.method], len(names.genes)
    cells = min(_GENERATED, run.sampling.batch)
    values = _values(cells, genes)
    wanted = -(-min(run.genes.evaluation, genes) // max(1, run.batch.genes))
    began = time.perf_counter()
    method.generate(
        trainer.sampler,
        Cells(values, values[::-1].copy(), list(range(cells)), [0] * cells),
        settings=method.for_validation(settings_of(run), steps=run.validation.steps),
        condition=(names.perturbations[0],),
        blocks=canonical_blocks(genes, size=run.batch.genes, seed=run.seed)[:wanted],
        seed=run.seed,
        products=how.products,
    )
    return (time.perf_counter() - began) / cells


def _memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # Kilobytes on Linux, bytes on macOS.
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def _end_with_parent(parent: int) -> None:
    """End when who asked has died: nobody else would."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    main()
