"""What other sweeps have found, as observations that a search has before its first proposal.

A value compares only where cells, splits and objective are the same, and where a trial's run
differs from this sweep's base in nothing but settings that this sweep tries, too; lists of edges
and first weights are compared by their content. Such a trial tells the sampler something; it is no
trial of this sweep, and may be proposed again.
"""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from cluster.runs.find_model import SWEEP
from cluster.runs.identity import changed
from cluster.settings.config import RunConfig, make_run
from cluster.storage.places import local
from cluster.storage.wanted import these
from sweeps.directory import SweepDirectory
from sweeps.ledger import FILE as LEDGER
from sweeps.ledger import Trial
from sweeps.lock import Locked, files_of
from sweeps.proposals.storage import values_of
from sweeps.schema.sweep import Configuration, SweepConfig

log = logging.getLogger(__name__)


class Observed(NamedTuple):
    """A finished trial of another sweep."""

    configuration: Configuration
    values: tuple[float, ...]  # mean over all splits, by each metric of the objective
    sweep: str  # where


def observed(sweep: SweepConfig, *, fingerprint: str) -> list[Observed]:
    """Finished trials of the sweeps that `search.from` names, in its order and theirs.

    Args:
        sweep: This one.
        fingerprint: Of its store.

    Raises:
        ValueError: One is no sweep, or its values do not compare with those of this sweep.
    """
    known = require_comparable(sweep, fingerprint=fingerprint)
    if not known:
        return []
    own = Locked.of(sweep, fingerprint=fingerprint).files
    return [one for place, locked in known.items() for one in _of(place, locked, sweep, own=own)]


def require_comparable(sweep: SweepConfig, *, fingerprint: str) -> dict[Path, Locked]:
    """What the sweeps that `search.from` names are.

    Raises:
        ValueError: One is no sweep, or its values do not compare with those of this sweep.
    """
    found = {}
    for place in sweep.search.from_:
        locked = _read(place).lock.read()
        if locked is None:
            raise ValueError(
                f"search.from: expected the directory of a sweep that has begun, got {place}; name "
                "one, such as runs/NAME"
            )
        _require_comparable(place, locked, sweep, fingerprint=fingerprint)
        found[place] = locked
    return found


def _read(place: Path) -> SweepDirectory:
    """A sweep, of one in an object store what is read here."""
    return SweepDirectory(local(place)).fetch(these(SWEEP, LEDGER))


def _of(
    place: Path, locked: Locked, sweep: SweepConfig, *, own: Mapping[str, str]
) -> list[Observed]:
    directory = _read(place)
    finished = [one for one in directory.ledger.trials() if _whole(one, sweep)]
    space, found = sweep.whole_space, list[Observed]()
    for trial in finished:
        configuration = _as_ours(trial, locked, sweep, files=own)
        if configuration is not None and space.holds(configuration):
            found.append(
                Observed(configuration, tuple(values_of(sweep.objective, trial)), str(place))
            )
    left = len(finished) - len(found)
    note = f"; {left} lie outside of this space, or differ in what it does not try" if left else ""
    log.info(f"{place}: {len(found)} finished trials are known to the search{note}")
    return found


def _whole(trial: Trial, sweep: SweepConfig) -> bool:
    every = trial.values.keys() == set(range(len(sweep.splits)))
    return trial.state == "complete" and every and math.isfinite(trial.mean)


def _require_comparable(
    place: Path, locked: Locked, sweep: SweepConfig, *, fingerprint: str
) -> None:
    """Refuse a sweep whose values mean something else.

    Raises:
        ValueError: Names the first difference.
    """
    own = Locked.of(sweep, fingerprint=fingerprint)
    for what, before, now in (
        ("on other cells", locked.store_fingerprint[:12], fingerprint[:12]),
        ("on other splits", _splits(locked), _splits(own)),
        ("judged by another metric", _metrics(locked), _metrics(own)),
        ("trained with another number of workers", locked.workers, own.workers),
    ):
        if before != now and before is not None:  # an older version did not say
            raise ValueError(
                f"search.from: {place} was {what} ({before}, and here {now}), so its values do not "
                "compare; leave it out"
            )


def _metrics(locked: Locked) -> str:
    return ", ".join(locked.objective.names)


def _splits(locked: Locked) -> str:
    """The splits as text: settings, and the content of files in place of their paths."""
    files = {path: content[:12] for path, content in (locked.split_files or {}).items()}
    told = []
    for split in locked.splits:
        values = split.model_dump(mode="json", exclude_defaults=True)
        if split.path is not None:
            values["path"] = files.get(str(split.path), str(split.path))
        told.append(" ".join(f"{name} {value}" for name, value in values.items()))
    return ", ".join(told)


def _as_ours(
    trial: Trial, locked: Locked, sweep: SweepConfig, *, files: Mapping[str, str]
) -> Configuration | None:
    """A trial's values of the settings that this sweep tries; None if it differs in others.

    Args:
        trial: Of the other sweep.
        locked: What that is.
        sweep: This one.
        files: Hashes of the files that it reads, by their places.
    """
    base = sweep.run({}, split=0)
    own = {name: getattr(base, name) for name in ("name", "output", "split")}
    try:
        run = make_run({**locked.base, **own}, where="base", overrides=dict(trial.configuration))
    except ValueError:  # a setting of another version, or of a plug-in that is not here
        return None
    if _differs(run, base, sweep):
        return None
    values = sweep.values_of(run)
    theirs = _contents(run, locked.files)
    same = theirs == _contents(sweep.run(values, split=0), files)
    return values if same and None not in theirs else None


def _contents(run: RunConfig, files: Mapping[str, str]) -> list[str | None]:
    """Hashes of the edges and first weights of a run; places of files do not tell.

    Args:
        run: The run.
        files: Hashes by place, of the sweep that it is of.
    """
    try:
        return [files.get(str(place)) for place in files_of(run)]
    except (FileNotFoundError, ValueError):  # it started from a model that is gone
        return [None]


def _differs(run: RunConfig, base: RunConfig, sweep: SweepConfig) -> bool:
    return bool(changed(base, run).keys() - set(sweep.settings))
