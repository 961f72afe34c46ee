"""Facts of which contexts a model counts as trained."""

import anndata
import pytest

from cluster.predict.request import trained_of
from cluster.settings.config import make_run
from cluster.train import train_here
from data_store.ingest.write import IngestOptions, ingest
from scdfm.flow.certainty.ensemble import _together
from scdfm.flow.checkpoint import Model, load_model
from scdfm.flow.provenance import Provenance
from tests.cluster.small import settings

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tiny_adata: anndata.AnnData, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Of a screen with a third context, which has controls alone."""
    folder = tmp_path_factory.mktemp("bare")
    bare = tiny_adata[tiny_adata.obs["condition"] == "control"][:20].copy()
    bare.obs["context"], bare.obs_names = "bare", [f"bare{name}" for name in bare.obs_names]
    anndata.concat([tiny_adata, bare]).write_h5ad(folder / "cells.h5ad")
    ingest(folder / "cells.h5ad", folder / "store", options=IngestOptions(context_column="context"))
    values = settings(folder / "store", folder)
    short = values["training"] | {"steps": 2}
    return load_model(train_here(make_run(values | {"training": short}, where="test")).model)


def test_a_context_with_controls_alone_is_new(model: Model) -> None:
    card, known = model.card, model.split.train[0]
    assert "bare" in card.contexts
    trained = trained_of(card, model.split, words=card.words)
    condition = card.words.parse(known)
    assert trained.distance(condition, context="bare")[:2] == (1, "new context")
    others = {*card.contexts} - {"bare"}
    assert len(others) == 2
    assert {trained.distance(condition, context=one).steps for one in others} == {0}


def test_models_of_before_count_all_contexts_of_their_store(model: Model) -> None:
    card = model.card.model_copy(update={"trained_contexts": None})
    trained = trained_of(card, model.split, words=card.words)
    assert trained.distance(card.words.parse(model.split.train[0]), context="bare").steps == 0


def test_an_ensemble_was_trained_on_what_any_member_was(model: Model) -> None:
    each = [
        model.card.model_copy(update={"trained_contexts": known})
        for known in (("a", "b"), ("b", "c"), None)
    ]
    both = _together(each[:2], of="folds", seed=0, facts=Provenance())
    assert both.trained_contexts == ("a", "b", "c")
    assert _together(each, of="folds", seed=0, facts=Provenance()).trained_contexts is None
