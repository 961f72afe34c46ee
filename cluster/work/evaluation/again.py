"""Whether an evaluation was done before, and how a further one is joined with what is kept.

What is kept beside a model is not replaced by less of the same: an evaluation that asks for a part
of it is read from it, and one that asks for more computes the metrics and rows of both.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from cluster.runs.provenance import versions
from cluster.work.evaluation.code import code
from cluster.work.evaluation.record import AskedFacts, Evaluation
from cluster.work.evaluation.scale import over_moved, rescaled
from scdfm.metrics import METRICS, PROFILES, Table
from scdfm.metrics.table import Score
from scdfm.screen.atomic import sha256
from scdfm.splits import Split

_ADDED = {"metrics", "untrained", "predictions"}  # columns and rows; all else changes values
_IN_WORDS: Mapping[str, Callable[[AskedFacts], str]] = {
    "cells": lambda asked: f"{asked.cells or 'the usual'} cells for each unit",
    "seed": lambda asked: f"the seed {asked.seed}",
    "repeats": lambda asked: f"{asked.repeats} repeats",
    "split": lambda asked: "another split",
    "device": lambda asked: "a GPU" if asked.device == "cuda" else "CPUs",
    "precision": lambda asked: f"the number format {asked.precision}",
}


@dataclass(frozen=True)
class Wanted:
    """An evaluation that is asked for.

    Attributes:
        facts: What is asked for.
        profile: Of metrics.
        predictions: Files of others' predictions, by row.
        fingerprint: Of the store.
        genes: Evaluation genes of the model; with others' predictions there may be fewer.
    """

    facts: AskedFacts
    profile: str | None
    predictions: Mapping[str, Path]
    fingerprint: str
    genes: int

    def is_in(self, kept: Evaluation) -> bool:
        """Whether a kept evaluation, by the code of today, holds all of it."""
        if not self._is_like(kept) or kept.asked is None:
            return False
        held, asked = kept.asked, self.facts
        return (
            {*asked.metrics} <= {*held.metrics}
            and asked.untrained <= held.untrained
            and asked.predictions.items() <= held.predictions.items()
            and (kept.genes == self.genes or asked.predictions == held.predictions != {})
            and is_of_today(kept)
        )

    def part_of(self, kept: Evaluation) -> Evaluation:
        """What a wider evaluation says about what is asked for here."""
        tables = {
            row: _columns(table, self.facts.metrics)
            for row, table in kept.tables.items()
            if self._has_row(kept, row)
        }
        return kept.model_copy(
            update={
                "asked": self.facts,
                "profile": self.profile,
                "tables": tables,
                "rescaled": rescaled(tables, profile=self.profile),
                "over_moved_controls": over_moved(tables),
                "rows": {row: facts for row, facts in kept.rows.items() if row in tables},
                "differences": {
                    row: {name: one[name] for name in self.facts.metrics if name in one}
                    for row, one in kept.differences.items()
                    if row in tables
                },
            }
        )

    def joined(self, kept: Evaluation | None) -> "Wanted":
        """The same with all that a kept evaluation of the same cells has beside it."""
        if kept is None or kept.asked is None or not self._is_like(kept):
            return self
        held = kept.asked
        named = {*self.facts.metrics, *held.metrics}
        further = {
            row: Path(kept.rows[row].source)
            for row, found in held.predictions.items()
            if row not in self.predictions and kept.genes == self.genes
            if content(Path(kept.rows[row].source)) == found
        }
        facts = self.facts.model_copy(
            update={
                "metrics": tuple(name for name in METRICS if name in named),
                "untrained": self.facts.untrained or held.untrained,
                "predictions": {
                    **{row: held.predictions[row] for row in further},
                    **self.facts.predictions,
                },
            }
        )
        return replace(
            self,
            facts=facts,
            profile=self.profile or kept.profile,
            predictions={**further, **self.predictions},
        )

    def leaves_out(self, kept: Evaluation | None, new: Evaluation, *, at: Path) -> list[str]:
        """What is lost of a kept evaluation when a new one takes its place, for the user."""
        if kept is None:
            return []
        if kept.asked is None:
            return [f"{at} held an evaluation by an older version of scDFM: it goes"]
        other = self._apart(kept)
        if other:
            return [f"{at} held an evaluation of {' and '.join(other)}: it goes"]
        gone = kept.asked.predictions.keys() - self.facts.predictions.keys()
        lines = [
            f"the row {row} goes from {at}; name its file with --predictions to keep it"
            for row in sorted(gone)
        ]
        if new.genes < kept.genes:
            lines.append(
                f"{at} held an evaluation on {kept.genes:,} genes: it goes, for the predictions "
                f"have {new.genes:,} of them; without --predictions all are judged"
            )
        return lines

    def _is_like(self, kept: Evaluation) -> bool:
        """Whether a kept one is of the same cells, made in the same way."""
        return kept.asked is not None and not self._apart(kept)

    def _apart(self, kept: Evaluation) -> list[str]:
        """What a kept one, of which is known what was asked for, differs in."""
        assert kept.asked is not None
        ours, theirs = (one.model_dump(exclude=_ADDED) for one in (self.facts, kept.asked))
        store = [] if kept.fingerprint == self.fingerprint else ["other cells of a store"]
        return store + [_IN_WORDS[name](kept.asked) for name in ours if ours[name] != theirs[name]]

    def _has_row(self, kept: Evaluation, row: str) -> bool:
        kind = kept.rows[row].kind
        if kind == "untrained":
            return self.facts.untrained
        return kind != "prediction" or row in self.facts.predictions


def cells_of(cells: int | None, *, profile: str | None) -> int | None:
    """How many cells of each unit are asked for, by a number or by a profile."""
    return cells or (None if profile is None else PROFILES[profile].cells)


def is_of_today(kept: Evaluation) -> bool:
    """Whether a kept evaluation was computed by the code and the packages of this process."""
    return kept.code is not None and (kept.code, kept.versions) == (code(), versions())


def told(kept: Evaluation, *, at: Path) -> str:
    """Say that nothing is computed."""
    return f"evaluated{when_of(kept)}: read from {at}; --again evaluates it anew"


def when_of(kept: Evaluation) -> str:
    """When, in the time of this machine: " on 2026-11-26 21:47", or nothing."""
    if kept.date is None:
        return ""
    return f" on {datetime.fromisoformat(kept.date).astimezone():%Y-%m-%d %H:%M}"


def contents(files: Mapping[str, Path]) -> dict[str, str]:
    """The hash of each file; empty where nothing is."""
    return {row: content(path) or "" for row, path in files.items()}


def content(path: Path) -> str | None:
    """The hash of a file, or of all files below a folder; None where nothing is."""
    if path.is_file():
        return sha256(path)
    files = sorted(one for one in path.rglob("*") if one.is_file())
    told = [f"{one.relative_to(path)} {sha256(one)}" for one in files]
    return hashlib.sha256("\n".join(told).encode()).hexdigest() if files else None


def name_of(split: Split) -> str:
    """The hash of a split: its parts and how it validates."""
    return hashlib.sha256(split.model_dump_json().encode()).hexdigest()


def _columns(table: Table, metrics: tuple[str, ...]) -> Table:
    def some(scores: Mapping[str, Score]) -> dict[str, Score]:
        return {name: scores[name] for name in metrics if name in scores}

    return Table(
        overall=some(table.overall),
        contexts={name: some(scores) for name, scores in table.contexts.items()},
        conditions={name: some(scores) for name, scores in table.conditions.items()},
    )
