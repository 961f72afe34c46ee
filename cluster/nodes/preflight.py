"""Refuse work that would fail on its machines, before anything is written; one line a fault."""

import logging

from cluster.nodes.examine import Examined, Needs, examine_nodes
from cluster.nodes.facts import facts_of_this_machine
from cluster.nodes.faults import faults_of
from cluster.nodes.storage import nonce
from cluster.session import local_folder, starts_here
from scdfm.screen.progress import phase

log = logging.getLogger(__name__)


def check_here(needs: Needs, *, address: str | None) -> None:
    """Check this machine before Ray starts on it; work on a cluster is checked by `check_nodes`.

    Args:
        needs: What the work needs.
        address: Where the work goes, as the user gave it.

    Raises:
        ValueError: An output cannot be written, torch has no CUDA and GPUs are asked for, or there
            is no memory.
    """
    for folder in needs.outputs:
        with nonce(folder):
            pass
    if starts_here(address):
        facts = facts_of_this_machine(gpus=needs.gpu)
        faults = faults_of(
            "here",
            facts,
            like=facts,
            gpu=needs.gpu,
            without_gpu=needs.without_gpu,
            workers=needs.pieces,
        )
        _refuse(Examined({}, tuple(fault._replace(node=facts.name) for fault in faults)))


def check_nodes(needs: Needs) -> None:
    """Check every node of the cluster that has room for a piece of the work.

    Raises:
        ValueError: A node is unfit; the other faults are logged, a line each.
    """
    if local_folder() is None:
        phase(log, "checking the nodes of the cluster")
        _refuse(examine_nodes(needs))


def _refuse(found: Examined) -> None:
    broken = [fault for fault in found.faults if fault.breaks]
    for fault in found.faults:
        if not fault.breaks or fault is not broken[-1]:
            log.warning(fault.line)
    if broken:
        raise ValueError(broken[-1].line)
