"""Facts of metrics of p values and fold changes, on tables written by hand."""

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import auc, average_precision_score, precision_recall_curve

from scdfm.metrics import METRICS, CellFacts, Evidence

GENES = tuple("ABCDEFGHIJKLMNOP")  # 16


def facts(*, fdr: Any, lfc: Any) -> CellFacts:
    """Of units whose p values are half their FDRs."""
    fdr, lfc = (np.atleast_2d(np.array(one, dtype=np.float32)) for one in (fdr, lfc))
    one = np.ones(fdr.shape, dtype=np.float32)
    cells = np.full(len(fdr), 9)
    return CellFacts(cells, one, cells, one, fdr.astype(float) / 2, fdr, lfc, lfc)


def evidence(real: CellFacts, predicted: CellFacts, *, names: str = "XYZWVU") -> Evidence:
    count, width = real.fdr.shape
    zero = np.zeros((count, width))
    return Evidence(
        ("c",) * count, tuple(names[:count]), GENES[:width], zero, zero, zero,
        real_cells=real, predicted_cells=predicted,
    )  # fmt: skip


def value(name: str, some: Evidence) -> float:
    return float(METRICS[name].values(some)[0])


def changed(count: int, *, of: int = 16) -> np.ndarray:
    """FDRs: the first genes are significant."""
    return np.where(np.arange(of) < count, 0.01, 0.5)


def test_fidelity_pays_for_calls_that_are_missing_or_go_the_wrong_way() -> None:
    up = np.ones(16)
    real = facts(fdr=changed(8), lfc=up)
    assert value("direction_fidelity", evidence(real, facts(fdr=changed(8), lfc=up))) == 1
    half = facts(fdr=changed(4), lfc=up)
    assert value("direction_fidelity", evidence(real, half)) == 4 / 8
    # Twice as many calls as there are real ones, a quarter of them wrong.
    wrong = facts(fdr=changed(16), lfc=np.where(np.arange(16) < 4, -1, 1))
    assert value("direction_fidelity", evidence(real, wrong)) == 12 / 16
    silent = facts(fdr=changed(0), lfc=up)
    assert value("direction_fidelity", evidence(real, silent)) == 0
    assert np.isnan(value("direction_fidelity", evidence(silent, silent)))


def test_a_call_without_a_direction_is_a_miss_and_without_a_real_one_no_call() -> None:
    real = facts(fdr=changed(4), lfc=[1, 1, 1, 1, *[0] * 4, *[1] * 8])
    predicted = facts(fdr=changed(8), lfc=[0, 1, 1, 1, *[1] * 12])
    # Genes E to H have no real direction; gene A has no predicted one.
    assert value("direction_fidelity", evidence(real, predicted)) == 3 / 4


def test_reach_is_the_deepest_prefix_with_at_most_one_wrong_in_ten() -> None:
    real = facts(fdr=changed(12), lfc=np.ones(16))

    def reach(wrong: int) -> float:
        """With the most confident genes wrong, in the order of the alphabet."""
        lfc = np.where(np.arange(16) < wrong, -1, 1)
        predicted = facts(fdr=np.linspace(0.01, 0.2, 16), lfc=lfc)
        return value("direction_reach", evidence(real, predicted))

    assert [reach(wrong) for wrong in (0, 1, 2)] == [1, 1, 0]
    last = facts(fdr=np.linspace(0.01, 0.2, 16), lfc=np.where(np.arange(16) > 7, -1, 1))
    assert value("direction_reach", evidence(real, last)) == 8 / 12


def test_reach_trusts_calls_then_fdrs_then_fold_changes() -> None:
    real = facts(fdr=changed(4, of=4), lfc=np.ones(4))
    predicted = facts(fdr=[0.5, 0.01, 0.01, 0.01], lfc=[-9, 2, -1, 3])
    # Order: D (3), B (2), C (-1), A: two are right before the first wrong one.
    assert value("direction_reach", evidence(real, predicted)) == 2 / 4


def test_the_perturbed_gene_is_nobodys_merit() -> None:
    real, predicted = (
        facts(fdr=changed(2), lfc=np.ones(16)),
        facts(fdr=changed(1), lfc=np.ones(16)),
    )
    for name, with_own in (("direction_fidelity", 1 / 2), ("sig_jaccard", 1 / 2)):
        assert value(name, evidence(real, predicted)) == with_own
        assert value(name, evidence(real, predicted, names="A")) == 0
    assert value("direction_reach", evidence(real, predicted, names="A")) == 1


