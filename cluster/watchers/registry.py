"""Watchers by name: what `watch` in a run file may hold. Loads no client."""

from cluster.watchers.watcher import Watcher
from scdfm.screen.registry import Registry

WATCHERS: Registry[Watcher] = Registry(
    "watcher",
    group="scdfm.watchers",
    own={
        "tensorboard": "cluster.watchers.tensorboard:TENSORBOARD",
        "wandb": "cluster.watchers.wandb:WANDB",
        "mlflow": "cluster.watchers.mlflow:MLFLOW",
    },
    of=Watcher,
)
