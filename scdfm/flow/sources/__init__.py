"""Every path source by its name in run files, one line each."""

from scdfm.flow.sources.source import PathSource
from scdfm.screen.registry import Registry

__all__ = ["SOURCES", "PathSource"]

SOURCES: Registry[PathSource] = Registry(
    "path source",
    group="scdfm.sources",
    of=PathSource,
    own={
        "noise": "scdfm.flow.sources.noise:NOISE",
        "control": "scdfm.flow.sources.control:CONTROL",
        "other_control": "scdfm.flow.sources.control:OTHER_CONTROL",
    },
)