def test_jaccard_of_two_empty_sets_is_agreement() -> None:
    none, some = facts(fdr=changed(0), lfc=np.ones(16)), facts(fdr=changed(3), lfc=np.ones(16))
    assert value("sig_jaccard", evidence(none, none)) == 1
    assert value("sig_jaccard", evidence(some, none)) == 0
    assert value("sig_jaccard", evidence(some, facts(fdr=changed(6), lfc=np.ones(16)))) == 3 / 6


def test_fold_changes_are_judged_over_ten_genes_or_more() -> None:
    real = facts(fdr=changed(10), lfc=np.full(16, 2.0))
    for guess, error in ((2.0, 0), (0.0, 1), (1.0, 0.5), (np.inf, 1), (-2.0, 2)):
        predicted = facts(fdr=changed(0), lfc=np.full(16, guess))
        assert value("lfc_nmae", evidence(real, predicted)) == error
    few = facts(fdr=changed(9), lfc=np.full(16, 2.0))
    assert np.isnan(value("lfc_nmae", evidence(few, real)))


def test_average_precision_is_scikit_learns() -> None:
    draw = np.random.default_rng(0)
    real = facts(fdr=draw.choice([0.01, 0.5], (3, 16)), lfc=np.ones((3, 16)))
    predicted = facts(fdr=draw.choice([0.0, 1e-12, 0.01, 0.2, 0.5], (3, 16)), lfc=np.ones((3, 16)))
    some = evidence(real, predicted)
    for row, found in enumerate(METRICS["pr_auc"].values(some)):
        scores = -np.log10(np.clip(predicted.fdr[row], 1e-10, 1))
        expected = average_precision_score(real.significant[row], scores)
        assert found == pytest.approx(expected)
    # Pooled: as in 0.5.42, where an FDR of 0 counts as 1e-10 and smaller ones stay.
    scores = -np.log10(np.where(predicted.fdr == 0, np.float32(1e-10), predicted.fdr)).ravel()
    precision, recall, _ = precision_recall_curve(real.significant.ravel(), scores)
    assert METRICS["pr_auc_pooled"].values(some) == pytest.approx(auc(recall, precision))


def test_where_no_gene_or_every_gene_changes_there_is_nothing_to_find() -> None:
    for count in (0, 16):
        real = facts(fdr=changed(count), lfc=np.ones(16))
        assert np.isnan(value("pr_auc", evidence(real, real)))
        assert np.isnan(value("pr_auc_pooled", evidence(real, real)))


def test_numbers_of_significant_genes_correlate_over_conditions_that_have_some() -> None:
    lfc = np.ones((4, 16))
    real = facts(fdr=np.stack([changed(n) for n in (1, 5, 9, 0)]), lfc=lfc)
    predicted = facts(fdr=np.stack([changed(n) for n in (2, 3, 4, 16)]), lfc=lfc)
    assert value("de_spearman_sig", evidence(real, predicted)) == pytest.approx(1)
    assert np.isnan(value("de_spearman_sig", evidence(predicted[:0] or real, facts(
        fdr=np.stack([changed(3)] * 4), lfc=lfc))))  # fmt: skip


def test_overlap_takes_as_many_predicted_genes_as_there_are_real_ones() -> None:
    lfc = np.arange(16, 0, -1)
    real = facts(fdr=changed(4), lfc=lfc)
    # All are called; the strongest four are A, B and, the wrong way round, O and P.
    strong = np.where(np.arange(16) > 13, -99, lfc)
    assert value("overlap_at_N", evidence(real, facts(fdr=changed(16), lfc=strong))) == 2 / 4
    assert value("precision_at_N", evidence(real, facts(fdr=changed(16), lfc=strong))) == 4 / 16
    assert value("overlap_at_N", evidence(real, facts(fdr=changed(2), lfc=lfc))) == 2 / 4
    nothing = facts(fdr=changed(0), lfc=lfc)
    assert value("overlap_at_N", evidence(nothing, real)) == 0
    assert value("precision_at_N", evidence(real, nothing)) == 0
    assert np.isnan(value("de_sig_genes_recall", evidence(nothing, real)))
