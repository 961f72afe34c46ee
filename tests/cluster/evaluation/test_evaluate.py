"""Facts of an evaluation."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from cli.show.terminal import as_json
from cluster.runs.plan import make_plan, units_of
from cluster.settings.config import read_run
from cluster.work.evaluate import evaluate
from cluster.work.evaluation.kept import CONTROL, GENERATED, REAL, kept_beside
from cluster.work.evaluation.remarks import remarks
from data_store.store.reader import Store
from scdfm.flow.files import WEIGHTS
from scdfm.metrics import PROFILES, metrics_of
from scdfm.screen import sealed

pytestmark = pytest.mark.slow

OF_MEANS = ["mse", "mae", "l2", "pearson_delta", "discrimination_score_l1"]


def test_every_baseline_stands_beside_the_model(trained: Path) -> None:
    result = evaluate(trained, untrained=True)
    baselines = ["shrunken", "scaled", "additive", "linear", "perturbed mean", "control"]
    assert list(result.tables) == ["scDFM", "untrained", *baselines, "noise ceiling"]
    for table in result.tables.values():
        assert [*table.overall] == [*metrics_of()]
    (line,) = [line for line in remarks(result) if line.startswith("mmd2, energy_distance")]
    assert f"compare {sum(unit.cells for unit in result.units)} real cells" in line
    assert f" {result.cells} (scDFM, untrained" in line
    (line,) = [line for line in remarks(result) if "moved to the mean of shrunken: scDFM" in line]
    over = result.tables["scDFM"].overall["mmd2"].value
    over /= result.tables["shrunken"].overall["mmd2"].value
    assert result.over_moved_controls["shrunken"]["scDFM"]["mmd2"] == over
    assert f"{over:.3g} and " in line
    kept = kept_beside(trained / "model")
    assert kept.of(trained / "model" / WEIGHTS) == kept.record
    assert as_json(kept.record) == as_json(result)
    means, sample = kept.means, kept.sample
    assert (
        means.real.shape == (len(result.units), len(means.genes)) == means.predicted["scDFM"].shape
    )
    assert {*sample.kind.tolist()} == {CONTROL, REAL, GENERATED}


def test_rescaled_scores_are_0_for_the_perturbed_mean_and_1_for_real_cells(trained: Path) -> None:
    result = evaluate(trained, profile="vcc2026", keep=False)
    assert result.profile == "vcc2026"
    for row, value in (("perturbed mean", 0), ("noise ceiling", 1)):
        known = [one for one in result.rescaled[row].values() if not math.isnan(one)]
        assert len(known) > 1
        assert known == pytest.approx([value] * len(known))
    assert [*result.rescaled["scDFM"]] == [*PROFILES["vcc2026"].metrics]
    challenge = evaluate(trained, profile="vcc", keep=False).rescaled
    assert set(challenge["perturbed mean"].values()) == {0}
    scores = [*challenge["scDFM"].values()]
    assert scores[-1] == pytest.approx(sum(scores[:-1]) / 3)


def test_the_control_row_is_what_the_store_says(trained: Path) -> None:
    run = read_run(trained / "run.yaml")
    result = evaluate(trained, metrics=["mse"])
    with Store.open(run.store) as store:
        plan = make_plan(run, store)
        by_condition: dict[str, list[float]] = {}
        for position in units_of(plan.split, store, "test"):
            unit, control = store.units[position], store.controls[store.units[position].context]
            real = store.expression(unit.start, unit.stop, genes=plan.genes.evaluation)
            rest = store.expression(control.start, control.stop, genes=plan.genes.evaluation)
            error = np.square(real.mean(0, dtype=float) - rest.mean(0, dtype=float)).mean()
            by_condition.setdefault(unit.condition, []).append(float(error))
    expected = np.mean([np.mean(errors) for errors in by_condition.values()])
    assert result.tables["control"].overall["mse"].value == pytest.approx(expected, rel=1e-5)
    assert result.conditions == len(by_condition)


@pytest.mark.parametrize("cells", [3, 40], ids=["few cells", "more"])
def test_an_untrained_model_at_rest_is_the_control_row_exactly(trained: Path, cells: int) -> None:
    tables = evaluate(trained, untrained=True, cells=cells, metrics=OF_MEANS).tables
    assert tables["untrained"].model_dump_json() == tables["control"].model_dump_json()


def test_no_change_has_no_correlation_and_it_is_counted(trained: Path) -> None:
    score = evaluate(trained, metrics=OF_MEANS).tables["control"].overall["pearson_delta"]
    assert math.isnan(score.value)
    assert score.undefined > 0


def test_contexts_have_tables_of_their_own(trained: Path) -> None:
    table = evaluate(trained, metrics=OF_MEANS).tables["scDFM"]
    assert len(table.contexts) == 2


def test_a_model_directory_is_evaluated_as_its_run(trained: Path) -> None:
    by_run, by_model = (
        evaluate(path, metrics=["mse"]).model_dump(exclude={"date", "seconds"})
        for path in (trained, trained / "model")
    )
    assert as_json(by_run) == as_json(by_model)


def test_the_arithmetic_is_recorded_and_half_the_bits_change_little(trained: Path) -> None:
    plain, half = (
        evaluate(trained, precision=one, metrics=OF_MEANS) for one in ("float32", "bf16")
    )
    assert plain.arithmetic.precision == "float32"
    assert plain.arithmetic.matmul == "highest"
    assert half.arithmetic.precision == "bf16"
    ours, theirs = (one.tables["scDFM"].overall["mse"].value for one in (half, plain))
    assert ours != theirs
    assert ours == pytest.approx(theirs, rel=0.05)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_gpu_that_is_not_there_is_refused(trained: Path) -> None:
    with pytest.raises(ValueError, match="found none that CUDA can use; leave --gpu out"):
        evaluate(trained, gpu=True)


def test_something_else_is_neither_run_nor_model(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a run, a sweep or a model, got"):
        evaluate(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such run or model"):
        evaluate(tmp_path / "none")


def test_a_store_that_is_gone_is_named(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        evaluate(trained, store=str(tmp_path / "gone"))


def test_a_damaged_model_is_named(trained: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(trained / "model", tmp_path / "model")
    (copy / "model.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged: its SHA-256"):
        evaluate(copy)
    (copy / sealed.FILE).unlink()  # of a version that kept no hashes
    with pytest.raises(ValueError, match="does not hold this model's weights"):
        evaluate(copy)
