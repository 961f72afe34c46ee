"""`scdfm init` writes files that load, for whatever cells a user has."""

from itertools import pairwise
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from cluster.settings.config import read_run
from data_store.ingest.look import look_at
from data_store.sources.options import IngestOptions
from sweeps import read_sweep
from sweeps.starting.start import _chosen_split, _name, start
from sweeps.starting.text import RUN, SWEEP

TOKENS = [f"g{number}" for number in range(8)]


def screen(path: Path, *, doubles: bool = False, donors: int = 1) -> Path:
    """Singles of eight genes, doubles of neighbours where asked for, in some donors."""
    labels = ["ctrl", *TOKENS]
    if doubles:
        labels += [f"{a}+{b}" for a, b in pairwise(TOKENS)]
    table = pd.DataFrame(
        [(label, f"d{donor}") for donor in range(donors) for label in labels for _ in range(5)],
        columns=["condition", "donor"],
        index=None,
    )
    table.index = [f"cell {number}" for number in range(len(table))]
    counts = np.random.default_rng(0).poisson(2.0, (len(table), len(TOKENS))).astype(np.float32)
    anndata.AnnData(counts, obs=table, var=pd.DataFrame(index=TOKENS)).write_h5ad(path)
    return path


@pytest.mark.parametrize(
    ("doubles", "donors", "kind"),
    [(True, 1, "additive"), (True, 3, "additive"), (False, 3, "context"), (False, 1, "holdout")],
)
def test_the_split_is_the_hardest_that_the_conditions_allow(
    tmp_path: Path, doubles: bool, donors: int, kind: str
) -> None:
    file = screen(tmp_path / "cells.h5ad", doubles=doubles, donors=donors)
    options = IngestOptions(context_column="donor" if donors > 1 else ())
    assert _chosen_split(look_at([file], options=options)).config.kind == kind


def test_looking_at_cells_tells_what_a_store_would_hold(tmp_path: Path) -> None:
    seen = look_at(
        [screen(tmp_path / "cells.h5ad", doubles=True, donors=2)],
        options=IngestOptions(context_column="donor"),
    )
    assert (seen.cells, len(seen.genes), seen.fewest) == (160, 8, 5)
    assert seen.contexts["g0+g1"] == ["d0", "d1"]
    assert seen.perturbation == "gene"


def test_the_files_load_and_name_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.cpu_count", lambda: 1)  # threads that wait for each other are slow
    file = screen(tmp_path / "cells.h5ad", doubles=True)
    made = start([file], Path("my screen"), options=IngestOptions(), minutes=0.001)
    run = read_run(made.run)
    assert (run.name, run.store) == ("my-screen", "my screen/cells.zarr")
    assert run.split.kind == "additive"
    assert run.training.steps == made.steps == 100
    # Too little for any preset, so the smallest is taken.
    assert "100 steps, the fewest that are set, take" in caplog.text
    assert "preset small would take" in caplog.text
    text = made.run.read_text()
    assert "and 0.001 were asked for:\n# this one is to see a run go through\npreset: tiny" in text
    assert run.batch.cells <= 5
    assert run.genes.model == len(TOKENS)
    sweep = read_sweep(made.sweep)
    assert run.model.width in (sweep.space["model.width"].values or ())
    assert f"# 12 trials of {len(sweep.splits)} splits, each " in made.sweep.read_text()
    assert sweep.run({}, split=0).training == run.training
    before = {name: (made.run.parent / name).read_text() for name in (RUN, SWEEP)}
    with pytest.raises(FileExistsError, match="--overwrite"):
        start([file], Path("my screen"), options=IngestOptions())
    assert before == {name: (made.run.parent / name).read_text() for name in (RUN, SWEEP)}
    assert not made.store.exists()


@pytest.mark.parametrize(
    ("folder", "name"), [("mine", "mine"), (".hidden", "hidden"), ("a b", "a-b"), ("--", "mine")]
)
def test_a_run_is_called_like_its_folder(tmp_path: Path, folder: str, name: str) -> None:
    assert _name(tmp_path / folder) == name
