"""How workers meet: those of one machine through a file, and then they talk over loopback.

Ray Train opens torch's own meeting place even for one worker: a server on all interfaces that asks
for no token.
"""

import os
import sys
import uuid
from dataclasses import dataclass
from typing import Any

import ray
import torch.distributed as dist
from ray.train.backend import Backend
from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend

from cluster.notices import listen


@dataclass
class Listening(TorchConfig):
    """Ray Train's settings for workers anywhere, which listen to signals."""

    @property
    def backend_cls(self) -> type[Backend]:
        """What sets the group up."""
        return _OverTheNetwork


class _OverTheNetwork(_TorchBackend):
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        """Let the workers listen, then meet as Ray Train has it."""
        worker_group.execute(listen)
        super().on_start(worker_group, backend_config)


@dataclass
class OnOneMachine(TorchConfig):
    """Ray Train's settings for workers that all run on this machine.

    Attributes:
        folder: Where they meet; a file per start of the group.
    """

    folder: str = ""

    @property
    def backend_cls(self) -> type[Backend]:
        """What sets the group up."""
        return _ThroughFile


class _ThroughFile(Backend):
    share_cuda_visible_devices = True  # as NCCL needs it

    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        """Let the workers listen, then meet; a single one has nobody to meet."""
        worker_group.execute(listen)
        world = len(worker_group)
        if world == 1:
            return
        kind = "nccl" if worker_group.get_resources_per_worker().get("GPU", 0) else "gloo"
        # A new file for each start: one that a group left behind would mislead the next.
        place = f"file://{backend_config.folder}/group-{uuid.uuid4().hex}"
        ray.get(
            [
                worker_group.execute_single_async(rank, _join, kind, place, rank, world)
                for rank in range(world)
            ]
        )

    def on_shutdown(self, worker_group: Any, backend_config: Any) -> None:
        """Take the group apart."""
        worker_group.execute_async(_part)


def _join(kind: str, place: str, rank: int, world: int) -> None:
    loopback = "lo" if sys.platform == "linux" else "lo0"
    os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)
    os.environ.setdefault("NCCL_SOCKET_IFNAME", loopback)
    dist.init_process_group(kind, init_method=place, rank=rank, world_size=world)


def _part() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
