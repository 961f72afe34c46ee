"""Facts of a prediction whose OUT is an address: each shard exactly once, and the same bytes."""

from pathlib import Path

import anndata
import numpy as np
import pytest

from cluster.predict.actors import Predictor, _begun, _lay_out
from cluster.predict.far import FarPlace, place_of
from cluster.predict.options import PredictionRequest
from cluster.predict.place import PredictionPlace
from cluster.predict.request import SHARD, Work, look_up
from cluster.runs.lease import LeaseLostError
from cluster.storage.reading import fetched
from cluster.storage.storage import storage_at
from data_store.prediction import PredictionDirectory, read_facts
from data_store.store.reader import Store


def request(trained: Path, store: Path, out: Path, *, seed: int = 0) -> PredictionRequest:
    return PredictionRequest(
        model=trained,
        store=str(store),
        conditions=("G00005+G00008", "G00018"),
        out=out,
        cells=100,
        seed=seed,
    )


def opened(asked: PredictionRequest, store: Store) -> tuple[Work, PredictionPlace]:
    work = look_up(asked, store, device="cpu")
    place = place_of(asked.out, overwrite=asked.overwrite)
    return work, place.about(work.identity, size=(work.cells, len(work.genes)), rows=SHARD)


def finish(work: Work, place: PredictionPlace, *, token: str) -> None:
    for shard in place.missing(work.shards):
        Predictor(work, place, token, gpu=False).write(shard)
    place.gather()
    place.cells.seal(work.provenance.facts())
    place.finish()


@pytest.mark.parametrize("ending", ["h5ad", "zarr"])
def test_a_prediction_goes_on_where_it_was_and_has_the_same_bytes(
    ending: str, trained: Path, tiny_store_path: Path, bucket: str, tmp_path: Path
) -> None:
    far, near = Path(f"{bucket}/out/p.{ending}"), tmp_path / f"p.{ending}"
    with Store.open(tiny_store_path) as store:
        work, place = opened(request(trained, tiny_store_path, near), store)
        with place.writing() as token:
            _lay_out(place, work, store, goes_on=False)
            finish(work, place, token=token)

        work, place = opened(request(trained, tiny_store_path, far), store)
        assert isinstance(place, FarPlace)
        assert not place.is_done(work.identity)
        with place.writing() as token:
            _lay_out(place, work, store, goes_on=False)
            actor = Predictor(work, place, token, gpu=False)
            actor.write(0)
            actor.write(0)  # an actor that was started again
            assert place.missing(work.shards) == [1]
        with place.writing() as newer:
            with pytest.raises(LeaseLostError):
                actor.write(1)  # of a driver that was killed
            other = opened(request(trained, tiny_store_path, far, seed=1), store)
            assert other[1].missing(work.shards) == [0, 1], "shards of another request"
            work, place = opened(request(trained, tiny_store_path, far), store)
            assert place.goes_on(_begun(work))
            _lay_out(place, work, store, goes_on=True)
            finish(work, place, token=newer)
        place.tidy()
        assert storage_at(f"{far.parent}/p.{ending}.partial").names() == []
        work, place = opened(request(trained, tiny_store_path, far), store)
        assert place.is_done(work.identity)

    here = fetched(far)
    if ending == "h5ad":
        one, other = anndata.read_h5ad(near), anndata.read_h5ad(here)
        np.testing.assert_array_equal(one.X.toarray(), other.X.toarray())
        assert (one.obs.index == other.obs.index).all()
    else:
        assert PredictionDirectory(here).verify() == []
        [a, b] = [PredictionDirectory(path).manifest().shards for path in (near, here)]
        assert {one.path: one.sha256 for one in a} == {one.path: one.sha256 for one in b}
    assert read_facts(here) == read_facts(near)


def test_a_damaged_shard_is_named_and_written_again(
    trained: Path, tiny_store_path: Path, bucket: str
) -> None:
    with Store.open(tiny_store_path) as store:
        work, place = opened(request(trained, tiny_store_path, Path(f"{bucket}/p.h5ad")), store)
        assert isinstance(place, FarPlace)
        with place.writing() as token:
            _lay_out(place, work, store, goes_on=False)
            Predictor(work, place, token, gpu=False).write(0)
            [name] = place._storage.names("shards")
            place._storage.put(name, b"flipped")
            with pytest.raises(ValueError, match=r"shard 0 of s3://.*p.h5ad.partial is damaged"):
                place.gather()
            assert place.missing(work.shards) == [0, 1]


def test_a_prediction_in_a_run_is_refused(bucket: str) -> None:
    storage_at(f"{bucket}/runs/mine").put("index.json", b"{}")
    for out in ("mine", "mine/new.h5ad", "mine/model/new.zarr"):
        with pytest.raises(ValueError, match=r"in .*runs/mine; name a place outside of it"):
            place_of(Path(f"{bucket}/runs/{out}"), overwrite=False)
    place_of(Path(f"{bucket}/runs/beside.h5ad"), overwrite=False)
