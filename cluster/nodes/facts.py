"""What one machine has that training needs; read on that machine.

Bytes, unless a name says otherwise.
"""

import json
import os
import platform
import runpy
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, distributions, version
from importlib.util import find_spec
from pathlib import Path

from pydantic import BaseModel

NAMES = ("scdfm", "data_store", "cluster", "sweeps", "cli")  # our top-level packages
PACKAGES = ("scdfm", "ray", "torch")
_SHARED = Path("/dev/shm")
_LOOK_FOR_GPUS = 60.0  # seconds; a driver that hangs must not hang us

_GPUS = """
import json, torch
try:
    torch.cuda.init()
    names = [torch.cuda.get_device_name(at) for at in range(torch.cuda.device_count())]
    print(json.dumps({"names": names}))
except Exception as error:
    print(json.dumps({"fault": str(error)}))
"""


class NodeFacts(BaseModel, frozen=True):
    """A machine as Python, torch and Ray's processes there see it."""

    name: str  # of the host
    versions: dict[str, str]  # of packages and of python; "" where one is missing
    owners: dict[str, tuple[str, ...]] = {}  # other distributions with one of our names, by name
    elsewhere: dict[str, str] = {}  # our names that Python finds in another folder, by name
    cuda: str | None  # that torch was built for; None: its wheel knows no GPU
    gpus: tuple[str, ...] = ()  # that torch can use
    gpu_fault: str | None = None  # why it can use none
    cpus: int
    memory: int
    memory_free: int
    shared_memory: int | None  # size of /dev/shm; None where there is none
    temporary: str
    temporary_free: int | None  # None: nothing can be written there
    clock: float  # seconds since 1970, when asked


def facts_of_this_machine(*, gpus: bool = True) -> NodeFacts:
    """Look at the machine that this process runs on.

    Args:
        gpus: Start torch to see what its GPUs are; takes seconds where its wheel knows any.
    """
    cuda = _built_for()
    names, fault = _gpus() if gpus and cuda else ((), None)
    total, free = _memory()
    temporary = tempfile.gettempdir()
    return NodeFacts(
        name=socket.gethostname(),
        versions={
            "python": platform.python_version(),
            **{package: _version(package) for package in PACKAGES},
        },
        owners=_owners(),
        elsewhere=_elsewhere(),
        cuda=cuda,
        gpus=names,
        gpu_fault=fault,
        cpus=_cpus(),
        memory=total,
        memory_free=free,
        shared_memory=shutil.disk_usage(_SHARED).total if _SHARED.is_dir() else None,
        temporary=temporary,
        temporary_free=_room(temporary),
        clock=time.time(),
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _owners() -> dict[str, tuple[str, ...]]:
    """Other distributions that have installed a package of one of our names."""
    found: dict[str, list[str]] = {}
    for one in distributions():
        own = one.metadata["Name"]
        lines = f"\n{one.read_text('RECORD') or ''}"
        for name in NAMES:
            if own != "scdfm" and f"\n{name}/" in lines:
                found.setdefault(name, []).append(own)
    return {name: tuple(sorted(owners)) for name, owners in found.items()}


def _elsewhere() -> dict[str, str]:
    """Our names that Python would load from another folder than the one we are in."""
    home = Path(__file__).resolve().parents[2]
    found = {}
    for name in NAMES:
        spec = find_spec(name)
        place = Path(spec.origin).resolve().parent if spec and spec.origin else None
        if place != home / name:
            found[name] = str(place or "nowhere")
    return found


def _built_for() -> str | None:
    """The GPU library of torch's wheel, without loading torch."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    told = runpy.run_path(str(Path(spec.origin).with_name("version.py")))
    rocm = told.get("hip")
    return told.get("cuda") or (f"ROCm {rocm}" if rocm else None)


def _gpus() -> tuple[tuple[str, ...], str | None]:
    """Names of the GPUs that torch can use, or why there are none."""
    # Ray hides all GPUs from a process that asked for none.
    seen = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    try:
        said = subprocess.run(
            [sys.executable, "-P", "-c", _GPUS],
            capture_output=True,
            text=True,
            timeout=_LOOK_FOR_GPUS,
            check=False,
            env=seen,
        )
        told = json.loads(said.stdout.strip().rpartition("\n")[2])
    except subprocess.TimeoutExpired:
        return (), f"its driver gave no answer in {_LOOK_FOR_GPUS:g} s"
    except json.JSONDecodeError:
        return (), (said.stderr.strip() or "torch cannot be loaded").rpartition("\n")[2]
    if "fault" in told:
        return (), str(told["fault"]).strip().partition("\n")[0]
    return tuple(told["names"]), None


def _cpus() -> int:
    """Cores that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> tuple[int, int]:
    """Memory in all and free, within what the container may use."""
    if sys.platform != "linux":
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return total, total
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    kilobytes = {words[0].rstrip(":"): int(words[1]) for words in lines}
    total, free = (1024 * kilobytes[name] for name in ("MemTotal", "MemAvailable"))
    limit, used = (_number(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    if limit is not None and used is not None:
        # Pages of files count as used, and are given back when memory is wanted.
        cached = _cached()
        total, free = min(total, limit), min(free, limit - used + cached)
    return total, max(free, 0)


def _number(path: str) -> int | None:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):  # no such group, or "max"
        return None


def _cached() -> int:
    try:
        lines = Path("/sys/fs/cgroup/memory.stat").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))


def _room(folder: str) -> int | None:
    """Free bytes of a folder; None where nothing can be written."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            file.write(b"scdfm")
            file.flush()
        return shutil.disk_usage(folder).free
    except OSError:
        return None
