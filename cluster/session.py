"""A Ray session that is quiet, listens to this machine only, and leaves nothing behind."""

import fcntl
import functools
import logging
import math
import os
import secrets
import shutil
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypedDict

# Ray reads these when it is first imported.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
# The controller polls for reports every 2 s by default; a validation round waits for it.
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS", "0")

import ray
from ray._private import ray_constants, worker

from cluster.joining import require_cluster
from cluster.processes import kill, kill_descendants
from cluster.unstarted import clear_away, first_line, lack
from scdfm.screen.progress import phase

log = logging.getLogger(__name__)

OBJECT_STORE = 150 * 2**20  # bytes; cells travel through files, not through the object store
_FOLDER = "scdfm-ray-"  # in the temporary directory: what a local Ray writes
_LOCK = "in-use"
_CACHE = "TORCHINDUCTOR_CACHE_DIR"
_TEMPORARY = "TMPDIR"
_HOME = "SCDFM_LOCAL_RAY"  # tells processes below a local Ray its folder
PRIVATE = (
    ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR,
    "RAY_AUTH_TOKEN",
    "RAY_AUTH_MODE",
    _CACHE,
    _TEMPORARY,
    _HOME,
)
"""Variables of the environment that mean one local Ray while it runs."""
_LONGEST = 18  # characters of its path; a socket's may have 103, of which the rest takes 85
_YOUNG = 60.0  # seconds in which a folder without a lock may be about to get one

_started: list[Path] = []  # folders of local sessions of this process
_halted: set[int] = set()  # raylets, see `abandon`
_given_up = threading.Event()


@contextmanager
def session(address: str | None = None, *, cpus: int | None = None) -> Iterator[None]:
    """Use the Ray cluster at `address`, or start Ray on this machine for the time of the block.

    A session that is already open is used as it is.

    Args:
        address: Of a running cluster, or "local"; default RAY_ADDRESS, else a local Ray is
            started.
        cpus: Cores of a local Ray; default all.

    Raises:
        ValueError: No cluster can be joined at the address; says why within 15 s.
    """
    if ray.is_initialized():
        yield
        return
    with _local(cpus) if starts_here(address) else _joined(_named(address)):
        yield


@contextmanager
def rejoined(address: str) -> Iterator[None]:
    """Be a job of its own in the Ray of whose workers one has started this process.

    Args:
        address: Of that Ray, which the worker is connected to.
    """
    local = os.environ.get(_HOME)
    if local is not None:
        _started.append(Path(local))
    _init(address=address)
    try:
        yield
    finally:
        ray.shutdown()


def starts_here(address: str | None) -> bool:
    """Whether `session` would start a local Ray, rather than use one that runs."""
    return not ray.is_initialized() and _named(address) in ("", "local")


def _named(address: str | None) -> str:
    return address or os.environ.get("RAY_ADDRESS", "")


def local_folder() -> Path | None:
    """A folder that lives as long as the local Ray of this process; None on a cluster."""
    return _started[-1] if _started else None


def give_up() -> None:
    """Stop all calls to Ray from a process that is about to end; call `abandon` next."""
    _given_up.set()


def abandon() -> None:
    """End a local Ray at once, from any thread; call `bury` last of all, and end.

    Ray's library ends a process whose raylet has died as soon as it calls it, mute and with status
    1. So the raylet is only halted here.
    """
    _halted.update(kill_descendants(but="raylet"))
    while _started:
        shutil.rmtree(_started.pop(), ignore_errors=True)


def bury() -> None:
    """Kill what `abandon` has halted; only just before this process ends.

    On Linux it dies with this process, as Ray has it: even between a kill and the end Ray's library
    could take its moment.
    """
    if not sys.platform.startswith("linux"):
        kill(_halted)


