"""Facts of models that keep a base."""

import json
import shutil
from pathlib import Path

import pytest

from cluster.runs.begin import OpenRun
from cluster.runs.inspect_run import describe_model
from cluster.runs.plan import make_plan
from cluster.runs.precision import Arithmetic
from cluster.settings.config import RunConfig, make_run
from cluster.work.validation import Validation
from data_store.store.reader import Store
from scdfm.flow.checkpoint import ModelCard, load_model, read_card
from scdfm.flow.combined import FlowWeight
from scdfm.flow.files import BASE, CARD
from scdfm.screen import sealed
from tests.cluster.combined.conftest import combining
from tests.cluster.small import settings

pytestmark = pytest.mark.slow


def test_inspect_says_how_means_are_made(combined: Path) -> None:
    facts = describe_model(combined / "model")["mean"]
    card = read_card(combined / "model")
    assert card.mean is not None
    assert facts["of"] == card.mean_in_words
    assert (facts["flow"]["flow"], facts["flow"]["units"]) == (card.mean.flow, card.mean.units)
    assert facts["flow"]["interval"] == pytest.approx(card.mean.interval, abs=1e-3)
    assert facts["base"]["tokens"] == "6"


def test_a_card_of_before_means_had_a_base_is_one_of_the_flow_alone(trained: Path) -> None:
    card = json.loads((trained / "model" / CARD).read_text())
    assert card.pop("mean") is None
    del card["sampling"]["mean"]
    assert ModelCard.model_validate(card) == read_card(trained / "model")
    assert describe_model(trained / "model")["mean"] is None
    assert not (trained / "model" / BASE).exists()


def test_a_model_that_lost_its_base_or_its_weight_is_refused(
    combined: Path, tmp_path: Path
) -> None:
    model = shutil.copytree(combined / "model", tmp_path / "model")
    (model / sealed.FILE).unlink()  # of a version that kept no hashes
    card = json.loads((model / CARD).read_text())
    (model / CARD).write_text(json.dumps(card | {"mean": None}))
    with pytest.raises(ValueError, match="lacks the weight of the flow beside its base"):
        load_model(model)
    (model / CARD).write_text(json.dumps(card))
    (model / BASE).write_bytes(b"half")
    with pytest.raises(ValueError, match="does not hold a model's base"):
        load_model(model)
    (model / BASE).unlink()
    with pytest.raises(ValueError, match=f"{BASE} is missing"):
        load_model(model)


def test_the_weight_is_what_is_set_else_that_of_folds_else_none(
    tiny_store_path: Path, tmp_path: Path
) -> None:
    by_folds = FlowWeight(flow=0.4, units=5)
    set_by_hand, auto = (
        combining(tiny_store_path, tmp_path, mean={"base": "additive", "flow": flow})
        for flow in (0.3, "auto")
    )
    with Store.open(set_by_hand.store) as store:
        plan = make_plan(set_by_hand, store)
        how = Arithmetic("cpu", "float32", matmul="highest", compiled=False)

        def weight(run: RunConfig, folds: FlowWeight | None) -> FlowWeight | None:
            return Validation(run, plan, store, how, weight=folds).weight

        assert weight(set_by_hand, by_folds) == FlowWeight(flow=0.3, given=True)
        assert weight(auto, by_folds) == by_folds
        assert weight(auto, None) == FlowWeight(flow=0)
        plain = make_run(settings(tiny_store_path, tmp_path), where="test")
        assert weight(plain, None) is None
        base = Validation(auto, plan, store, how).base
    assert base is not None
    assert base.scale == 1


@pytest.mark.parametrize(
    ("mean", "fault"),
    [
        ({"flow": 0.5}, "base is none; set base to shrunken"),
        ({"base": "shrunken", "flow": 2}, "flow: expected auto or a number from 0 to 1, got 2"),
        ({"base": "shrunken", "shape": "often"}, "shape: expected auto or a number"),
        ("shrink", "expected 'none', 'shrunken' or 'additive', got 'shrink'"),
    ],
)
def test_a_wrong_mean_is_refused_in_one_line(tmp_path: Path, mean: object, fault: str) -> None:
    values = settings(tmp_path, tmp_path, sampling={"mean": mean})
    with pytest.raises(ValueError, match=fault) as caught:
        make_run(values, where="test")
    assert "\n" not in str(caught.value)


def test_an_additive_base_without_singles_is_refused_before_anything_is_written(
    tiny_store_path: Path, tmp_path: Path
) -> None:
    with Store.open(tiny_store_path) as store:
        singles = [one for one, tokens in store.conditions.items() if len(tokens) == 1]
    split = {"kind": "list", "test": singles}
    OpenRun(combining(tiny_store_path, tmp_path, split=split)).check()
    run = combining(tiny_store_path, tmp_path, mean="additive", split=split)
    with pytest.raises(ValueError, match="training has none alone"):
        OpenRun(run).check()
    assert not run.directory.exists()


def test_a_base_by_its_name_is_one_with_the_usual_options(tmp_path: Path) -> None:
    short, long = (
        make_run(
            settings(tmp_path, tmp_path, sampling={"mean": mean}),
            where="test",
            overrides={"sampling.mean.flow": 0.5},
        )
        for mean in ("shrunken", {"base": "shrunken"})
    )
    assert short == long
    assert (short.sampling.shape("other_control"), short.sampling.shape("noise")) == (0.25, 1)
