"""Predictions of other models as rows, judged on the same conditions, genes and cells."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cluster.work.evaluation.part import TestPart
from cluster.work.evaluation.record import CEILING, FLOW, UNTRAINED, RowFacts
from cluster.work.evaluation.rows import Judge, Predicted, Row
from data_store.sources.predictions import Predictions, read_predictions
from scdfm.metrics import Evidence
from scdfm.metrics.baselines import BASELINES
from scdfm.screen.conditions import name as name_of
from scdfm.screen.names import nearest

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Others:
    """Opened predictions by the name of their row."""

    files: Mapping[str, Predictions]

    def shared(self, part: TestPart) -> NDArray[np.int64]:
        """The evaluation genes that every file has: all rows are scored on these.

        Raises:
            ValueError: There is none.
        """
        common = np.ones(len(part.genes), dtype=bool)
        for name, file in self.files.items():
            has = np.isin(part.genes, file.genes)
            if not has.any():
                raise ValueError(
                    f"expected some of the {len(part.genes)} evaluation genes in {file.path}, got "
                    f"none; its genes begin with {file.genes[0]!r}, the others with "
                    f"{part.genes[0]!r}"
                )
            if not has.all():
                log.info(
                    f"{name} predicts {int(has.sum())} of the {len(has)} evaluation genes: all "
                    "rows are scored on those"
                )
            common &= has
        if not common.any():
            raise ValueError(
                "expected an evaluation gene that all predictions have, got none; judge them one "
                "by one"
            )
        return part.evaluation[common]

    def rows(self, judge: Judge, *, like: Evidence) -> dict[str, Row]:
        """A row for each file."""
        return {name: _row(name, file, judge, like=like) for name, file in self.files.items()}


def open_others(predictions: Mapping[str, Path], part: TestPart) -> Others:
    """Read predictions, and make sure that they are about the test units.

    Raises:
        FileNotFoundError, ValueError: A file is missing, or is no prediction of them.
    """
    opened = {}
    for name, path in predictions.items():
        if name in (FLOW, UNTRAINED, CEILING, *BASELINES):
            raise ValueError(f"{name!r} is a row of every table; give {path} another name")
        file = read_predictions(path, words=part.store.words, contexts=part.store.contexts)
        _require_some(name, file, part)
        opened[name] = file
    return Others(opened)


def _require_some(name: str, file: Predictions, part: TestPart) -> None:
    wanted = [(unit.context, unit.tokens) for unit in part.units]
    missing = [unit for unit in wanted if unit not in file.rows]
    if len(missing) == len(wanted):
        have = [name_of(tokens) for _, tokens in file.rows]
        asked = name_of(wanted[0][1])
        raise ValueError(
            f"{file.path} predicts none of the {len(wanted)} test units, first {asked!r} "
            f"({nearest(asked, have)}); predict the test conditions of the split"
        )
    if missing:
        log.warning(
            "%s lacks %d of %d test units, first %r: undefined there",
            name,
            len(missing),
            len(wanted),
            name_of(missing[0][1]),
        )


def _row(name: str, file: Predictions, judge: Judge, *, like: Evidence) -> Row:
    part = judge.part
    count = missing = 0

    def predicted(number: int) -> Predicted:
        nonlocal count, missing
        unit = part.units[number]
        found = file.of((unit.context, unit.tokens), part.genes)
        if found is None:
            missing += 1
            return Predicted(mean=np.full(len(part.genes), np.nan))
        if file.are_means:
            return Predicted(mean=found[0].astype(np.float64))
        count += len(found)
        return Predicted(found)

    evidence = judge.evidence(predicted, like=like)
    facts = RowFacts(kind="prediction", source=str(file.path), cells=count, incomplete=missing)
    return Row(facts, judge.values(evidence), evidence)
