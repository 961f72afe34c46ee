"""Where a run's files are: on this disk, or in an object store, mirrored here."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from cluster.runs import lease
from cluster.runs.parts.states import STATE
from cluster.storage.mirror import INDEX, LOG, Mirror, mirror_of, publish
from cluster.storage.places import address_of, named
from cluster.storage.storage import StorageError
from cluster.storage.wanted import Wanted, but_states

FOLDS, MEMBERS = "folds", "members"


@dataclass(frozen=True)
class Place:
    """Where the files of one run are, and who may write them.

    Attributes:
        path: Where they are; of a run in an object store, where this process works on them.
        token: Of the lease, in a process that may write; none: it only reads.
    """

    path: Path
    token: str | None = None

    def __str__(self) -> str:
        """Where the run lives, as its user calls it."""
        return named(self.path)

    @property
    def _mirror(self) -> Mirror | None:
        address = address_of(self.path)
        return None if address is None else mirror_of(address)

    def fetch(self, wanted: Wanted = but_states) -> Self:
        """Get the newest files of a run in an object store, its checkpoints' folders empty.

        Who writes it has the newest, and some that are not sent yet.

        Args:
            wanted: Which files, also of its folds and members.
        """
        mirror = self._mirror
        if mirror is not None and not mirror.writes:
            if mirror.fetch(wanted) and wanted(LOG):
                mirror.fetch_log()
            # The splits of folds are the run's own files; of members it has none.
            folds = [FOLDS] if mirror.has(f"{FOLDS}/") else []
            for inside in (*folds, MEMBERS):
                for name in mirror.storage.names(inside):
                    if re.fullmatch(rf"{inside}/\d+/{INDEX}", name):
                        type(self)((self.path / name).parent).fetch(wanted)
        return self

    def here(self, *, writer: bool) -> Self:
        """The same run for a worker, which may see another disk than its driver.

        Args:
            writer: Whether it will write; it then shuts out workers that wrote before it.
        """
        address = address_of(self.path)
        if address is None:
            return self
        mirror = mirror_of(address)
        if writer:
            self.require_held()
            mirror.begin()
        else:
            mirror.fetch()
        return replace(self, path=mirror.folder)

    def take_back(self, wanted: Wanted = but_states) -> None:
        """Get what workers have written, who are gone, and be the writer again.

        Args:
            wanted: Which files; the others stay in the store.
        """
        mirror = self._mirror
        if mirror is not None:
            mirror.begin(wanted)

    @contextmanager
    def taken_back(self, wanted: Wanted) -> Iterator[None]:
        """The same for the time of the block; a writer that stays one would never fetch again."""
        try:
            self.take_back(wanted)
            yield
        finally:
            mirror = self._mirror
            if mirror is not None:
                mirror.end()

    def publish(self) -> None:
        """Send what was written to the object store; on return it is kept there, all at once.

        Raises:
            LeaseLostError: Another process writes now.
        """
        publish(self.path)

    @contextmanager
    def held(self) -> Iterator[Self]:
        """The same directory, for writing: nobody else may write during the block.

        Raises:
            ValueError: Another process holds it.
        """
        with lease.lease(self.path) as token:
            try:
                yield replace(self, token=token)
            finally:
                mirror = self._mirror
                if mirror is not None:
                    with suppress(StorageError, ValueError):  # the work is worth more
                        mirror.send_log()

    def require_held(self) -> None:
        """Make sure that this process may still write; workers can outlive their driver.

        Raises:
            LeaseLostError: Another process has taken the run over.
        """
        lease.check(self.path, self.token or "")

    def stored_step(self) -> int | None:
        """Step of the newest training state in an object store, as it is there now."""
        mirror = self._mirror
        steps = [] if mirror is None else re.findall(rf"{STATE}(\d+)/", " ".join(mirror.names()))
        return max(map(int, steps), default=None)
