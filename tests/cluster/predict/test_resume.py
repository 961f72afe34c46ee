"""A prediction that was stopped goes on, and what stood there is kept."""

import shutil
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from cluster.predict.actors import predict
from cluster.predict.options import PredictionRequest
from cluster.predict.place import PredictionPlace
from cluster.settings.config import read_run
from data_store.prediction import CHUNK_CELLS, PredictionDirectory, read_facts
from scdfm.screen.progress import Progress
from tests.cluster.predict.asking import request


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_interrupted_prediction_keeps_its_shards(
    trained: Path, tmp_path: Path, ray_session: None
) -> None:
    asked = request(trained, tmp_path / "cells.zarr")
    seen: list[int] = []

    def interrupt(now: Progress) -> None:
        seen.append(now.done)
        if now.done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(asked, report=interrupt)
    assert not asked.out.exists()
    predict(asked, report=lambda now: seen.append(now.done))
    assert seen == [1, 2, 3]
    assert PredictionDirectory(asked.out).verify() == []
    other = predict(request(trained, tmp_path / "whole.zarr"))
    np.testing.assert_array_equal(
        np.asarray(anndata.read_zarr(asked.out).X), np.asarray(anndata.read_zarr(other).X)
    )
    # Asked once more, it is done; another request does not overwrite it.
    assert predict(asked, report=lambda now: pytest.fail("worked again")) == asked.out
    with pytest.raises(FileExistsError, match="is not this prediction: its cells was 150 and is 7"):
        predict(request(trained, asked.out, cells=7))


def stopped_after_a_shard(asked: PredictionRequest) -> None:
    def interrupt(now: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(asked, report=interrupt)
    assert not asked.out.exists()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_prediction_goes_on_wherever_model_and_store_have_moved(
    trained: Path,
    tmp_path: Path,
    ray_session: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = read_run(trained / "run.yaml")
    shutil.copytree(trained / "model", tmp_path / "model")
    shutil.copytree(run.store, tmp_path / "store")
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO")
    here = {"model": Path("model"), "store": "store"}
    asked = request(trained, Path("cells.zarr"), cells=100, **here)
    stopped_after_a_shard(asked)
    Path("elsewhere").mkdir()
    for name in ("model", "store"):
        Path(name).rename(f"elsewhere/{name}")
    double = asked.conditions[1].split("+")
    again = request(
        trained,
        tmp_path / "cells.zarr",
        cells=100,
        model=tmp_path / "elsewhere" / "model",
        store="./elsewhere/store/",
        conditions=(asked.conditions[0], "+".join(reversed(double))),
    )
    done: list[int] = []
    predict(again, report=lambda now: done.append(now.done))
    assert done == [2]  # the first shard was there
    [line] = [line for line in caplog.messages if "going on" in line]
    assert f"the store was at {tmp_path / 'store'} and is at" in line
    predict(request(trained, tmp_path / "whole.zarr", cells=100))
    first, second = (tmp_path / name / "X" for name in ("cells.zarr", "whole.zarr"))
    for file in first.rglob("*"):
        if file.is_file():
            assert file.read_bytes() == (second / file.relative_to(first)).read_bytes()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_begun_work_of_another_request_is_thrown_away_only_when_told(
    trained: Path, tmp_path: Path, ray_session: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    asked = request(trained, tmp_path / "cells.zarr")
    stopped_after_a_shard(asked)
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    changes = [
        ({"seed": 3}, "its seed was 0 and is 3"),
        (
            {"conditions": asked.conditions[:1]},
            f"its conditions then had '{'+'.join(sorted(asked.conditions[1].split('+')))}'",
        ),
        ({"contexts": ("line2",)}, "its contexts then had 'line1'"),
        ({"controls": True}, "its controls was False and is True"),
    ]
    for change, said in changes:
        with pytest.raises(FileExistsError) as caught:
            predict(request(trained, asked.out, **change))
        assert said in str(caught.value)
        assert "--overwrite" in str(caught.value)
        assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before
    other = request(trained, asked.out, seed=3, overwrite=True)
    predict(other)
    assert any("is thrown away: its seed was 0 and is 3" in line for line in caplog.messages)
    assert predict(other, report=lambda now: pytest.fail("worked again")) == asked.out
    predict(asked.model_copy(update={"overwrite": True, "cells": 20}))
    assert anndata.read_zarr(asked.out).n_obs == 2 * 2 * 20
    assert [path.name for path in tmp_path.iterdir()] == ["cells.zarr"]


def test_a_directory_of_something_else_is_never_replaced(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "cells.zarr"
    out.mkdir()
    (out / "precious").write_text("mine")
    with pytest.raises(FileExistsError, match="directory of something else"):
        predict(request(trained, out, overwrite=True))
    assert (out / "precious").read_text() == "mine"


def test_what_was_never_written_is_no_expression(tmp_path: Path) -> None:
    place = PredictionDirectory(tmp_path / "cells.zarr")
    obs = pd.DataFrame({"condition": ["A"] * 130}, index=list(map(str, range(130))))
    place.lay_out(obs=obs, genes=("A", "B"), control="ctrl", facts={}, rows=CHUNK_CELLS)
    place.write_shard(0, np.ones((CHUNK_CELLS, 2), dtype=np.float32))
    place.write_shard(2, np.ones((2, 2), dtype=np.float32))
    with pytest.raises(ValueError, match="got none for shard 1"):
        place.seal({})
    assert np.isnan(
        np.asarray(anndata.read_zarr(place.path).X)[CHUNK_CELLS : 2 * CHUNK_CELLS]
    ).all()
    with pytest.raises(ValueError, match="finite"):
        place.write_shard(1, np.full((CHUNK_CELLS, 2), np.inf, dtype=np.float32))
    place.write_shard(1, np.zeros((CHUNK_CELLS, 2), dtype=np.float32))
    place.seal({})
    place.write_h5ad(tmp_path / "cells.h5ad")
    found = anndata.read_h5ad(tmp_path / "cells.h5ad").X
    found.check_format(full_check=True)
    assert found.toarray().sum() == 2 * (CHUNK_CELLS + 2)


def test_a_prediction_of_an_older_version_can_still_be_read(tmp_path: Path) -> None:
    place = PredictionDirectory(tmp_path / "cells.zarr")
    place.lay_out(obs=pd.DataFrame(index=["a"]), genes=("A",), control="ctrl", facts={}, rows=64)
    place.write_shard(0, np.ones((1, 1), dtype=np.float32))
    place.seal({"request": {"cells": 1}, "store": "0" * 64, "threads": 1})
    assert place.verify() == []
    assert (read_facts(place.path) or {})["threads"] == 1
    assert PredictionPlace(place.path).finished is None


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_prediction_that_failed_while_it_was_exported_is_exported_again(
    trained: Path, tmp_path: Path, ray_session: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(trained, tmp_path / "cells.h5ad", cells=20)

    def full_disk(self: PredictionDirectory, out: Path, *, overwrite: bool) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(PredictionDirectory, "write_h5ad", full_disk)
        with pytest.raises(OSError, match="No space left"):
            predict(asked)
    assert not asked.out.exists()
    predict(asked, report=lambda now: pytest.fail("worked again"))
    assert anndata.read_h5ad(asked.out).n_obs == 2 * 2 * 20
    assert [path.name for path in tmp_path.iterdir()] == ["cells.h5ad"]
