"""Predictions of other models as rows of the table."""

import json
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest

from cluster.settings.config import read_run
from cluster.work.evaluate import evaluate
from cluster.work.evaluation.record import Evaluation
from data_store.store.reader import Store
from scdfm.flow.checkpoint import read_card
from scdfm.metrics.baselines import BASELINES

pytestmark = pytest.mark.slow

MEANS = ("mse", "pearson_delta")


@pytest.fixture(scope="module")
def perfect(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real cells of the test conditions, as if somebody had predicted them."""
    from scdfm.splits import Split

    split = Split.load(trained / "model" / "split.json")
    with Store.open(read_run(trained / "run.yaml").store) as store:
        units = [unit for unit in store.units if unit.condition in split.test]
        values = [store.expression(unit.start, unit.stop) for unit in units]
        counts = [len(unit) for unit in units]
        # Labels in another order of tokens than the store's.
        labels = ["+".join(reversed(unit.tokens)) for unit in units]
        obs = pd.DataFrame(
            {
                "condition": np.repeat(labels, counts),
                "context": np.repeat([unit.context for unit in units], counts),
            }
        )
        obs.index = obs.index.astype(str)
        cells = anndata.AnnData(
            np.concatenate(values), obs=obs, var=pd.DataFrame(index=list(store.genes))
        )
    path = tmp_path_factory.mktemp("others") / "perfect.h5ad"
    cells.write_h5ad(path)
    return path


def judged(trained: Path, file: Path, **asked: Any) -> Evaluation:
    return evaluate(trained, predictions={"THEIRS": file}, metrics=MEANS, keep=False, **asked)


def test_perfect_predictions_in_any_spelling_have_no_error(trained: Path, perfect: Path) -> None:
    found = judged(trained, perfect)
    assert found.tables["THEIRS"].overall["mse"].value == 0
    assert found.rows["THEIRS"].cells == sum(unit.cells for unit in found.units)
    better = found.differences["THEIRS"]["mse"]
    assert (better.wins, better.losses) == (0, found.conditions)


def test_a_table_of_means_scores_as_its_cells(trained: Path, perfect: Path, tmp_path: Path) -> None:
    cells = anndata.read_h5ad(perfect)
    table = pd.DataFrame(np.asarray(cells.X, dtype=np.float64), columns=cells.var_names)
    keys = [cells.obs[name].astype(str).to_numpy() for name in ("condition", "context")]
    means = table.groupby(keys).mean().rename_axis(["condition", "context"]).reset_index()
    means.to_csv(tmp_path / "means.csv", index=False)
    means.to_parquet(tmp_path / "means.parquet")
    for name in ("means.csv", "means.parquet"):
        found = judged(trained, tmp_path / name)
        assert found.tables["THEIRS"].overall["mse"].value == pytest.approx(0, abs=1e-12)
        assert found.rows["THEIRS"].cells == 0


def test_rows_are_scored_on_the_genes_and_units_that_all_have(
    trained: Path, perfect: Path, tmp_path: Path
) -> None:
    cells = anndata.read_h5ad(perfect)
    genes = [*read_card(trained / "model").evaluation_genes[:5]]
    cells[cells.obs["context"] != "line1", genes].copy().write_h5ad(tmp_path / "some.h5ad")
    found = judged(trained, tmp_path / "some.h5ad")
    assert found.genes == 5
    assert found.tables["THEIRS"].overall["mse"].undefined > 0
    assert found.tables["scDFM"].overall["mse"].undefined == 0
    assert found.rows["THEIRS"].incomplete > 0


def test_predictions_are_judged_without_a_model(trained: Path, perfect: Path) -> None:
    found = evaluate(
        None,
        store=read_run(trained / "run.yaml").store,
        split=trained / "model" / "split.json",
        predictions={"THEIRS": perfect},
        metrics=MEANS,
    )
    assert found.model is None
    assert list(found.tables) == ["THEIRS", *BASELINES, "noise ceiling"]
    assert found.tables["THEIRS"].overall["mse"].value == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda cells: setattr(cells, "X", np.asarray(cells.X) * 100), "expected log1p per 10k"),
        (lambda cells: cells.obs.rename(columns={"condition": "x"}, inplace=True), "'condition'"),
        (lambda cells: cells.obs.rename(columns={"context": "x"}, inplace=True), None),
        (lambda cells: cells.obs.drop(columns="context", inplace=True), "a column 'context'"),
        (lambda cells: setattr(cells, "var_names", [f"x{g}" for g in cells.var_names]), "got none"),
        (lambda cells: cells.obs.__setitem__("condition", "control"), "none of the"),
    ],
    ids=["counts", "no condition", "another name", "no context", "other genes", "controls"],
)
def test_predictions_that_do_not_fit_are_refused_in_one_line(
    trained: Path, perfect: Path, tmp_path: Path, change: Any, words: str | None
) -> None:
    cells = anndata.read_h5ad(perfect)
    change(cells)
    cells.write_h5ad(tmp_path / "wrong.h5ad")
    if words is None:
        assert judged(trained, tmp_path / "wrong.h5ad").tables["THEIRS"].overall["mse"].value == 0
        return
    with pytest.raises(ValueError, match=words) as caught:
        judged(trained, tmp_path / "wrong.h5ad")
    assert "\n" not in str(caught.value)


def test_a_name_of_another_row_is_refused(trained: Path, perfect: Path) -> None:
    with pytest.raises(ValueError, match="is a row of every table"):
        evaluate(trained, predictions={"linear": perfect}, metrics=MEANS)


def test_a_prediction_of_ours_is_judged_on_the_split_of_its_model(
    trained: Path, perfect: Path, tmp_path: Path
) -> None:
    origin = {"model": str(trained), "store": read_run(trained / "run.yaml").store}
    cells = anndata.read_h5ad(perfect)
    cells.uns["scdfm"] = {"provenance": json.dumps({"origin": origin})}
    cells.write_h5ad(tmp_path / "ours.h5ad")
    found = evaluate(tmp_path / "ours.h5ad", metrics=MEANS)
    assert next(iter(found.tables)) == "scDFM"
    assert found.tables["scDFM"].overall["mse"].value == 0
