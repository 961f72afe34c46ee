"""Look at every node of a cluster at once, and judge what was found.

An actor on each node answers; one that does not answer in time is a fault itself.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import ray
from ray._private.state import available_resources_per_node
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.nodes.facts import NodeFacts, facts_of_this_machine
from cluster.nodes.faults import Fault, faults_of
from cluster.nodes.probe import Probe
from cluster.nodes.storage import Nonce, nonce
from cluster.session import pieces_on, ray_nodes
from scdfm.screen.names import listed

PATIENCE = 60.0  # seconds until a node must have answered; the first answer loads our packages
_NEIGHBOURS = 3  # other nodes that each tries to reach


Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Needs:
    """What work needs of the machines that it runs on.

    Attributes:
        outputs: Folders and addresses that all must see and write.
        inputs: Files and folders that all must see.
        store: Place or address of the store.
        fingerprint: Of the store's version; None: any.
        gpu: Whether a piece of work takes a GPU.
        without_gpu: What to do to ask for none.
        pieces: Workers, actors or trials at once.
        cpus: Cores of one piece.
    """

    outputs: tuple[Path | str, ...] = ()
    inputs: tuple[Path, ...] = ()
    store: str | None = None
    fingerprint: str | None = None
    gpu: bool = False
    without_gpu: str = "leave --gpu out"
    pieces: int = 1
    cpus: float = 1


class Given(NamedTuple):
    """What Ray gives away on a node."""

    cpus: float
    cpus_free: float
    gpus: float
    gpus_free: float


class Examined(NamedTuple):
    """What was found."""

    nodes: dict[str, NodeFacts]  # those that answered, by name
    faults: tuple[Fault, ...]
    given: Mapping[str, Given] = MappingProxyType({})  # by name; none without Ray

    @property
    def fit(self) -> bool:
        """Whether nothing would break training."""
        return not any(fault.breaks for fault in self.faults)


class _Node(NamedTuple):
    name: str
    workers: int  # pieces that may run there at once
    probe: Any  # handle of its actor
    given: Given


def examine_here(needs: Needs) -> Examined:
    """Look at this machine, without Ray."""
    facts = facts_of_this_machine(gpus=True)
    probe = Probe()
    faults = [*faults_of("here", facts, like=facts, gpu=needs.gpu, workers=needs.pieces)]
    for folder in needs.outputs:
        try:
            with nonce(folder) as word:
                faults += _unseen("here", [word], probe.sees([word], node="here"))
        except ValueError as error:
            faults.append(_unwritable(error))
    if needs.store is not None:
        fault = probe.store(needs.store, fingerprint=needs.fingerprint)
        faults += _no_store("here", needs.store, fault)
    return Examined({facts.name: facts}, tuple(fault._replace(node=facts.name) for fault in faults))


def examine_nodes(needs: Needs, *, all_of_them: bool = False) -> Examined:
    """Look at the nodes of the cluster that this process has joined.

    Args:
        needs: What the work needs.
        all_of_them: Also nodes that have no room for a piece of it.
    """
    with ExitStack() as stack:
        asked = _Asked(_nodes(needs, all_of_them=all_of_them))
        stack.callback(asked.end)
        driver = facts_of_this_machine(gpus=False)
        nodes = asked.everyone(Probe.facts, {"gpus": needs.gpu or all_of_them})
        skews = asked.skews()
        faults: list[Fault] = []
        for name, facts in nodes.items():
            node = asked.nodes[name]
            faults += faults_of(
                name,
                facts,
                like=driver,
                gpu=needs.gpu and (node.given.gpus > 0 or not all_of_them),
                without_gpu=needs.without_gpu,
                workers=min(node.workers, needs.pieces),
                skew=skews.get(name, 0.0),
            )
        faults += _storage(needs, asked, stack)
        faults += _ports(asked)
        given = {name: asked.nodes[name].given for name in nodes if name in asked.nodes}
        return Examined(nodes, (*asked.faults, *faults), given)


class _Asked:
    """Actors on nodes; who fails to answer once is not asked again."""

    def __init__(self, nodes: dict[str, _Node]) -> None:
        self.nodes = nodes
        self.faults: list[Fault] = []

    def everyone(
        self, method: Callable[..., Answer], given: Mapping[str, object]
    ) -> dict[str, Answer]:
        """Call a method of `Probe` on every node with the same arguments; answers by node."""
        return self.each(method, dict.fromkeys(self.nodes, given))

    def each(
        self, method: Callable[..., Answer], given: Mapping[str, Mapping[str, object]]
    ) -> dict[str, Answer]:
        """Call a method of `Probe` on some nodes, at once; answers by node."""
        calls = {
            getattr(self.nodes[name].probe, method.__name__).remote(**values): name
            for name, values in given.items()
        }
        if not calls:
            return {}
        done, late = ray.wait(list(calls), num_returns=len(calls), timeout=PATIENCE)
        answers: dict[str, Answer] = {}
        for call in late:
            self._give_up(calls[call], f"no answer in {PATIENCE:g} s")
        for call in done:
            try:
                answers[calls[call]] = ray.get(call)
            except RayError as error:
                self._give_up(calls[call], _reason(error))
        return {name: answers[name] for name in given if name in answers}

    def skews(self) -> dict[str, float]:
        """Seconds that each clock is ahead of ours, as far as the way there lets us know."""
        found = {}
        for name in list(self.nodes):
            before = time.time()
            answer = self.each(Probe.clock, {name: {}})
            after = time.time()
            if name in answer:
                ahead = answer[name] - (before + after) / 2
                unsure = (after - before) / 2
                found[name] = 0.0 if abs(ahead) <= unsure else ahead
        return found

    def end(self) -> None:
        """End all actors."""
        for node in self.nodes.values():
            ray.kill(node.probe)

    def _give_up(self, name: str, why: str) -> None:
        ray.kill(self.nodes.pop(name).probe)
        self.faults.append(
            Fault(name, f"it cannot run our code ({why})", "see the logs of Ray there")
        )


def _nodes(needs: Needs, *, all_of_them: bool) -> dict[str, _Node]:
    """An actor on each living node."""
    actor = ray.remote(num_cpus=0, max_restarts=0)(Probe)
    free = available_resources_per_node()  # type: ignore[no-untyped-call]
    found: dict[str, _Node] = {}
    for node in ray_nodes():
        have = node["Resources"]
        room = pieces_on(have, cpus=needs.cpus, gpus=1 if needs.gpu else 0)
        if not node["Alive"] or not (room or all_of_them):
            continue
        name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
        if name in found:  # several nodes of one machine
            name = f"{name} {node['NodeID'][:6]}"
        place = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        probe = actor.options(scheduling_strategy=place).remote()
        left = free.get(node["NodeID"], {})
        amounts = (one.get(kind, 0.0) for kind in ("CPU", "GPU") for one in (have, left))
        found[name] = _Node(name, room, probe, Given(*amounts))
    return found


def _storage(needs: Needs, asked: _Asked, stack: ExitStack) -> Iterator[Fault]:
    """Faults of what the nodes must see: folders, files, the store."""
    words: list[Nonce] = []
    for folder in needs.outputs:
        try:
            words.append(stack.enter_context(nonce(folder)))
        except ValueError as error:
            yield _unwritable(error)
    keys = {name: f"node-{at}" for at, name in enumerate(asked.nodes)}
    seen = asked.each(Probe.sees, {name: {"folders": words, "node": keys[name]} for name in keys})
    for name, faults in seen.items():
        yield from _unseen(name, words, faults)
        for word, fault in zip(words, faults, strict=True):
            if fault is None and not word.answered(keys[name]):
                yield from _unseen(name, [word], ["what it writes there the driver does not see"])
    for name, paths in asked.everyone(Probe.missing, {"paths": needs.inputs}).items():
        if paths:
            yield Fault(
                name,
                f"{listed(tuple(map(str, paths)))} is not there",
                "put it on storage that all nodes mount at the same path",
            )
    if needs.store is not None:
        given = {"address": needs.store, "fingerprint": needs.fingerprint}
        for name, fault in asked.everyone(Probe.store, given).items():
            yield from _no_store(name, needs.store, fault)


def _unwritable(error: ValueError) -> Fault:
    what, _, remedy = str(error).partition("; ")
    return Fault("driver", what, remedy)


def _unseen(node: str, words: list[Nonce], faults: list[str | None]) -> Iterator[Fault]:
    for word, fault in zip(words, faults, strict=True):
        if fault is not None:
            yield Fault(
                node,
                f"output {word.place}: {fault}",
                word.remedy,
            )


def _no_store(node: str, store: str, fault: str | None) -> Iterator[Fault]:
    if fault is not None:
        yield Fault(
            node,
            f"store {store} cannot be read ({fault})",
            "put it where all nodes see it, at the same path or address",
        )


def _ports(asked: _Asked) -> Iterator[Fault]:
    """Whether workers on different nodes could meet, at a port that is free."""
    if len(asked.nodes) < 2:
        return
    doors = asked.everyone(Probe.listens, {})
    names = list(doors)
    others = {
        name: {"others": [doors[other] for other in _next(names, at) if other != name]}
        for at, name in enumerate(names)
    }
    for name, failed in asked.each(Probe.unreached, others).items():
        for address in failed:
            yield Fault(
                name,
                f"{address} cannot be reached at a free port",
                "open ports 1024 to 65535 between the nodes; workers meet there",
            )


def _next(names: list[str], at: int) -> list[str]:
    """Those that come after a place in a circle."""
    circle = names[at + 1 :] + names[:at]
    return circle[:_NEIGHBOURS]


def _reason(error: RayError) -> str:
    """The last line of what Ray tells, which names the exception."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__
