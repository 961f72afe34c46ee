"""Every kind of split by its name in run files and options, one line each."""

from scdfm.screen.registry import Registry
from scdfm.splits.kinds.kind import SplitKind

KINDS: Registry[SplitKind] = Registry(
    "split kind",
    group="scdfm.splits",
    of=SplitKind,
    own={
        "additive": "scdfm.splits.kinds.additive:ADDITIVE",
        "holdout": "scdfm.splits.kinds.holdout:HOLDOUT",
        "combosciplex": "scdfm.splits.kinds.combosciplex:COMBOSCIPLEX",
        "context": "scdfm.splits.kinds.context:CONTEXT",
        "file": "scdfm.splits.kinds.listed:FILE",
        "list": "scdfm.splits.kinds.listed:LIST",
    },
)
