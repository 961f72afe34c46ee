"""What test scores at a study's end would cost, before it begins: models, and seconds of each.

Cells that a model generates, and the steps of its retraining; what metrics take is not known
beforehand and little beside them.
"""

from cluster.runs.plan import planned_split, units_of
from cluster.settings.config import RunConfig
from cluster.work.cost.limited import Cost
from cluster.work.evaluation.rows import usual_cells
from data_store.store.reader import Store
from scdfm.flow.method import FlowSettings
from scdfm.method import METHODS, settings_of
from sweeps.ledger import Ledger
from sweeps.results import leaderboard
from sweeps.schema.sweep import Configuration, SweepConfig
from sweeps.winners.final import base_of, final_due


def models_to_test(sweep: SweepConfig, ledger: Ledger, *, more: bool) -> int:
    """Models of each split that will be tested, at most: the winner's and the base's.

    Args:
        sweep: The sweep.
        ledger: Tells which are the best now.
        more: Something is still to be trained, so the winner may be another.
    """
    if sweep.final is None:
        return 0
    if more:
        return 2
    rows = leaderboard(sweep, ledger.trials(), ledger.repeats())
    if not final_due(sweep, rows):
        return 0
    return 1 if base_of(rows) is None else 2


def seconds_to_test(
    sweep: SweepConfig, store: Store, *, configuration: Configuration, cost: Cost
) -> float:
    """Of a configuration's models of all splits, at most; 0 of a sweep that tests none.

    Args:
        sweep: The sweep.
        store: Its cells.
        configuration: Values by dotted name.
        cost: As measured.
    """
    if sweep.final is None:
        return 0.0
    total = 0.0
    for split in range(len(sweep.splits)):
        run = sweep.run(configuration, split=split)
        total += _cells(run, store) * cost.cell_seconds * _dearer(run)
        if sweep.final.retrain:  # for as many steps as were best, which are all at most
            total += run.training.steps * cost.step_seconds
    return total


def _cells(run: RunConfig, store: Store) -> int:
    """Cells that an evaluation of the run's model generates."""
    tested = units_of(planned_split(run, store), store, "test")
    return sum(
        usual_cells(
            [store.units[position] for position in tested],
            controls={name: len(unit) for name, unit in store.controls.items()},
            one_end=METHODS[run.method].one_end(settings_of(run)),
        )
    )


def _dearer(run: RunConfig) -> float:
    """How many times the work of a cell in a validation round, which takes fewer solver steps."""
    settings = settings_of(run)
    if not isinstance(settings, FlowSettings):
        return 1.0
    return settings.sampling.steps / run.validation.steps
