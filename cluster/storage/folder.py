"""A folder on this machine, or on a disk that machines share."""

import fcntl
import shutil
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from cluster.storage.storage import Found, TakenError
from scdfm.screen.atomic import replaced
from scdfm.screen.folders import make_folder

_LOCK = ".storage.lock"


class Folder:
    """Files below a folder, which is made with the first one."""

    conditional = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def where(self) -> str:
        return str(self._folder)

    def read(self, name: str) -> Found | None:
        try:
            content = (self._folder / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return Found(content, sha256(content).hexdigest())

    def put(self, name: str, content: bytes) -> None:
        with replaced(self._place(name)) as draft:
            draft.write_bytes(content)

    def put_if(self, name: str, content: bytes, *, tag: str | None) -> str:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            there = self.read(name)
            if (there and there.tag) != tag:
                raise TakenError(f"{self._folder / name} was written by another process")
            self.put(name, content)
        return sha256(content).hexdigest()

    def send(self, file: Path, name: str) -> None:
        with replaced(self._place(name)) as draft:
            shutil.copyfile(file, draft)

    def fetch(self, name: str, file: Path) -> bool:
        try:
            shutil.copyfile(self._folder / name, file)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def names(self, below: str = "") -> list[str]:
        found = (path for path in (self._folder / below).rglob("*") if path.is_file())
        return sorted(
            path.relative_to(self._folder).as_posix() for path in found if path.name != _LOCK
        )

    def remove(self, names: Iterable[str]) -> None:
        for name in names:
            (self._folder / name).unlink(missing_ok=True)

    def _place(self, name: str) -> Path:
        place = self._folder / name
        make_folder(place.parent)  # who looks whether a place can be written removes it again
        return place
