"""A file, or the configuration itself, lists what is tested."""

from typing import TYPE_CHECKING

from scdfm.splits.files import read_lists
from scdfm.splits.kinds.kind import Chosen, SplitKind
from scdfm.splits.screen import Screen

if TYPE_CHECKING:
    from scdfm.splits.config import SplitConfig


def from_file(config: "SplitConfig", screen: Screen) -> Chosen:
    """Test what a file of names says."""
    assert config.path is not None
    lists = read_lists(config.path)
    return Chosen(
        test=screen.resolve(lists["test"]),
        train=screen.resolve(lists["train"]) if "train" in lists else None,
        validation=screen.resolve(lists["validation"]) if lists.get("validation") else None,
    )


def from_list(config: "SplitConfig", screen: Screen) -> Chosen:
    """Test the conditions named in the configuration itself."""
    assert config.test is not None
    validation = config.validation
    return Chosen(
        test=screen.resolve(config.test),
        validation=None if validation is None else screen.resolve(validation),
    )


FILE = SplitKind(from_file, options=("path",), needs=(("path", "FILE (JSON or YAML)"),))
LIST = SplitKind(from_list, options=("test", "validation"), needs=(("test", "[CONDITION, ...]"),))
