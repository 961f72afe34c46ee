"""Batches are a pure function of (seed, i) and hold what the config says."""

import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from data_store.store.reader import Store
from data_store.stream import Batch, BatchConfig, Cells, Stream

CONFIG = BatchConfig(conditions=3, cells=8, genes=20)


@pytest.fixture
def store(tiny_store_path: Path) -> Store:
    return Store.open(tiny_store_path)


def targets(store: Store) -> list[Cells]:
    return [Cells(k, u.start, u.stop) for k, u in enumerate(store.units) if not u.is_control]


def make(
    store: Store, *, config: BatchConfig = CONFIG, seed: int = 1, references: int = 0
) -> Stream:
    genes = np.arange(0, 60, 2)
    return Stream(
        store,
        targets=targets(store),
        genes=genes,
        config=config,
        seed=seed,
        references=references,
    )


def same(a: Batch, b: Batch) -> bool:
    return (a.index, a.units) == (b.index, b.units) and all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in ("offsets", "target", "control", "genes")
    )


def test_a_batch_depends_on_nothing_but_seed_and_index(tiny_store_path: Path, store: Store) -> None:
    forward = [make(store).batch(i) for i in range(12)]
    with Store.open(tiny_store_path, cache_bytes=0) as cold:
        again = make(cold)
        assert all(same(again.batch(i), forward[i]) for i in reversed(range(12)))
    assert not same(make(store, seed=2).batch(0), forward[0])


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_workers_share_the_same_batches(store: Store, world: int) -> None:
    alone = [make(store).batch(i) for i in range(4, 14)]
    shared = [
        batch
        for rank in range(world)
        for batch in make(store).batches(start=4, stop=14, rank=rank, world=world)
    ]
    shared.sort(key=lambda batch: batch.index)
    assert all(same(a, b) for a, b in zip(alone, shared, strict=True))


@pytest.mark.parametrize(("world", "together"), [(1, 3), (2, 3), (3, 4), (2, 4)])
def test_fewer_workers_take_the_batches_of_each_step_among_them(
    store: Store, world: int, together: int
) -> None:
    stream = make(store)
    taken = [
        [one.index for one in stream.batches(
            start=4, stop=4 + 2 * together, rank=rank, world=world, together=together
        )]
        for rank in range(world)
    ]  # fmt: skip
    for step in (0, 1):
        first = 4 + step * together
        own = [[i for i in some if first <= i < first + together] for some in taken]
        assert sorted(i for some in own for i in some) == list(range(first, first + together))
        assert [len(some) for some in own] == [len(range(r, together, world)) for r in range(world)]


def test_a_batch_holds_cells_of_its_units_and_controls_of_their_contexts(store: Store) -> None:
    whole = store.expression(0, 600)
    for i in range(20):
        batch = make(store).batch(i)
        columns = np.arange(0, 60, 2)[batch.genes]
        assert len(set(batch.units)) == 3
        for j, place in enumerate(batch.units):
            unit = store.units[place]
            control = store.controls[unit.context]
            rows = slice(batch.offsets[j], batch.offsets[j + 1])
            for part, cells in ((batch.target, unit), (batch.control, control)):
                known = {row.tobytes() for row in whole[cells.start : cells.stop, columns]}
                assert {row.tobytes() for row in part[rows]} <= known


def test_shapes_are_those_of_the_config(store: Store) -> None:
    batch = make(store).batch(0)
    assert batch.target.shape == batch.control.shape == (24, 20)
    assert batch.offsets.tolist() == [0, 8, 16, 24]
    assert (np.diff(batch.genes) > 0).all()


def test_a_small_unit_gives_each_cell_once(store: Store) -> None:
    config = BatchConfig(conditions=1, cells=10_000, genes=60)
    batch = make(store, config=config).batch(3)
    unit = store.units[batch.units[0]]
    assert len(batch.target) == len(batch.control) == len(unit)
    order = np.lexsort(batch.target.T)
    whole = store.expression(unit.start, unit.stop)[:, ::2]
    np.testing.assert_array_equal(batch.target[order], whole[np.lexsort(whole.T)])


