"""What would break training on a machine, and what to do about it; judged from its facts."""

from collections.abc import Iterator
from typing import NamedTuple

from cluster.nodes.facts import NodeFacts

_MB = 2**20
LEAST_MEMORY = 512 * _MB  # of a worker: Python, torch and Ray alone take 400 MB
LEAST_SHARED = 64 * _MB  # what Docker gives; Ray's objects then go to the disk
LEAST_DISK = 100 * _MB  # in the temporary folder, for logs and Ray's objects
SKEW = 2.0  # seconds between two clocks that matter to nobody
BROKEN_SKEW = 60.0  # seconds; leases and signed requests expire too early or too late


class Fault(NamedTuple):
    """Something that is wrong on a machine."""

    node: str
    what: str
    remedy: str
    breaks: bool = True  # training, rather than only its comfort

    @property
    def line(self) -> str:
        """The fault in one line."""
        return f"{self.node}: {self.what}; {self.remedy}"


def faults_of(
    node: str,
    facts: NodeFacts,
    *,
    like: NodeFacts,
    gpu: bool = False,
    without_gpu: str = "leave --gpu out",
    workers: int = 1,
    skew: float = 0.0,
) -> Iterator[Fault]:
    """Judge a machine.

    Args:
        node: What to call it.
        facts: What it has.
        like: The machine of the driver, whose versions count.
        gpu: Whether GPUs are asked for.
        without_gpu: What to do to ask for none.
        workers: That may run on it at once.
        skew: Seconds that its clock is ahead of the driver's.
    """
    yield from _versions(node, facts, like=like)
    yield from _names(node, facts)
    if gpu:
        yield from _gpu(node, facts, without=without_gpu)
    yield from _room(node, facts, workers=workers)
    if abs(skew) > SKEW:
        yield Fault(
            node,
            f"its clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the driver's",
            "let NTP or chrony set both",
            breaks=abs(skew) > BROKEN_SKEW,
        )


def _versions(node: str, facts: NodeFacts, *, like: NodeFacts) -> Iterator[Fault]:
    for package, wanted in like.versions.items():
        found = facts.versions.get(package, "")
        # Ray itself refuses another minor version of Python; a patch changes nothing for us.
        same = _minor(found) == _minor(wanted) if package == "python" else found == wanted
        if not same:
            yield Fault(
                node,
                f"{package} is {found or 'not installed'}, and {wanted} on the driver",
                f"install {package} {wanted} there",
            )


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _names(node: str, facts: NodeFacts) -> Iterator[Fault]:
    for name, owners in facts.owners.items():
        yield Fault(
            node,
            f"{' and '.join(owners)} owns a package called {name}, too",
            "install scdfm into an environment without it",
            breaks=name in facts.elsewhere,
        )
    for name, place in facts.elsewhere.items():
        if name not in facts.owners:
            yield Fault(
                node,
                f"Python finds {name} in {place}, not beside scdfm",
                "take that folder out of PYTHONPATH",
            )


def _gpu(node: str, facts: NodeFacts, *, without: str) -> Iterator[Fault]:
    torch = facts.versions.get("torch", "")
    if facts.cuda is None:
        yield Fault(
            node,
            f"torch {torch} has no CUDA, and GPUs are asked for",
            f"install a wheel of torch with CUDA, or {without}",
        )
    elif not facts.gpus:
        why = f" ({facts.gpu_fault})" if facts.gpu_fault else ""
        yield Fault(
            node,
            f"torch finds no GPU{why}",
            f"check nvidia-smi and that the container may use GPUs, or {without}",
        )


def _room(node: str, facts: NodeFacts, *, workers: int) -> Iterator[Fault]:
    need = LEAST_MEMORY * max(workers, 1)
    if facts.memory_free < need:
        yield Fault(
            node,
            f"{facts.memory_free / _MB:.0f} MB of memory are free, and "
            f"{workers} worker{'' if workers == 1 else 's'} take {need / _MB:.0f} MB at least",
            "end other work there, or ask for fewer workers",
        )
    if facts.shared_memory is not None and facts.shared_memory <= LEAST_SHARED:
        yield Fault(
            node,
            f"/dev/shm has {facts.shared_memory / _MB:.0f} MB",
            "start the container with --shm-size=1g (several GPUs need it)",
            breaks=False,
        )
    if facts.temporary_free is None:
        yield Fault(
            node, f"nothing can be written to {facts.temporary}", "set TMPDIR to a folder of yours"
        )
    elif facts.temporary_free < LEAST_DISK:
        yield Fault(
            node,
            f"{facts.temporary} has {facts.temporary_free / _MB:.0f} MB free",
            "free some, or set TMPDIR to another disk",
        )
