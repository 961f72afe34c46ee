"""Which files of a folder in an object store are fetched."""

from collections.abc import Callable

STATES = "checkpoints/"  # large, and read by workers only

Wanted = Callable[[str], bool]  # of a file's name: whether to fetch it


def everything(name: str) -> bool:
    """Any file."""
    return True


def nothing(name: str) -> bool:
    """No file: what is in the store is only listed."""
    return False


def but_states(name: str) -> bool:
    """All but checkpoints."""
    return not name.startswith(STATES)


def these(*names: str) -> Wanted:
    """Files by their names, and all below a folder whose name ends in a slash."""
    folders = tuple(name for name in names if name.endswith("/"))
    return lambda name: name in names or name.startswith(folders)
