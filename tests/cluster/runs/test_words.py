"""Splits, models and predictions read conditions by the words of their store."""

from pathlib import Path

import anndata
import pytest

from cluster.predict.options import PredictionRequest
from cluster.predict.request import look_up
from cluster.runs.plan import make_plan
from cluster.settings.config import make_run
from cluster.train import train_here
from data_store.ingest.write import IngestOptions, ingest
from data_store.store.reader import Store
from scdfm.flow.checkpoint import read_card
from scdfm.screen import sealed
from tests.cluster.small import settings


@pytest.fixture(scope="module")
def store_path(tiny_adata: anndata.AnnData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny screen as written by others: control PBS, tokens joined by |."""
    folder = tmp_path_factory.mktemp("words")
    cells = tiny_adata.copy()
    written = cells.obs["condition"].astype(str).replace("control", "PBS")
    cells.obs["condition"] = written.str.replace("+", "|")
    cells.write_h5ad(folder / "cells.h5ad")
    told = IngestOptions(control=("PBS",), separator="|", context_column="context")
    ingest(folder / "cells.h5ad", folder / "store", options=told)
    return folder / "store"


def test_a_split_names_conditions_as_the_store_does(store_path: Path, tmp_path: Path) -> None:
    with Store.open(store_path) as store:
        double = next(name for name, tokens in store.conditions.items() if len(tokens) == 2)
        first, second = store.conditions[double]
        lists = tmp_path / "lists.yaml"
        lists.write_text(f"test: ['{second}|{first}']")
        for split in (
            {"kind": "list", "test": [f"{second}|{first}"]},
            {"kind": "list", "test": [double]},
            {"kind": "file", "path": str(lists)},
        ):
            run = make_run(settings(store_path, tmp_path, split=split), where="test")
            assert make_plan(run, store).split.test == (double,)


def test_a_control_word_of_others_is_no_control_in_a_split(
    store_path: Path, tmp_path: Path
) -> None:
    with Store.open(store_path) as store:
        single = next(name for name, tokens in store.conditions.items() if len(tokens) == 1)
        split = {"kind": "list", "test": [f"DMSO|{single}"]}
        run = make_run(settings(store_path, tmp_path, split=split), where="test")
        with pytest.raises(ValueError, match="is not in the data"):
            make_plan(run, store)


def test_a_model_reads_conditions_as_the_store_it_learnt_from(
    store_path: Path, tmp_path: Path
) -> None:
    run = train_here(make_run(settings(store_path, tmp_path), where="test"))
    model = run.directory / "model"
    with Store.open(store_path) as store:
        assert read_card(model).words == store.words
        first, second = sorted(name for name, some in store.conditions.items() if len(some) == 1)[
            :2
        ]

        def asked(*conditions: str) -> PredictionRequest:
            return PredictionRequest(
                model=model, store=str(store_path), conditions=conditions, out=tmp_path / "p.zarr"
            )

        found = look_up(
            asked(f"{second}|{first}", f"PBS|{first}"), store
        ).provenance.identity.conditions
        assert found == ((first, second), (first,))
        for word in ("DMSO", "ctrl"):
            with pytest.raises(ValueError, match=f"{word!r} is not one"):
                look_up(asked(f"{word}|{first}"), store)
        with pytest.raises(ValueError, match="needs no prediction"):
            look_up(asked("pbs"), store)


def test_a_model_without_words_reads_as_the_store_at_hand(store_path: Path, tmp_path: Path) -> None:
    model = train_here(make_run(settings(store_path, tmp_path), where="test")).directory / "model"
    card = read_card(model)
    (model / "model.json").write_text(card.model_dump_json(exclude={"words"}))
    (model / sealed.FILE).unlink()  # nor had such a model hashes
    with Store.open(store_path) as store:
        first, second = sorted(name for name, some in store.conditions.items() if len(some) == 1)[
            :2
        ]
        request = PredictionRequest(
            model=model,
            store=str(store_path),
            conditions=(f"{second}|{first}",),
            out=tmp_path / "p.zarr",
        )
        assert look_up(request, store).identity.conditions == ((first, second),)
        assert {unit.label for unit in look_up(request, store).units} <= {
            f"{first}|{second}",
            f"{second}|{first}",
        }
