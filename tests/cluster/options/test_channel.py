"""Facts of what training units read in a base channel: nothing of their own cells."""

import logging
from dataclasses import fields, replace
from pathlib import Path

import anndata
import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from cluster.runs.directory import RunDirectory
from cluster.settings.config import RunConfig, make_run
from cluster.train import train_here
from cluster.work.channel import _some, make_channel
from data_store.ingest.write import IngestOptions, ingest
from scdfm.flow.checkpoint import load_model
from scdfm.metrics.baselines import MeasuredUnits
from scdfm.metrics.shrunken import Base, fit
from tests.cluster.small import settings

CONDITIONS = (("A",), ("B",), ("C",), ("A", "B"), ("A", "C"))


def known(*, contexts: tuple[str, ...] = ("x", "y")) -> MeasuredUnits:
    draw = np.random.default_rng(1)
    effects = {token: draw.normal(size=6) for token in "ABC"}
    units = [(context, condition) for context in contexts for condition in CONDITIONS]
    change = [sum(effects[t] for t in condition) for _, condition in units]
    return MeasuredUnits(
        contexts=tuple(context for context, _ in units),
        conditions=tuple(condition for _, condition in units),
        control=np.ones((len(units), 6)),
        mean=1 + np.array(change) + draw.normal(size=(len(units), 6)) / 10,
        noise=np.full(len(units), 0.01),
    )


@pytest.mark.parametrize("by_context", [False, True], ids=["conditions", "contexts"])
def test_a_unit_reads_nothing_of_its_own_condition_or_context(by_context: bool) -> None:
    units = known()
    mean, changed = units.mean.copy(), 3  # A+B in context x
    mean[changed] += 100.0
    before, after = (
        make_channel(one, positions=range(10), seed=0, by_context=by_context)
        for one in (units, replace(units, mean=mean))
    )
    own = [
        k
        for k in range(10)
        if (
            units.contexts[k] == units.contexts[changed]
            if by_context
            else units.conditions[k] == units.conditions[changed]
        )
    ]
    for unit in range(10):
        same = bool((before.units[unit] == after.units[unit]).all())
        assert same == (unit in own), unit


def test_a_double_reads_nearly_the_sum_of_its_singles() -> None:
    units = known()
    channel = make_channel(units, positions=range(10), seed=0, by_context=False)
    for unit in (3, 4, 8, 9):
        read, real = channel.units[unit].numpy(), units.delta[unit]
        assert np.square(read - real).mean() < 0.2 * np.square(real).mean()


def test_the_model_keeps_the_base_of_all_training_units() -> None:
    units = known()
    channel = make_channel(units, positions=range(10), seed=0, by_context=False)
    arrays = {k.removeprefix("base_channel."): v.numpy() for k, v in channel.given.items()}
    np.testing.assert_array_equal(Base.from_arrays(arrays).effects, fit(units).effects)


def test_a_single_condition_reads_that_nothing_is_known() -> None:
    one = known(contexts=("x",))
    alone = MeasuredUnits(
        contexts=one.contexts[:1],
        conditions=one.conditions[:1],
        control=one.control[:1],
        mean=one.mean[:1],
        noise=np.full(1, 0.01),
    )
    channel = make_channel(alone, positions=[7], seed=0, by_context=True)
    assert not channel.units[7].any()


def test_a_part_of_the_units_has_all_that_is_known_of_them() -> None:
    units = replace(
        known(), genes=tuple("abcdef"), control_noise=np.arange(10) / 1e3, noise_by_gene=np.ones(6)
    )
    rows = np.array([7, 2])
    part = _some(units, rows)
    for one in fields(units):
        whole, some = getattr(units, one.name), getattr(part, one.name)
        assert whole is not None
        expected = whole if len(whole) != 10 else [whole[row] for row in rows]
        np.testing.assert_array_equal(some, np.asarray(expected), err_msg=one.name)


@pytest.fixture(scope="module")
def drugs(tiny_h5ad: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny screen with drugs, which are spelt like its genes and yet are none."""
    path = tmp_path_factory.mktemp("channel") / "drugs.zarr"
    cells = anndata.read_h5ad(tiny_h5ad)
    cells.write_h5ad(path.with_suffix(".h5ad"))
    ingest(
        path.with_suffix(".h5ad"),
        path,
        options=IngestOptions(context_column="context", perturbation="drug"),
    )
    return path


def stopped(drugs: Path, output: Path) -> RunConfig:
    values = settings(drugs, output)
    model = {**values["model"], "base_channel": True}
    run = make_run({**values, "model": model}, where="test")
    train_here(run, on_round=lambda outcome: outcome.step < 4)
    return run


def channel_of(run: RunConfig) -> dict[str, np.ndarray]:
    weights = load_file(run.directory / "model" / "model.safetensors")
    learnt = ("base_channel.hidden", "base_channel.out")
    channel = {
        k: v.numpy()
        for k, v in weights.items()
        if k.startswith("base_channel.") and not k.startswith(learnt)
    }
    assert channel["base_channel.own"].size == 0
    return channel


@pytest.mark.slow
def test_a_stopped_run_goes_on_where_no_token_is_a_gene(drugs: Path, tmp_path: Path) -> None:
    run = stopped(drugs, tmp_path)
    assert train_here(run).finished


@pytest.mark.slow
def test_a_run_whose_base_was_fitted_by_an_older_rule_goes_on_with_a_new_one(
    drugs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = stopped(drugs, tmp_path)
    expected = channel_of(run)
    [newest] = (run.directory / "checkpoints").glob("step-00000004")
    (newest / "manifest.json").unlink()  # its hashes
    for file in [*newest.glob("*.safetensors")]:
        weights = load_file(file)
        weights.pop("base_channel.own")
        weights.pop("base_channel.own_places")
        weights.pop("base_channel.own_variance")
        weights["base_channel.effects"] *= 0.9
        save_file(weights, file)
    with caplog.at_level(logging.WARNING):
        assert train_here(run).finished
    assert "was fitted by an older version" in caplog.text
    for name, array in channel_of(run).items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)
    assert RunDirectory(run.directory).finished
    assert load_model(run.directory / "model").field.config.base_channel
