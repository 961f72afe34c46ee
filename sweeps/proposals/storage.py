"""Where Optuna's study is kept: SQLite or a journal in the sweep's directory, or a database.

A study that is opened in a new place is brought there: copied from a file beside it, else made
again from the ledger; what it lacks then is told from the ledger. Numbers of trials in a study are
those of the sweep.
"""

import logging
import math
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from cluster.storage.places import named
from sweeps.directory import SweepDirectory
from sweeps.ledger import Trial
from sweeps.proposals.journal import JournalError, WholeLines
from sweeps.schema.rules import JOURNAL, ObjectiveConfig
from sweeps.schema.sweep import Configuration, SweepConfig
from sweeps.space import distributions, identity
from sweeps.trials.guard import causes

log = logging.getLogger(__name__)

_PATIENCE = 10  # seconds for a database to answer
WAITS = (1.0, 2.0, 4.0, 8.0, 15.0)  # seconds before it is tried again; 30 in all
_SAID = 2.0  # seconds; a wait that is longer is told
# A host that vanished is given up after 25 s; TCP alone would wait for hours.
_ALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
_STATES = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "infeasible": TrialState.PRUNED,
}
TOLD = (TrialState.COMPLETE, TrialState.PRUNED)
FROM = "from"  # user attribute of a trial of another sweep: where that is
NUMBER = "trial"  # user attribute: its number in the sweep, another in those of older versions
_AWAY = (SQLAlchemyError, optuna.exceptions.StorageInternalError, JournalError)
_NO_PROPOSAL = "no proposal"  # user attribute of a trial that only takes up a number


class StudyAwayError(RuntimeError):
    """The database of a study does not answer any more."""