@contextmanager
def _joined(address: str) -> Iterator[None]:
    phase(log, "joining the Ray cluster")
    require_cluster(address)
    try:
        _init(address=address)
    except Exception as error:  # such as Ray's own RaySystemError, which is no RuntimeError
        if "Version mismatch" in str(error):
            raise ValueError(
                f"the Ray cluster at {address} has other versions than this process "
                f"({' '.join(str(error).split())}); install the cluster's here, or ours there"
            ) from error
        if _given_up.is_set():
            raise
        raise RuntimeError(
            f"could not join the Ray cluster at {address} ({first_line(error)}); run the command "
            "again, and see `ray status` there"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _local(cpus: int | None) -> Iterator[None]:
    phase(log, "starting Ray")
    with _folder() as folder, _private(folder):
        _start(folder, cpus=cpus)
        try:
            yield
        finally:
            if not _given_up.is_set():
                ray.shutdown(wait_for_processes=True)


def _start(folder: Path, *, cpus: int | None) -> None:
    """Start Ray with its files in a folder.

    Raises:
        OSError: The folder cannot be written.
        ValueError: Ray cannot use a setting here.
        RuntimeError: Ray did not start; says what this machine lacks.
    """
    try:
        _init(
            address="local",
            num_cpus=cpus,
            object_store_memory=OBJECT_STORE,
            include_dashboard=False,
            _temp_dir=str(folder / "r"),  # Ray opens it to everyone; ours around it stays closed
        )
    except Exception as error:  # Ray raises no other where a node is not up in 30 s
        if _given_up.is_set():
            raise
        clear_away(folder)
        ray.shutdown()
        # These name a file, or a setting such as the size of /dev/shm, and what to do.
        if isinstance(error, ValueError) or (isinstance(error, OSError) and error.filename):
            raise
        raise RuntimeError(
            f"Ray did not start on this machine ({first_line(error)}): {lack(folder)}"
        ) from error


def _init(**settings: Any) -> None:
    # It warns before it sets the level that it is given.
    logging.getLogger("ray").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        ray.init(**settings, log_to_driver=False, logging_level=logging.ERROR)
    # What a cluster reports, such as the last lines of a raylet that was killed, Ray prints to
    # standard output all the same; this is the switch that its debugger uses.
    worker._worker_logs_enabled = False
    for name in ("ray.train", "ray.tune", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)


@contextmanager
def _private(folder: Path) -> Iterator[None]:
    """Make a local Ray listen on 127.0.0.1 only, and accept only clients with its token.

    Ray has a switch for loopback, meant for systems where it runs on one machine only; there is no
    public one. Token authentication is Ray's default for a local session; without a token in the
    environment Ray would leave one in the home directory.
    """
    before = {name: os.environ.get(name) for name in PRIVATE}
    clusters = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
    os.environ["RAY_AUTH_TOKEN"] = _token()
    # Torch makes this folder beside ours even where nothing is compiled; who compiles often may
    # name one that stays.
    os.environ.setdefault(_CACHE, str(folder / "compiled"))
    # Ray's processes are killed in the end, and must leave nothing anywhere else.
    temporary = folder / "t"
    temporary.mkdir()
    os.environ[_TEMPORARY] = str(temporary)
    os.environ[_HOME] = str(folder)
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = clusters
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@functools.cache
def _token() -> str:
    """The same for all sessions of this process: Ray reads it once."""
    return secrets.token_hex(32)


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder of our own for the time of the block; those of processes that died are removed."""
    place = Path(tempfile.gettempdir())
    if len(str(place)) > _LONGEST:
        place = Path("/tmp")
    for old in place.glob(f"{_FOLDER}*"):
        _remove_dead(old)
    folder = Path(tempfile.mkdtemp(prefix=_FOLDER, dir=place))
    _started.append(folder)
    try:
        with (folder / f"{_LOCK}.new").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            Path(lock.name).rename(folder / _LOCK)  # who finds it finds it locked
            yield folder
    finally:
        if not _given_up.is_set():  # else Ray still writes to it
            shutil.rmtree(folder, ignore_errors=True)
            _started.remove(folder)


def _remove_dead(folder: Path) -> None:
    """Remove the folder of a process that no longer lives; its lock died with it."""
    with suppress(OSError):  # another user's, or one that another process just removes
        lock = folder / _LOCK
        if not lock.exists() and time.time() - folder.stat().st_mtime < _YOUNG:
            return
        with lock.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


def require(times: int, *, what: str, cpus: float, gpus: float = 0, remedy: str) -> None:
    """Refuse work that the cluster can never start; Ray itself would wait for ever.

    Args:
        times: Pieces of work that must run at once.
        what: What one of them is called.
        cpus: Cores of one piece, all on one node.
        gpus: GPUs of one piece, on the same node.
        remedy: Which settings to change.

    Raises:
        ValueError: The cluster has less room.
    """
    room = fits(cpus=cpus, gpus=gpus)
    if room >= times:
        return
    have = " + ".join(amounts(one.get("CPU", 0), one.get("GPU", 0)) for one in _nodes())
    raise ValueError(
        f"expected room for {counted(times, what)} of {amounts(cpus, gpus)}, got a cluster of "
        f"{have}, with room for {room}; {remedy}, or use a larger cluster (--address)"
    )


def fits(*, cpus: float, gpus: float = 0) -> int:
    """Pieces of work that the cluster's nodes can hold at once; each piece needs one node."""
    return sum(pieces_on(node, cpus=cpus, gpus=gpus) for node in _nodes())


def pieces_on(node: dict[str, float], *, cpus: float, gpus: float = 0) -> int:
    """Pieces of work that a node with these resources can hold at once."""
    with_gpus = float(node.get("GPU", 0))
    if 0 < gpus < 1:
        # A share is of one GPU. The tolerance keeps three shares of 1/3 in it.
        with_gpus *= int(1 / gpus + 1e-9)
    elif gpus:
        with_gpus /= gpus
    return int(min(node.get("CPU", 0) / cpus, with_gpus if gpus else math.inf))


def counted(number: float, what: str) -> str:
    """Such as "2 workers"."""
    return f"{number:g} {what}{'' if number == 1 else 's'}"


def amounts(cpus: float, gpus: float) -> str:
    """Such as "4 CPUs and 1 GPU"."""
    return counted(cpus, "CPU") + (f" and {counted(gpus, 'GPU')}" if gpus else "")


class RayNode(TypedDict):
    """What Ray's table says of a node, as far as it is read here."""

    NodeID: str
    NodeManagerHostname: str
    NodeManagerAddress: str
    Alive: bool
    Resources: dict[str, float]


def ray_nodes() -> list[RayNode]:
    """Ray's table of nodes, the dead ones included."""
    table: list[RayNode] = ray.nodes()  # type: ignore[no-untyped-call]
    return table


def _nodes() -> list[dict[str, float]]:
    """What each living node has."""
    return [node["Resources"] for node in ray_nodes() if node["Alive"]]


def share(workers: int) -> int:
    """Cores for each of some equal workers: the cluster's, and no more than one node has."""
    have = [node.get("CPU", 0) for node in _nodes()]
    return max(1, int(min(max(have), sum(have) // workers)))
