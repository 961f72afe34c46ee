"""Where a prediction is: OUT when it is complete, OUT.partial while it is unfinished."""

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from cluster.predict.identity import Identity, Provenance
from cluster.runs.lease import lease
from data_store.prediction import PredictionDirectory, read_facts
from scdfm.screen.atomic import require_writable, write_text

log = logging.getLogger(__name__)

_MARK = "request"  # in OUT.partial: what was begun


class Begun(BaseModel, frozen=True, extra="forbid"):
    """What an interrupted prediction began, and where model and store were then."""

    provenance: Provenance
    model: str  # absolute
    store: str  # absolute, or an address


@dataclass(frozen=True)
class PredictionPlace:
    """The files of one prediction, from its first shard to the end.

    Attributes:
        out: What the user asked for, .h5ad or .zarr; absolute.
        overwrite: Whether an existing `out` may be replaced.
    """

    out: Path
    overwrite: bool = False

    @property
    def partial(self) -> Path:
        """A directory next to `out`, with one writer."""
        return self.out.with_name(f"{self.out.name}.partial")

    @property
    def cells(self) -> PredictionDirectory:
        """The prediction under way."""
        return PredictionDirectory(self.partial / "cells.zarr")

    @cached_property
    def finished(self) -> Provenance | None:
        """What stands at `out`."""
        return Provenance.read(read_facts(self.out))

    @cached_property
    def begun(self) -> Begun | None:
        """What stands in `partial`."""
        try:
            return Begun.model_validate_json((self.partial / _MARK).read_bytes())
        except (FileNotFoundError, NotADirectoryError, ValidationError):
            return None

    @property
    def store(self) -> str | None:
        """Fingerprint of the store that is named by what stands here."""
        known = self.finished or (self.begun.provenance if self.begun else None)
        return known.identity.store if known else None

    def is_done(self, identity: Identity) -> bool:
        """Whether this prediction is at `out`, complete.

        Raises:
            FileExistsError: Something else is there, and it may not be replaced.
        """
        if not self.out.exists():
            return False
        if self.out.is_dir() and read_facts(self.out) is None:
            raise FileExistsError(
                f"expected a prediction or nothing at {self.out}, got a directory of something "
                "else; choose another --out or remove it yourself"
            )
        why = "this version of scdfm has not written it"
        if self.finished:
            why = self.finished.identity.difference(identity) or ""
            if not why:
                return True
        if not self.overwrite:
            raise FileExistsError(
                f"{self.out} exists and is not this prediction: {why}; choose another --out or "
                "pass --overwrite"
            )
        return False

    def about(self, identity: Identity, *, size: tuple[int, int], rows: int) -> Self:
        """The same place for the shards of one request, of so many cells and genes."""
        return self

    def here(self) -> Self:
        """The same place for an actor."""
        return self

    def missing(self, shards: int) -> list[int]:
        """Shards that are not written."""
        return [shard for shard in range(shards) if not self.cells.is_written(shard)]

    def keep(self, shard: int, values: NDArray[np.float32]) -> None:
        """Write a shard, (cells, genes)."""
        self.cells.write_shard(shard, values)

    def gather(self) -> None:
        """Get all shards; they are here."""

    @contextmanager
    def writing(self) -> Iterator[str]:
        """Be the only writer for the time of the block; yields the lease's token."""
        if self.out.parent.is_dir():
            require_writable(self.out.parent)
        with lease(self.partial) as token:
            yield token

    def goes_on(self, work: Begun) -> bool:
        """Whether this prediction was begun and interrupted; logs what has moved since then.

        Raises:
            FileExistsError: Another prediction was begun, which may not be thrown away.
        """
        if not (self.partial / _MARK).exists():
            return False
        why = "an older version of scdfm began it"
        if self.begun:
            why = self.begun.provenance.identity.difference(work.provenance.identity) or ""
            if not why:
                _say_what_moved(self.begun, work)
                return True
        if not self.overwrite:
            raise FileExistsError(
                f"{self.partial} holds another prediction that was begun: {why}; ask for the "
                "same to go on, choose another --out, or pass --overwrite to throw it away"
            )
        log.info("%s is thrown away: %s", self.partial, why)
        return False

    def begin(
        self, work: Begun, *, obs: pd.DataFrame, genes: tuple[str, ...], control: str, rows: int
    ) -> None:
        """Prepare the prediction's files, replacing what was begun before; see `lay_out`."""
        mark = self.partial / _MARK
        # What is laid out again must at no time belong to the request of before.
        mark.unlink(missing_ok=True)
        self.cells.lay_out(
            obs=obs, genes=genes, control=control, facts=work.provenance.facts(), rows=rows
        )
        write_text(mark, work.model_dump_json(indent=1))

    def go_on(
        self, work: Begun, *, obs: pd.DataFrame, genes: tuple[str, ...], control: str, rows: int
    ) -> None:
        """Prepare to go on with what was begun; its files are here."""

    def finish(self) -> None:
        """Put the complete prediction at `out`."""
        self.cells.discard_marks()
        if self.out.suffix == ".h5ad":
            self.cells.write_h5ad(self.out, overwrite=self.overwrite)
            return
        if self.out.exists():
            old = self.partial / "replaced"
            self.out.rename(old)
        self.cells.path.rename(self.out)

    def tidy(self) -> None:
        """Remove what only unfinished work needs."""
        shutil.rmtree(self.partial, ignore_errors=True)

    def tidy_after(self, identity: Identity) -> None:
        """Remove the leftovers of a process that was killed after it finished this prediction."""
        if self.begun and not self.begun.provenance.identity.difference(identity):
            with self.writing():
                self.tidy()


def _say_what_moved(before: Begun, now: Begun) -> None:
    moved = [
        f"the {what} was at {old} and is at {new}"
        for what, old, new in (
            ("model", before.model, now.model),
            ("store", before.store, now.store),
        )
        if old != new
    ]
    if moved:
        log.info("going on with what was begun; %s", ", ".join(moved))
