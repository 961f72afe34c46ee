"""A run small enough to train in a second, and the controls of its store."""

from pathlib import Path
from typing import Any

import anndata
import pytest

import scdfm
from scdfm import TrainedModel
from tests.cluster.small import settings


@pytest.fixture(scope="session")
def trained(tiny_store_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a finished run; do not change it."""
    values: dict[str, Any] = settings(tiny_store_path, tmp_path_factory.mktemp("trained"))
    return scdfm.train(values).directory


@pytest.fixture(scope="session")
def model(trained: Path) -> TrainedModel:
    """Its model."""
    return scdfm.load_model(trained)


@pytest.fixture
def controls(tiny_store_path: Path) -> anndata.AnnData:
    """The control cells of its store."""
    return scdfm.control_cells(tiny_store_path)