def test_more_cells_to_compare_with_change_nothing_else(store: Store) -> None:
    plain, asked = make(store), make(store, references=30)
    for index in range(3):
        batch = asked.batch(index)
        assert same(batch, plain.batch(index))
        counts = [min(30, len(store.units[unit])) for unit in batch.units]
        assert list(batch.reference_sizes) == counts
        parts = np.split(batch.reference, np.cumsum(counts)[:-1])
        for unit, some in zip(batch.units, parts, strict=True):
            place = store.units[unit]
            columns = np.arange(0, 60, 2)[batch.genes]
            own = store.expression(place.start, place.stop, genes=columns)
            found = (some[:, None] == own[None]).all(axis=2)
            assert found.any(axis=1).all()
            assert len({row.tobytes() for row in some}) == len(some)
    assert plain.batch(0).reference.shape == (0, 20)


def test_every_cell_is_reached_as_often(store: Store) -> None:
    config = BatchConfig(conditions=1, cells=3, genes=60)
    unit = store.units[1]
    cells = Cells(1, unit.start, unit.stop)
    everything = Stream(store, targets=[cells], genes=np.arange(60), config=config, seed=0)
    seen = Counter(row.tobytes() for i in range(400) for row in everything.batch(i).target)
    whole = Counter(row.tobytes() for row in store.expression(unit.start, unit.stop))
    assert set(seen) == set(whole)
    expected = 400 * 3 / len(unit)
    assert all(0.5 < seen[row] / whole[row] / expected < 1.6 for row in whole)


def test_more_conditions_than_units_means_all_units(store: Store) -> None:
    config = BatchConfig(conditions=1_000, cells=2, genes=5)
    assert sorted(make(store, config=config).batch(0).units) == [c.unit for c in targets(store)]


def test_sampling_by_size_prefers_large_units(store: Store) -> None:
    config = BatchConfig(conditions=1, cells=1, genes=1, sampling="size")
    large, small = Cells(1, store.units[1].start, store.units[1].stop), targets(store)[3]
    pair = [large, small._replace(stop=small.start + 1)]
    one = Stream(store, targets=pair, genes=np.arange(5), config=config, seed=0)
    drawn = [one.batch(i).units[0] for i in range(200)]
    assert drawn.count(1) > 180


def test_controls_can_be_confined(store: Store) -> None:
    places = [k for k, unit in enumerate(store.units) if unit.is_control]
    first = [Cells(k, store.units[k].start, store.units[k].start + 1) for k in places]
    confined = Stream(
        store, targets=targets(store), genes=np.arange(60), config=CONFIG, seed=0, controls=first
    )
    rows = {store.expression(c.start, c.stop)[0].tobytes() for c in first}
    batch = Stream.batch(confined, 0)
    full = BatchConfig(conditions=3, cells=8, genes=60)
    confined = Stream(
        store, targets=targets(store), genes=np.arange(60), config=full, seed=0, controls=first
    )
    assert len(batch.control) == len(batch.target)
    assert {row.tobytes() for row in confined.batch(0).control} <= rows


def test_closing_joins_the_thread(store: Store) -> None:
    before = {*threading.enumerate()}  # of other tests, some may be left
    batches = make(store).batches()
    next(batches)
    batches.close()
    left = {*threading.enumerate()} - before
    assert not any(thread.name.startswith("batches") for thread in left)


def test_an_error_while_reading_ahead_reaches_the_reader(store: Store) -> None:
    broken = make(store)
    broken._genes = np.array([10_000] * 30)
    with pytest.raises(ValueError, match="gene columns"):
        next(broken.batches())


def test_what_cannot_be_drawn_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="0 units and 5 genes"):
        Stream(store, targets=[], genes=np.arange(5), config=CONFIG, seed=0)
    with pytest.raises(ValueError, match="expected rows within"):
        Stream(store, targets=[Cells(1, 0, 600)], genes=np.arange(5), config=CONFIG, seed=0)
    with pytest.raises(ValueError, match="control cells in the context 'line1'"):
        Stream(
            store, targets=targets(store), genes=np.arange(5), config=CONFIG, seed=0, controls=[]
        )
    with pytest.raises(ValueError, match="rank"):
        next(make(store).batches(rank=2, world=2))
