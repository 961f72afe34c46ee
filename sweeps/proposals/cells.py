"""Whether the cells can give what a sweep asks for, found out before any trial starts."""

import logging
from collections.abc import Hashable

import numpy as np
from numpy.typing import NDArray

from cluster.runs.begin import require_inputs
from cluster.runs.plan import planned_split, run_genes, validation_cells
from cluster.settings.config import RunConfig
from cluster.settings.watch import require_watchers
from data_store.store.reader import Store
from data_store.stream import Cells
from scdfm.metrics import METRICS, Evidence, UnitCells
from scdfm.metrics.evidence import Measure
from scdfm.screen.names import how_many
from scdfm.screen.randomness import numpy_generator
from scdfm.screen.variable_genes import GeneChoice
from sweeps.directory import SweepDirectory
from sweeps.proposals.limits import Counted
from sweeps.proposals.prior import require_comparable
from sweeps.proposals.storage import require_storage
from sweeps.schema.sweep import Configuration, SweepConfig
from sweeps.space import identity

log = logging.getLogger(__name__)

_GENES = 8  # of made-up means


def check_data(sweep: SweepConfig) -> str:
    """Find bad input before any trial starts; return the store's fingerprint.

    A sweep goes on with the version of the store that it began on, as runs do.
    """
    require_watchers(sweep.run({}, split=0).watch)
    require_storage(sweep)
    with _open_store(sweep) as store:
        Counted(sweep).require_first()
        for split in range(len(sweep.splits)):
            _require_inputs(sweep, store, split=split)
            _check_same_genes(sweep, store, split=split)
            _require_metric(sweep, store, split=split)
        require_comparable(sweep, fingerprint=store.fingerprint)
        return store.fingerprint


def _require_inputs(sweep: SweepConfig, store: Store, *, split: int) -> None:
    """Refuse inputs that do not fit the cells; of several, says whose they are."""
    kinds = _differing_inputs(sweep, split=split)
    for configuration, run in kinds:
        try:
            require_inputs(run, store)
        except (FileNotFoundError, ValueError) as error:
            if len(kinds) == 1:
                raise
            raise type(error)(f"{_named(configuration, sweep=sweep)}: {error}") from error


def _check_same_genes(sweep: SweepConfig, store: Store, *, split: int) -> None:
    """Refuse configurations that would be scored on other genes than the base: no scores compare.

    A model of few genes may lack some that are scored, or have perturbed ones in their places. Of
    a sweep that has begun it is said: older versions did not look, and what it found can be read.
    """
    kinds: dict[GeneChoice, tuple[Configuration, RunConfig]] = {}
    for configuration in sweep.samples():
        run = sweep.run(configuration, split=split)
        kinds.setdefault(run.genes, (configuration, run))
    scored: NDArray[np.int64] | None = None
    for configuration, run in kinds.values() if len(kinds) > 1 else ():
        own = run_genes(run.genes, store, split=planned_split(run, store)).evaluation
        scored = own if scored is None else scored
        if not np.array_equal(own, scored):
            common = len(np.intersect1d(own, scored))
            found = f"{_named(configuration, sweep=sweep)}, which has {common} of the {len(scored)}"
            if _begun_on(sweep) is None:
                raise ValueError(
                    f"expected all trials to be scored on the same genes, got {found}; lower "
                    "base.genes.evaluation, or leave genes.model out"
                )
            log.warning(
                "not all trials are scored on the same genes, so they do not compare: %s; begin "
                "another sweep with a lower base.genes.evaluation, or without genes.model",
                found,
            )
            return


def _named(configuration: Configuration, *, sweep: SweepConfig) -> str:
    """How a user knows a configuration: by its name in a list, or by what the base has not."""
    for name, listed in sweep.listed.items():
        if identity(listed) == identity(configuration):
            return f"configuration {name!r}"
    base = sweep.baseline
    own = [f"{name} {value}" for name, value in configuration.items() if base.get(name) != value]
    return f"a trial with {', '.join(own)}" if own else "the base"


def _open_store(sweep: SweepConfig) -> Store:
    """The version of the store that a sweep has begun on, where it is kept; else the newest."""
    address, begun = sweep.run({}, split=0).store, _begun_on(sweep)
    try:
        newest = Store.open(address)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"expected a store at {address}, found nothing there; ingest one there, or name where "
            "it is with --set base.store=PATH"
        ) from error
    if begun in (None, newest.fingerprint):
        return newest
    try:
        store = Store.open(address, fingerprint=begun)
    except ValueError:  # it holds other cells, of which the sweep's lock tells
        return newest
    log.info(
        "version %s of %s, on which the sweep began; the newest is %s",
        store.fingerprint[:12],
        address,
        newest.fingerprint[:12],
    )
    newest.close()
    return store


def _begun_on(sweep: SweepConfig) -> str | None:
    """Fingerprint of the store that a sweep has trials on; None before the first."""
    directory = SweepDirectory(sweep.directory)
    locked = directory.lock.read() if directory.ledger.trials() else None
    return None if locked is None else locked.store_fingerprint


def _require_metric(sweep: SweepConfig, store: Store, *, split: int) -> None:
    """Refuse a metric that no validation round could have on these units, whatever is predicted."""
    run = sweep.run({}, split=split)
    cells = validation_cells(
        planned_split(run, store), store, units=run.validation.units, seed=run.seed
    )
    if not cells or run.validation.folds is not None:
        return
    units = [store.units[one.unit] for one in cells]
    draw = numpy_generator(0, "any prediction")
    predicted, real = draw.normal(size=(2, len(units), _GENES))
    of_cells = [METRICS[name].of_cells for name in sweep.objective.names]
    anything = Evidence(
        contexts=tuple(unit.context for unit in units),
        conditions=tuple(str(number) for number in range(len(units))),
        genes=tuple(f"gene {number}" for number in range(_GENES)),
        predicted=predicted,
        real=real,
        control=np.zeros_like(real),
        measured={
            measure: np.array(
                [_measured(measure, part, most=run.validation.cells) for part in cells]
            )
            for measure in of_cells
            if measure is not None
        },
    )
    for name in sweep.objective.names:
        if not np.isfinite(METRICS[name].values(anything)).any():
            raise ValueError(
                f"objective.metric {name} is undefined on the {how_many(len(units), 'unit')} that "
                f"validate on split {split} ({run.split.kind}); choose another metric, or a split "
                "that validates on more"
            )


def _measured(measure: Measure, part: Cells, *, most: int) -> float:
    """What a metric of cells says of a unit of so many cells, whatever these are."""
    draw = numpy_generator(0, "any cells", part.start)
    real, predicted = (
        draw.normal(size=(count, _GENES)) for count in (min(most, part.stop - part.start), most)
    )
    return measure(UnitCells("", "any", real=real, control=real, predicted=predicted))


def _differing_inputs(sweep: SweepConfig, *, split: int) -> list[tuple[Configuration, RunConfig]]:
    """Configurations with their runs, one for each choice of genes, edges or first model."""
    kinds: dict[Hashable, tuple[Configuration, RunConfig]] = {}
    for configuration in sweep.samples():
        run = sweep.run(configuration, split=split)
        # The size of the network matters only with weights to start from.
        kind = (
            run.genes,
            run.graph if run.graph.path else None,
            run.init_from,
            run.model if run.init_from else None,
        )
        kinds.setdefault(kind, (configuration, run))
    return list(kinds.values())
