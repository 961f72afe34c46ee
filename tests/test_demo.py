"""The demo's claim, on a screen that nothing was tuned on."""

from pathlib import Path

import pytest

from cluster.settings.config import make_run
from cluster.train import train_here
from cluster.work.evaluate import evaluate
from data_store.ingest.write import ingest
from data_store.simulate import SimulateOptions, simulate
from sweeps import read_sweep

SCRIPT = Path(__file__).parent.parent / "scripts" / "demo.sh"
SCREEN = SimulateOptions(cells=15_000, genes=500, singles=12, doubles=40, seed=4)


def test_the_demo_simulates_a_screen_of_this_size() -> None:
    sizes = f"--cells {SCREEN.cells} --genes {SCREEN.genes} --singles {SCREEN.singles}"
    assert f"{sizes} --doubles {SCREEN.doubles} --seed 0" in SCRIPT.read_text()


@pytest.mark.slow
@pytest.mark.timeout(1_500)
def test_held_out_doubles_are_predicted_better_than_by_control_and_perturbed_mean(
    tmp_path: Path,
) -> None:
    simulate(SCREEN).write_h5ad(tmp_path / "screen.h5ad")
    ingest(tmp_path / "screen.h5ad", tmp_path / "screen.zarr")
    sweep = read_sweep("demo")
    values = sweep.base | {
        "store": str(tmp_path / "screen.zarr"),
        "name": "demo",
        "output": str(tmp_path / "runs"),
        "split": sweep.splits[0].model_dump(exclude_unset=True),
    }
    run = train_here(make_run(values, where="demo"))
    tables = evaluate(run.directory, cells=300, metrics=["mse", "pearson_delta"]).tables
    mse = {row: table.overall["mse"].value for row, table in tables.items()}
    pearson = {row: table.overall["pearson_delta"].value for row, table in tables.items()}
    assert mse["scDFM"] < mse["control"]
    assert mse["scDFM"] < mse["perturbed mean"]
    assert pearson["scDFM"] > max(0.5, pearson["perturbed mean"])
