"""A prediction whose OUT is an address: shards are objects, laid together by the driver.

    OUT.partial/request, lease, index.json       what was begun, and who writes it
    OUT.partial/shards/KEY/NUMBER.HASH           a shard, whole; KEY is of the request
    OUT                                          written last: one object, or its manifest last

A shard's name holds its hash, and its bytes follow from the request: one that two actors write is
the same, and one of another request has another KEY.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cluster.predict.identity import Identity, hashed
from cluster.predict.place import Begun, PredictionPlace
from cluster.storage.mirror import INDEX, Mirror, mirror_of
from cluster.storage.places import address_of, folder_of
from cluster.storage.reading import above, looked_up
from cluster.storage.storage import Storage, storage_at
from data_store.prediction import PredictionDirectory
from data_store.store.schema import MANIFEST
from scdfm.screen.address import url_of
from scdfm.screen.atomic import sha256

_SHARDS = "shards"
_KEY = 16  # characters of a hash


def place_of(out: Path, *, overwrite: bool) -> PredictionPlace:
    """Where a prediction is; what is there already is fetched.

    Raises:
        ValueError: The address cannot be reached, or is that of a run or in it.
    """
    address = url_of(out)
    if address is None:
        return PredictionPlace(out.absolute(), overwrite=overwrite)
    for root in above(address):
        # Who fetches the run keeps in its folder what the run's index names, and nothing else.
        if storage_at(root).read(INDEX) is not None:
            raise ValueError(
                f"expected OUT beside runs and sweeps, got {address}, which is in {root}; name a "
                "place outside of it"
            )
    place = FarPlace(folder_of(address), overwrite=overwrite)
    place.fetch()
    return place


@dataclass(frozen=True)
class FarPlace(PredictionPlace):
    """The files of a prediction in an object store; `out` is where this process works on it.

    Attributes:
        key: Of the request whose shards are written.
        size: Cells and genes of the whole, for actors.
        rows: Cells of a shard.
    """

    key: str = ""
    size: tuple[int, int] = (0, 0)
    rows: int = 0

    def fetch(self) -> None:
        """Get what stands at the address, complete or begun."""
        looked_up(_address(self.out))
        self._partial.fetch()

    def about(self, identity: Identity, *, size: tuple[int, int], rows: int) -> Self:
        """The same place for the shards of one request."""
        key = hashed(identity.model_dump_json())[:_KEY]
        return replace(self, key=key, size=size, rows=rows)

    def here(self) -> Self:
        """The same place for an actor, which may see another disk than its driver."""
        made = replace(self, out=folder_of(_address(self.out)))
        shutil.rmtree(made._making.path, ignore_errors=True)
        made._making.lay_out_values(cells=self.size[0], genes=self.size[1], rows=self.rows)
        return made

    def begin(
        self, work: Begun, *, obs: pd.DataFrame, genes: tuple[str, ...], control: str, rows: int
    ) -> None:
        """Prepare the prediction's files; shards of what was begun before are removed."""
        super().begin(work, obs=obs, genes=genes, control=control, rows=rows)
        self._storage.remove(self._storage.names(_SHARDS))
        self._partial.commit()

    def go_on(
        self, work: Begun, *, obs: pd.DataFrame, genes: tuple[str, ...], control: str, rows: int
    ) -> None:
        """Lay the same files out again in this process."""
        super().begin(work, obs=obs, genes=genes, control=control, rows=rows)

    def missing(self, shards: int) -> list[int]:
        """Shards that are not written."""
        done = {number for number, _, _ in self._written()}
        return [shard for shard in range(shards) if shard not in done]

    def keep(self, shard: int, values: NDArray[np.float32]) -> None:
        """Write a shard, (cells, genes)."""
        file = self._making.write_shard(shard, values)
        self._storage.send(file, f"{_SHARDS}/{self.key}/{shard}.{sha256(file)}")
        file.unlink()

    def gather(self) -> None:
        """Get all shards.

        Raises:
            ValueError: One is damaged; it is removed, and written again by the next try.
        """
        for shard, digest, name in self._written():
            file = self.cells.place_of_shard(shard)
            self._storage.fetch(name, file)
            if sha256(file) != digest:
                self._storage.remove([name])
                raise ValueError(
                    f"shard {shard} of {_address(self.partial)} is damaged: its SHA-256 is not the "
                    "one in its name; it was removed, run the command again"
                )
            self.cells.mark(shard)

    def finish(self) -> None:
        """Put the complete prediction at the address."""
        super().finish()
        address = _address(self.out)
        folder, _, name = address.rpartition("/")
        if self.out.is_file():
            storage_at(folder).send(self.out, name)
            return
        storage = storage_at(address)
        storage.remove([MANIFEST])
        files = {
            file.relative_to(self.out).as_posix(): file
            for file in sorted(self.out.rglob("*"))
            if file.is_file()
        }
        storage.remove(name for name in storage.names() if name not in files)
        for name, file in files.items():
            if name != MANIFEST:
                storage.send(file, name)
        storage.send(self.out / MANIFEST, MANIFEST)

    def tidy(self) -> None:
        """Remove what only unfinished work needs."""
        super().tidy()
        self._storage.remove(self._storage.names())

    def _written(self) -> Iterator[tuple[int, str, str]]:
        """Number, hash and name of each shard of this request."""
        seen: set[int] = set()
        for name in self._storage.names(f"{_SHARDS}/{self.key}"):
            number, _, digest = name.rpartition("/")[2].partition(".")
            if int(number) not in seen:
                seen.add(int(number))
                yield int(number), digest, name

    @property
    def _making(self) -> PredictionDirectory:
        """Where an actor makes a shard before it is sent."""
        return PredictionDirectory(self.partial / "making.zarr")

    @property
    def _partial(self) -> Mirror:
        return mirror_of(_address(self.partial))

    @property
    def _storage(self) -> Storage:
        return self._partial.storage


def _address(path: Path) -> str:
    address = address_of(path)
    assert address is not None
    return address
