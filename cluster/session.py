"""A Ray session that is quiet, checks what it is asked for, and leaves nothing behind."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Ray reads these when it is first imported.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
# The controller polls for reports every 2 s by default; a validation round waits for it.
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS", "0")

import ray

OBJECT_STORE = 150 * 2**20  # bytes; cells travel through files, not through the object store


@contextmanager
def session(address: str | None = None, *, cpus: int | None = None) -> Iterator[None]:
    """Use the Ray cluster at `address`, or start Ray on this machine for the time of the block.

    A session that is already open is used as it is.

    Args:
        address: Of a running cluster; default RAY_ADDRESS, else a local Ray is started.
        cpus: Cores of a local Ray; default all.

    Raises:
        ConnectionError: No cluster answers at the address.
    """
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        ray.init(
            address=address or "local",
            num_cpus=None if address else cpus,
            object_store_memory=None if address else OBJECT_STORE,
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    for name in ("ray.train", "ray.tune", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


def require(*, cpus: float, gpus: float = 0) -> None:
    """Refuse work that the cluster could never start; Ray itself would wait for ever.

    Raises:
        ValueError: More is asked than the whole cluster has.
    """
    have: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    for name, wanted in (("CPU", cpus), ("GPU", gpus)):
        if wanted > have.get(name, 0):
            raise ValueError(
                f"the work asks for {wanted:g} {name}s and the cluster has {have.get(name, 0):g}; "
                "ask for fewer workers or a larger cluster (--address)"
            )


def share(workers: int) -> int:
    """Cores for each of some equal workers: the cluster's, and no more than one node has."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    have = [node["Resources"].get("CPU", 0) for node in nodes if node["Alive"]]
    return max(1, int(min(max(have), sum(have) // workers)))


def cores() -> int:
    """Cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
