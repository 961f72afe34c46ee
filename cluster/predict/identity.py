"""What a prediction is: everything that decides its values, and nothing else.

Two requests are the same prediction where this is equal, however paths, conditions or genes are
spelled, and wherever the model and the store have been moved.
"""

import hashlib
from typing import Any, Literal, Self

from pydantic import BaseModel, ValidationError

from data_store.prediction import Facts
from scdfm.flow.config import SamplingConfig, Source
from scdfm.screen.conditions import Condition, name

_SHOWN = 12  # characters of a hash


class Identity(BaseModel, frozen=True, extra="forbid"):
    """What decides the rows and the values of a prediction."""

    store: str  # fingerprint
    model: str  # hash of weights, graph and network
    conditions: tuple[Condition, ...]
    contexts: tuple[str, ...]
    cells: int  # of each condition in each context
    genes: str  # hash of their names in order
    controls: bool  # control cells are written, too
    seed: int
    interval: float  # level of the intervals that are kept with the cells
    source: Source | None  # of flow, as are the settings of sampling
    sampling: SamplingConfig | None
    batch: int | None = None  # cells generated together, by other methods than flow
    gene_block: int  # genes that are integrated together
    block_seed: int
    shard_cells: int
    threads: int  # of an actor
    device: Literal["cpu", "cuda"]
    precision: str
    versions: dict[str, str]  # of packages that compute

    def difference(self, other: Self) -> str | None:
        """The first difference between this one and the other; None if they are equal."""
        for field in type(self).model_fields:
            before, now = getattr(self, field), getattr(other, field)
            if before != now:
                return f"its {field.replace('_', ' ')} {_change(before, now)}"
        return None


class Origin(BaseModel, frozen=True, extra="forbid"):
    """Where model and store were, as the user wrote it, and what the model says about itself."""

    model: str
    store: str
    run: str | None
    step: int | None


class Provenance(BaseModel, frozen=True, extra="forbid"):
    """What is kept with a prediction."""

    identity: Identity
    origin: Origin
    unseen: tuple[str, ...]  # tokens that no training cell had
    versions: dict[str, str]
    mean: str = ""  # how the model's means are made, where they have a base

    def facts(self) -> Facts:
        """As JSON says it."""
        facts: Facts = self.model_dump(mode="json")
        return facts

    @classmethod
    def read(cls, facts: Facts | None) -> Self | None:
        """From what is kept; None where there is none, or an older version of scdfm wrote it."""
        try:
            return cls.model_validate(facts, strict=False)
        except ValidationError:
            return None


def hashed(*texts: str) -> str:
    """One hash of several texts."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(f"{len(text)}\n{text}".encode())
    return digest.hexdigest()


def _change(before: Any, now: Any) -> str:
    if isinstance(before, tuple):
        gone, new = (
            [_spelt(x) for x in a if x not in b] for a, b in ((before, now), (now, before))
        )
        parts = [f"then had {gone[0]!r}"] if gone else []
        parts += [f"now has {new[0]!r}"] if new else []
        return " and ".join(parts) or "stood in another order"
    if isinstance(before, BaseModel):
        return _change(dict(before), dict(now))
    if isinstance(before, dict):
        names = [key for key in before | now if before.get(key) != now.get(key)]
        return f"had {names[0]} {before.get(names[0])} and has {now.get(names[0])}"
    if isinstance(before, str) and len(before) == 64:
        return f"was {before[:_SHOWN]} and is {now[:_SHOWN]}"
    return f"was {before} and is {now}"


def _spelt(one: str | Condition) -> str:
    return one if isinstance(one, str) else name(one)