def open_storage(sweep: SweepConfig) -> BaseStorage:
    """The storage that a sweep's file names.

    Raises:
        ValueError: A database is away, or its driver is not installed.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    directory, place = SweepDirectory(sweep.directory), sweep.study.storage
    if place is None:
        return _sqlite(directory.study)
    if place == JOURNAL:
        return _journal(directory.study_journal)
    if find_spec("psycopg") is None:
        raise ValueError(
            "study.storage needs the package psycopg, which is not installed; run "
            "pip install 'scdfm[postgresql]', or leave study.storage out"
        )
    try:
        storage = RDBStorage(
            place.replace("postgresql://", "postgresql+psycopg://", 1),
            engine_kwargs={
                "connect_args": {
                    "connect_timeout": _PATIENCE,
                    "tcp_user_timeout": 25_000,  # milliseconds
                    **_ALIVE,
                },
                # Trials take minutes: no connection is held between, which a firewall would drop.
                "poolclass": NullPool,
            },
        )
    except SQLAlchemyError as error:
        raise ValueError(
            f"expected a database at {place} for study.storage, got: {_reason(error)}; start it, "
            "correct the address, or set PGPASSWORD"
        ) from error
    _wait_for(storage.engine, place)
    return storage


def _wait_for(engine: Engine, place: str) -> None:
    """Try again for a while where a database that answered before does not, as while it restarts.

    Only connecting is repeated, which has no effect; each of Optuna's transactions has its own.
    """

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, record: Any, given: Any, named: Any) -> Any:
        for wait in WAITS:
            try:
                return dialect.connect(*given, **named)
            except dialect.loaded_dbapi.OperationalError as error:
                if wait >= _SAID:
                    told = _reason(error)
                    log.info("%s: %s; trying again in %.0f s", place, told, wait)
                time.sleep(wait)
        return None  # SQLAlchemy tries once more, and raises


def require_storage(sweep: SweepConfig) -> None:
    """Refuse a database that is away before anything starts; writes nothing for other storages.

    Raises:
        ValueError: As `open_storage`.
    """
    if sweep.study.storage not in (None, JOURNAL):
        open_storage(sweep)


def _sqlite(path: Path) -> BaseStorage:
    return RDBStorage(
        f"sqlite:///{path.resolve()}", engine_kwargs={"connect_args": {"timeout": 60}}
    )


def _journal(path: Path) -> BaseStorage:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return JournalStorage(WholeLines(path.resolve()))


def _reason(error: BaseException) -> str:
    """Why a database does not answer: the first line of what its driver says."""
    cause = getattr(error, "orig", None) or error
    said = getattr(cause, "strerror", None) or str(cause)
    return next(iter(said.strip().splitlines()), type(cause).__name__).strip()


@contextmanager
def answering(sweep: SweepConfig) -> Iterator[None]:
    """Say in one line that the database of a sweep's study went away.

    Raises:
        StudyAwayError: It did.
    """
    try:
        yield
    except Exception as error:
        found = next((one for one in causes(error) if isinstance(one, _AWAY)), None)
        if found is None:
            raise
        said, kept = _reason(found.__cause__ or found), "what was trained is kept"
        if sweep.study.storage in (None, JOURNAL):
            directory = SweepDirectory(sweep.directory)
            file = directory.study if sweep.study.storage is None else directory.study_journal
            raise StudyAwayError(
                f"{named(file)} cannot be read or written: {said}; {kept}: see to the disk that it "
                "is on and run the sweep again"
            ) from error
        raise StudyAwayError(
            f"the database {sweep.study.storage} of study.storage does not answer: {said}; {kept}: "
            "run the sweep again once it does"
        ) from error


def open_study(
    sweep: SweepConfig, *, storage: BaseStorage, name: str, earlier: Sequence[Trial] = ()
) -> optuna.Study:
    """A sweep's study, brought into the storage if it was in another, and up to the ledger.

    Args:
        sweep: The sweep.
        storage: As `open_storage` gives it.
        name: Of the study.
        earlier: Trials that have begun.
    """
    new = bool(earlier) and name not in optuna.get_all_study_names(storage)
    copied = new and _copied(sweep, storage=storage, name=name)
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        sampler=RandomSampler(seed=0),  # proposes nothing; each proposal has a sampler of its own
        directions=directions(sweep.objective),
        load_if_exists=True,
    )
    told = _catch_up(study, sweep, earlier=earlier)
    if new and not copied:
        log.info("the study was made again from the ledger, with %d trials", len(earlier))
    elif told:
        log.info("the study was told of %d trials that the ledger has and it had not", told)
    return study


def directions(objective: ObjectiveConfig) -> list[Literal["minimize", "maximize"]]:
    """Which way each metric is better, as Optuna says it."""
    return ["minimize" if one.direction == "min" else "maximize" for one in objective.metrics]


def _copied(sweep: SweepConfig, *, storage: BaseStorage, name: str) -> bool:
    """Copy the study from a file beside the ledger; whether one is there."""
    directory = SweepDirectory(sweep.directory)
    for path, opened in ((directory.study, _sqlite), (directory.study_journal, _journal)):
        if path.is_file() and name in optuna.get_all_study_names(known := opened(path)):
            optuna.copy_study(
                from_study_name=name, from_storage=known, to_storage=storage, to_study_name=name
            )
            log.info("the study was copied from %s", path)
            return True
    return False


def _catch_up(study: optuna.Study, sweep: SweepConfig, *, earlier: Sequence[Trial]) -> int:
    """Tell a study how trials ended that are open in it, or are not there; how many.

    It lags behind where it was left in another place, where a session was killed between a line of
    the ledger and the study, or while it was made.
    """
    known: dict[str, list[FrozenTrial]] = {}
    for one in study.get_trials(deepcopy=False):
        if FROM not in one.user_attrs and (whole := proposed(sweep, one)) is not None:
            known.setdefault(identity(whole), []).append(one)
    told = 0
    for trial in sorted((one for one in earlier if one.over), key=lambda one: one.number):
        there, ends = known.get(identity(trial.configuration), []), _remembered(sweep, trial)
        left = [one for one in there if one.state == TrialState.RUNNING]
        for one in left:
            study.tell(one.number, ends.values, state=ends.state)
        like = (TrialState.COMPLETE, ends.state)
        lacks = ends.state in TOLD and not any(one.state in like for one in there)
        if lacks and not left:
            take_number(study, at_least=trial.number)
            study.add_trial(ends)
        told += lacks or bool(left)
    return told


def proposed(sweep: SweepConfig, trial: FrozenTrial) -> Configuration | None:
    """The configuration of a trial in the study; none if it was not proposed to its end."""
    try:
        return sweep.whole_space.complete(trial.params.__getitem__)
    except KeyError:
        return None


def _remembered(sweep: SweepConfig, trial: Trial) -> FrozenTrial:
    """A trial as the study would have it; of one that is open or outside the space, its number."""
    space, state = sweep.whole_space, _STATES.get(trial.state)
    if state is None or not space.holds(trial.configuration):
        return _no_proposal()
    tried = space.parameters(trial.configuration)
    known = distributions(space.dimensions)
    complete = state == TrialState.COMPLETE
    values = values_of(sweep.objective, trial) if complete else None
    if values is not None and not all(map(math.isfinite, values)):
        return _no_proposal()
    one = not sweep.objective.further
    return optuna.create_trial(
        state=state,
        params=tried,
        distributions={name: known[name] for name in tried},
        values=values,
        intermediate_values=dict(trial.rounds) if one else None,
        user_attrs={NUMBER: trial.number},
    )


def values_of(objective: ObjectiveConfig, trial: Trial) -> list[float]:
    """A trial's means by each metric of the objective."""
    return [trial.mean, *(trial.mean_of(one.metric) for one in objective.further)]


def take_number(study: optuna.Study, *, at_least: int) -> None:
    """Leave numbers out, so that the next trial of a study has this one or a higher one."""
    for _ in range(at_least - len(study.get_trials(deepcopy=False))):
        study.add_trial(_no_proposal())


def next_number(study: optuna.Study) -> int:
    """Take up a number for a trial that the study cannot hold, since it is outside of the space."""
    study.add_trial(_no_proposal())
    return len(study.get_trials(deepcopy=False)) - 1


def _no_proposal() -> FrozenTrial:
    return optuna.create_trial(state=TrialState.FAIL, user_attrs={_NO_PROPOSAL: True})
