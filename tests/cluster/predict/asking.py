"""Requests of predictions by the tiny model."""

from pathlib import Path

import pytest

from cluster.predict.actors import predict
from cluster.predict.options import PredictionRequest
from cluster.settings.config import read_run
from data_store.store.reader import Store


def request(trained: Path, out: Path, **changes: object) -> PredictionRequest:
    run = read_run(trained / "run.yaml")
    with Store.open(run.store) as store:
        singles = sorted(name for name, tokens in store.conditions.items() if len(tokens) == 1)
    values = {
        "model": trained / "model",
        "store": run.store,
        "conditions": (singles[0], f"{singles[2]}+{singles[1]}"),
        "cells": 150,
        "out": out,
    }
    return PredictionRequest.model_validate(values | changes)


def refused(trained: Path, out: Path, **changes: object) -> str:
    asked = request(trained, out, **changes)
    with pytest.raises(ValueError, match=r"\w") as caught:
        predict(asked)
    assert not list(out.parent.iterdir())
    return str(caught.value)
