"""A fit factors the matrix of linked tokens once for each kind of gene."""

from typing import Any

import numpy as np
import pytest

from scdfm.metrics.baselines import MeasuredUnits
from scdfm.metrics.shrunken import fit, posterior

GENES = ("A", "B", "C", *(f"g{k}" for k in range(7)))


def test_all_genes_of_one_kind_are_solved_with_one_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    solve, factored = posterior.solve, []

    def counted(matrix: Any, right: Any, **how: Any) -> Any:
        factored.append(right.shape[1])
        return solve(matrix, right, **how)

    monkeypatch.setattr(posterior, "solve", counted)
    conditions = (("A",), ("B",), ("C",), ("A", "B"), ("A", "C"), ("B", "C"))
    units = len(conditions)
    base = fit(
        MeasuredUnits(
            contexts=("x",) * units,
            conditions=conditions,
            control=np.zeros((units, len(GENES))),
            mean=np.random.default_rng(0).normal(size=(units, len(GENES))),
            genes=GENES,
            noise=np.full(units, 0.01),
        )
    )
    assert base.own.nnz == 3
    # Its genes, where the three perturbed ones count apart, and no errors of controls.
    assert factored == [len(GENES) + 3]
