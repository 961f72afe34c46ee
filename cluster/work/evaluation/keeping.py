"""What is kept of an evaluation for pictures: means of every unit, and a few cells of each."""

from collections.abc import Mapping

import numpy as np

from cluster.work.evaluation.kept import CONTROL, GENERATED, REAL, Means, Sample
from cluster.work.evaluation.part import Expression, TestPart
from cluster.work.evaluation.rows import Row

PER_UNIT, PER_CONTEXT, IN_ALL = 60, 200, 6_000  # cells


def means_of(rows: Mapping[str, Row], part: TestPart) -> Means:
    """Real, control and predicted means."""
    first = next(iter(rows.values())).evidence
    spread = [part.real(number).var(axis=0, dtype=np.float64) for number in range(len(part.units))]
    return Means(
        genes=part.genes,
        real=first.real.astype(np.float32),
        control=first.control.astype(np.float32),
        spread=np.stack(spread).astype(np.float32),
        predicted={
            name: row.evidence.predicted.astype(np.float32)
            for name, row in rows.items()
            if row.facts.kind != "ceiling"
        },
    )


class Picked:
    """Some cells of each unit; the first rows, which are in random order."""

    def __init__(self, part: TestPart) -> None:
        self.part = part
        self.each = max(5, min(PER_UNIT, IN_ALL // (2 * len(part.units))))
        self.generated: dict[int, Expression] = {}

    def add(self, number: int, cells: Expression) -> None:
        """Keep some of a unit's generated cells."""
        self.generated[number] = cells[: self.each].copy()

    def sample(self) -> Sample:
        """All that was picked, with real cells and controls."""
        part = self.part
        first = {context: number for number, context in reversed([*enumerate(part.contexts)])}
        blocks = [
            (CONTROL, number, part.control(context)[:PER_CONTEXT])
            for context, number in sorted(first.items())
        ]
        for number in range(len(part.units)):
            blocks.append((REAL, number, part.real(number)[: self.each]))
            if number in self.generated:
                blocks.append((GENERATED, number, self.generated[number]))
        counts = [len(cells) for _, _, cells in blocks]
        return Sample(
            expression=np.concatenate([cells for _, _, cells in blocks]),
            kind=np.repeat(np.array([kind for kind, _, _ in blocks], dtype=np.int8), counts),
            unit=np.repeat(np.array([at for _, at, _ in blocks], dtype=np.int32), counts),
        )
