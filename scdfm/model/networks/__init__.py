"""Every variant of the velocity field by its name in `model.variant`, one line each."""

from scdfm.model.networks.network import Network
from scdfm.screen.registry import Registry

__all__ = ["NETWORKS", "Network"]

NETWORKS: Registry[Network] = Registry(
    "network",
    group="scdfm.networks",
    of=Network,
    own={
        "paper": "scdfm.model.networks.paper:PAPER",
        "release": "scdfm.model.networks.release:RELEASE",
    },
)
