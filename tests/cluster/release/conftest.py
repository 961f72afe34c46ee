"""Checkpoints in the authors' form, and a store of drugs."""

from pathlib import Path

import pytest

from data_store.ingest.write import IngestOptions, ingest
from tests.cluster.release.made import TOKENS
from tests.scdfm.release_files import write_checkpoint, write_mask


@pytest.fixture(scope="session")
def drug_store(tiny_h5ad: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny screen as if its tokens were drugs."""
    path = tmp_path_factory.mktemp("drugs") / "drugs.zarr"
    ingest(tiny_h5ad, path, options=IngestOptions(context_column="context", perturbation="drug"))
    return path


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """gene.pt, drug.pt and mask.pt of the tiny store's genes."""
    folder = tmp_path_factory.mktemp("release")
    write_checkpoint(folder / "gene.pt", tokens=TOKENS)
    write_checkpoint(folder / "drug.pt", tokens=TOKENS, drugs=8)
    write_mask(folder / "mask.pt", tokens=TOKENS)
    return folder
