"""What figures and tables are made of: plain arrays, whoever computed them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from scdfm.metrics.de.table import Reference, differential
from scdfm.metrics.evidence import FDR

Floats = NDArray[np.float64] | NDArray[np.float32]


@dataclass(frozen=True)
class Pictured:
    """Cells of a condition in a context, on the evaluation genes, as log1p(counts per 10k).

    Attributes:
        context: Where the cells are from.
        condition: Canonical name.
        title: What it is called in headings.
        genes: Names.
        control: (cells, genes), of the same context.
        real: (cells, genes).
        generated: By the model, (cells, genes); none where only means are known.
        real_mean: Over all real cells, (genes,).
        control_mean: Over all controls of the context, (genes,).
        means: Predicted mean of each row, the model's first, (genes,).
    """

    context: str
    condition: str
    title: str
    genes: tuple[str, ...]
    control: NDArray[np.float32]
    real: NDArray[np.float32]
    generated: NDArray[np.float32]
    real_mean: Floats
    control_mean: Floats
    means: Mapping[str, Floats]

    @property
    def slug(self) -> str:
        """Its title as part of a file's name."""
        return re.sub(r"[^A-Za-z0-9]+", "-", self.title).strip("-").lower() or "condition"


@dataclass(frozen=True)
class Differential:
    """How a condition's cells differ from control, gene by gene.

    Attributes:
        scale: What `change` is, with its unit.
        change: (genes,).
        p: Two-sided p-value of Mann-Whitney's U, (genes,); 1 where nothing differs.
        fdr: The same after Benjamini and Hochberg, (genes,).
    """

    LEVEL: ClassVar[float] = FDR

    scale: str
    change: NDArray[np.float64]
    p: NDArray[np.float64]
    fdr: NDArray[np.float64]

    @classmethod
    def between(cls, cells: NDArray[np.float32], control: NDArray[np.float32]) -> Self:
        """Compare cells with controls, (cells, genes)."""
        found = differential(cells, Reference.of(control))
        return cls(
            "log2 fold change", found.lfc.astype(float), found.p_value, found.fdr.astype(float)
        )

    @property
    def significant(self) -> NDArray[np.bool_]:
        """Which genes differ, (genes,)."""
        return self.fdr < self.LEVEL

    @property
    def order(self) -> NDArray[np.int64]:
        """Genes by their p-value, then by the size of the change, the surest first."""
        order: NDArray[np.int64] = np.lexsort((-np.abs(self.change), self.p)).astype(np.int64)
        return order


@dataclass(frozen=True)
class Tried:
    """A sweep's trial.

    Attributes:
        number: From 1, in the order in which trials began.
        value: Its objective, or the last that was seen of a trial that did not finish; NaN: none.
        ranked: It finished all splits.
        settings: Values by dotted name.
        name: Of a listed configuration.
        further: Its scores by further metrics.
        front: No other trial beats it in one metric without losing in another.
        best: It is called the best.
    """

    number: int
    value: float
    ranked: bool
    settings: Mapping[str, float | int | str | bool | None]
    name: str = ""
    further: Mapping[str, float] = field(default_factory=dict)
    front: bool = False
    best: bool = False
