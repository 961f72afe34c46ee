"""What `scdfm doctor` finds: this machine, or every node of a cluster."""

import ray

from cluster.nodes.examine import Examined, Needs, examine_here, examine_nodes
from cluster.session import session, starts_here
from scdfm.screen.untyped import JsonObject


def examine(needs: Needs, *, address: str | None = None) -> Examined:
    """Look at a cluster's nodes, those without room included; or at this machine.

    Args:
        needs: What work would need.
        address: Of a Ray cluster; default RAY_ADDRESS, else this machine is looked at without Ray.

    Raises:
        ValueError: The cluster cannot be joined.
    """
    if starts_here(address):
        return examine_here(needs)
    with session(address):
        return examine_nodes(needs, all_of_them=True)


def as_plain(found: Examined) -> JsonObject:
    """What was found, ready for JSON."""
    return {
        "fit": found.fit,
        "ray": ray.__version__,
        "nodes": {
            name: facts.model_dump()
            | ({"given": found.given[name]._asdict()} if name in found.given else {})
            for name, facts in found.nodes.items()
        },
        "faults": [fault._asdict() for fault in found.faults],
    }
