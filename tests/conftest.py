"""Cells that tests share: real ones where SCDFM_DATA says, a tiny screen, a tiny store."""

import os
from collections.abc import Iterator
from pathlib import Path

import anndata
import pytest

from data_store.ingest.write import IngestOptions, ingest
from data_store.simulate import SimulateOptions, simulate


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file in one process, and all files that share a session of Ray."""
    with_ray = {item.path for item in items if "ray_session" in getattr(item, "fixturenames", ())}
    for item in items:
        group = "ray" if item.path in with_ray else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse versions of pytest and xdist that say nothing and keep no groups."""
    kept = all("@" in item.nodeid for item in session.items)
    if session.config.getoption("loadgroup", default=False) and not kept:
        raise pytest.UsageError("this pytest-xdist does not keep the tests of a group together")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real cells; tests that need it skip without it."""
    folder = os.environ.get("SCDFM_DATA", "")
    if not folder or not (Path(folder) / "norman_subset.h5ad").is_file():
        pytest.skip(f"needs real cells: SCDFM_DATA={folder!r} holds no norman_subset.h5ad")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def tiny_adata() -> anndata.AnnData:
    """600 cells x 60 genes, 6 singles, 5 doubles, 2 contexts; do not change it."""
    return simulate(SimulateOptions(cells=600, genes=60, singles=6, doubles=5, contexts=2, seed=5))


@pytest.fixture(scope="session")
def tiny_h5ad(tiny_adata: anndata.AnnData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny screen as a file."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.h5ad"
    tiny_adata.write_h5ad(path)
    return path


@pytest.fixture(scope="session")
def tiny_store_path(tiny_h5ad: Path) -> Path:
    """The tiny screen as a store; do not change it."""
    path = tiny_h5ad.with_name("tiny.zarr")
    ingest(tiny_h5ad, path, options=IngestOptions(context_column="context"))
    return path


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One local Ray of two cores for all tests that need one."""
    from cluster.session import session

    with session(cpus=2):
        yield
