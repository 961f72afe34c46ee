"""Runs small enough to train in a second."""

from pathlib import Path
from typing import Any

import pytest

from cluster.settings.config import RunConfig, make_run
from tests.cluster.small import settings


@pytest.fixture
def run(tiny_store_path: Path, tmp_path: Path) -> RunConfig:
    """A run on the tiny screen, not yet begun."""
    return make_run(settings(tiny_store_path, tmp_path), where="test")


@pytest.fixture(scope="session")
def trained(tiny_store_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a finished run; do not change it."""
    from cluster.train import train_here

    values: dict[str, Any] = settings(tiny_store_path, tmp_path_factory.mktemp("trained"))
    return train_here(make_run(values, where="test")).directory
