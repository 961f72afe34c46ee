"""Two hosts, each with its own address and its own mounts, and an object store between them."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import yaml

from cluster.predict.request import SHARD
from cluster.runs.directory import RunDirectory
from cluster.storage.reading import fetched
from sweeps.directory import SweepDirectory
from tests.cluster.small import settings

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
CLIENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(1_200)]


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two hosts of one core each, and S3 at this one's address."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from hosts import TwoHosts, missing
    from moto.server import ThreadedMotoServer

    lacks = missing()
    if lacks is not None:
        pytest.skip(f"a second host {lacks}")
    with TwoHosts(cpus=(1, 1)) as two:
        server = ThreadedMotoServer(ip_address=two.near, port=0, verbose=False)
        server.start()
        client = {
            **CLIENT,
            "AWS_ENDPOINT_URL": f"http://{two.near}:{server.get_host_and_port()[1]}",
        }
        two.environment.update(client)
        for name, value in client.items():
            monkeypatch.setenv(name, value)
        fsspec.filesystem("s3").clear_instance_cache()
        two.start()
        yield two
        server.stop()
    fsspec.filesystem("s3").clear_instance_cache()


def scdfm(hosts: Any, *arguments: object, folder: Path) -> str:
    """What a command says, run here as the driver."""
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", *map(str, arguments), "--address", hosts.address],
        cwd=folder,
        env=hosts.environment,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_work_is_done_by_a_host_that_has_no_path_of_the_driver(
    hosts: Any, tiny_store_path: Path, tmp_path: Path
) -> None:
    system = fsspec.filesystem("s3")
    system.mkdir("cells")
    system.put(str(tiny_store_path), "cells/cells.zarr", recursive=True)
    run = settings(Path(), Path()) | {"store": "s3://cells/cells.zarr", "output": "s3://cells/runs"}
    base = {name: run[name] for name in run.keys() - {"name", "output", "split", "seed"}}
    sweep = {
        "name": "sweep",
        "output": "s3://cells/runs",
        "base": base,
        "splits": [run["split"]],
        "space": {"loss.mmd_weight": {"type": "float", "low": 0.01, "high": 10, "log": True}},
        "budget": {"trials": 4, "concurrent": 2},
        "prune": {"scheduler": "none"},
    }
    for name, values in (("run", run), ("sweep", sweep)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(values))

    said = scdfm(
        hosts, "train", "run.yaml", "--workers", 2, "--cpus-per-worker", 1, folder=tmp_path
    )
    assert "; 2 workers of 1 thread" in said
    scdfm(hosts, "tune", "sweep.yaml", folder=tmp_path)
    cells = ("--conditions", "G00005+G00008", "--cells", 2 * SHARD + 1)
    out = "s3://cells/cells.h5ad"
    model = "s3://cells/runs/sweep/best"
    store = ("--store", "s3://cells/cells.zarr")
    scdfm(hosts, "predict", model, *store, *cells, "--out", out, folder=tmp_path)

    for path in (tmp_path, tiny_store_path, *Path("/tmp").glob("scdfm-*")):
        assert not hosts.sees(path), path
    assert hosts.sees(BENCHMARKS), "what is installed is there"
    assert RunDirectory(fetched("s3://cells/runs/tiny")).finished
    ledger = SweepDirectory(fetched("s3://cells/runs/sweep")).ledger
    assert [one.state for one in ledger.trials()] == ["complete"] * 4
    assert fetched(out).stat().st_size > 0
