"""Training from a store behind a URL."""

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from cluster.settings.config import make_run
from cluster.train import train_here
from data_store.publish.upload import upload
from tests.cluster.small import settings

pytestmark = pytest.mark.slow


@pytest.fixture
def url(tiny_store_path: Path) -> Iterator[str]:
    """The tiny store in fsspec's memory."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    upload(tiny_store_path, "memory://bucket/tiny")
    yield "memory://bucket/tiny"
    system.store.clear()


def test_a_bucket_trains_the_same_model_as_a_directory(
    url: str, tiny_store_path: Path, tmp_path: Path
) -> None:
    weights = []
    for name, store in (("far", url), ("near", str(tiny_store_path))):
        values = {**settings(tiny_store_path, tmp_path, name=name), "store": store}
        run = make_run(values, where="test")
        train_here(run)
        weights.append((run.directory / "model" / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]
