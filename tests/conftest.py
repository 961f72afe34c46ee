"""Cells that tests share: real ones where SCDFM_DATA says, a tiny screen, a tiny store."""

import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import anndata
import fsspec
import hypothesis
import pytest

from data_store.ingest.write import IngestOptions, ingest
from data_store.simulate import SimulateOptions, simulate
from tests.terminal import end_begun

# How long an example takes says nothing on a machine that is busy; the same examples come again.
hypothesis.settings.register_profile(
    "busy",
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("busy")


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


@pytest.fixture(autouse=True)
def _same_draws() -> None:
    """Numbers that a test draws without a seed are those of its last run."""
    random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(autouse=True)
def _no_command_stays() -> Iterator[None]:
    yield
    end_begun()


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


@pytest.fixture
def free_cores(ray_session: None) -> None:
    """That all cores of the local Ray are free: what other tests end gives them back later."""
    import ray

    while ray.available_resources().get("CPU", 0) < 2:  # type: ignore[no-untyped-call]
        time.sleep(0.05)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of a server that speaks S3; the environment leads clients to it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        environment.setenv("AWS_ACCESS_KEY_ID", "test")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "test")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_server: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of an empty bucket."""
    name = f"b{abs(hash(request.node.nodeid)):x}"
    system = fsspec.filesystem("s3")
    system.mkdir(name)
    yield f"s3://{name}"
    system.invalidate_cache()
    system.rm(name, recursive=True)
