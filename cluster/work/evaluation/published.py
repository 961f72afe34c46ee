"""Small additions to a run, sweep or model that is finished, such as an evaluation."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cluster.runs.lease import lease
from cluster.storage.mirror import mirror_above


class HeldError(RuntimeError):
    """Another process writes where something was to be added."""


@contextmanager
def published(path: Path) -> Iterator[None]:
    """Send what the block writes below a path to the object store that the path mirrors, if any.

    Raises:
        HeldError: Another process writes there; the block was not run.
    """
    mirror = mirror_above(path)
    if mirror is None:
        yield
        return
    with ExitStack() as stack:
        try:
            stack.enter_context(lease(mirror.folder))
        except ValueError as error:
            raise HeldError(str(error)) from error
        yield
        mirror.commit()
