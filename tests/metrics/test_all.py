"""Facts that hold of every metric."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scdfm.metrics import METRICS, PROFILES, Training, UnitCells, evaluate, known_of, metrics_of
from scdfm.metrics.gather import gather
from tests.metrics.screens import Screen, screen

CONDITIONS = ("G0", "G1", "G2+G5", "P3", "P4")
TRAINING = Training(mean=np.linspace(0, 1, 30), weights=np.arange(30) / 435)
# A copy of the real cells is nearer to them than other cells of the same kind can be.
UNBIASED = {"mmd2", "energy_distance", "mse_ratio", "mse_corrected"}


def values_of(some: Screen, units: list[UnitCells] | None = None) -> dict[str, np.ndarray]:
    evidence = gather(
        units or [*some.units()],
        genes=some.genes,
        metrics=[*METRICS],
        training=Training(*(part[[int(g[1:]) for g in some.genes]] for part in TRAINING)),
        threads=1,
    )
    return {name: METRICS[name].values(evidence) for name in METRICS}


def test_a_perfect_prediction_has_the_best_value_of_every_metric() -> None:
    some = screen(conditions=("G0", "G1", "G2+P9", "P3", "P4", "P5"), genes=120, effect=2)
    evidence = replace(some, predicted=some.real).evidence(
        [*METRICS], training=Training(np.full(120, 0.1), np.full(120, 1 / 120))
    )
    for name, metric in METRICS.items():
        score = evaluate(evidence, metrics=[name]).overall[name]
        assert score.undefined == 0, name
        best = 0 if metric.mode == "min" else 1
        if name in UNBIASED:
            assert -1 < score.value < 0, name
        else:
            assert score.value == pytest.approx(best, abs=1e-9), name


def test_the_order_of_genes_cells_and_conditions_changes_nothing() -> None:
    some = screen()
    plain = values_of(some)
    draw = np.random.default_rng(2)
    genes = draw.permutation(30)

    def mixed(cells: np.ndarray) -> np.ndarray:
        return cells[draw.permutation(len(cells))][:, genes]

    other = Screen(
        genes=tuple(some.genes[i] for i in genes),
        control=mixed(some.control),
        real={name: mixed(some.real[name]) for name in reversed(CONDITIONS)},
        predicted={name: mixed(some.predicted[name]) for name in CONDITIONS},
    )
    for name, values in values_of(other).items():
        np.testing.assert_allclose(values[::-1], plain[name], rtol=2e-5, atol=1e-7, err_msg=name)


def test_contexts_are_scored_apart_from_each_other() -> None:
    here, there = screen(seed=1), screen(seed=2)
    both = values_of(here, [*here.units(context="a"), *there.units(context="b")])
    for rows, some in ((slice(0, 5), here), (slice(5, 10), there)):
        for name, values in values_of(some).items():
            np.testing.assert_allclose(both[name][rows], values, rtol=1e-6, err_msg=name)


def test_pooled_metrics_give_all_units_of_a_context_one_number() -> None:
    values = values_of(screen())
    for name, metric in METRICS.items():
        if metric.pooled:
            assert len(set(values[name])) == 1, name


def test_every_metric_says_what_it_measures() -> None:
    for name, metric in METRICS.items():
        assert metric.meaning.endswith("."), name


def test_profiles_name_metrics_that_exist_and_the_usual_ones_leave_out_older_forms() -> None:
    for name in PROFILES:
        assert set(metrics_of(profile=name)) <= set(METRICS)
    assert "pr_auc_pooled" in metrics_of(profile="paper")
    assert "pr_auc_pooled" not in metrics_of()
    assert metrics_of(metrics=["l2", "mse"]) == ("l2", "mse")
    assert metrics_of(profile="vcc", metrics=["l2", "mae"])[-1] == "l2"
    with pytest.raises(ValueError, match="did you mean 'vcc"):
        metrics_of(profile="vc")


def test_a_table_of_evidence_has_the_usual_metrics_that_are_known() -> None:
    evidence = screen().evidence()
    assert set(evaluate(evidence).overall) == set(known_of(evidence))
    assert "weighted_mse" not in known_of(evidence)
    assert "weighted_mse" in known_of(replace(evidence, training=TRAINING))


def test_a_prediction_of_means_alone_keeps_the_real_side() -> None:
    evidence = replace(screen().evidence(), training=TRAINING)
    means = evidence.of_means(evidence.real)
    assert "pearson_delta_pertmean_top20" in known_of(means)
    assert not {"overlap_at_N", "mmd2"} & {*known_of(means)}
    assert evaluate(means, metrics=["mse"]).overall["mse"].value == 0


def test_the_document_names_every_metric() -> None:
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    listed: set[str] = set()
    for names in re.findall(r"^- ((?:`[^`]+`(?:, )?)+):", text, re.MULTILINE):
        first, *others = re.findall(r"`([^`]+)`", names)
        # `_50` after `overlap_at_N` stands for `overlap_at_50`.
        stem = first.rsplit("_", 1)[0]
        listed |= {first, *others, *(start + one for one in others for start in (stem, first))}
    older = "discrimination_score_..._absolute"
    assert older in listed
    listed |= {older.replace("...", one) for one in ("l1", "l2", "cosine")}
    assert set(METRICS) <= listed
