"""Processes that share nothing but an object store."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from cluster.storage import mirror, places
from scdfm.screen.address import MIRROR


@pytest.fixture
def another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Has the folders of a process that was started just now."""
    numbers = count()

    def begin() -> None:
        mirror.mirror_of.cache_clear()
        root = tmp_path / f"scdfm-{next(numbers)}.store" / MIRROR
        monkeypatch.setattr(places, "_root", lambda: root)

    return begin
