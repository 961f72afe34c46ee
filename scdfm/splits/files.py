"""Lists of condition names that a user wrote to a file."""

from pathlib import Path

import yaml

from scdfm.screen.untyped import Unchecked

PARTS = ("train", "validation", "test")


def read(path: Path) -> Unchecked:
    """Read a mapping from JSON or YAML (of which JSON is a part).

    Raises:
        ValueError: Not YAML, or not a mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as cause:
        reason = " ".join(str(cause).split())
        raise ValueError(f"the split file {path} must be JSON or YAML, got: {reason}") from cause
    if not isinstance(content, dict):
        raise ValueError(
            f"the split file {path} must map train, validation and test to lists of conditions, "
            f"got {type(content).__name__}"
        )
    return content


def read_lists(path: Path) -> dict[str, list[str]]:
    """Read lists of names by part; train and validation may be missing.

    Raises:
        ValueError: No test conditions, an unknown key, or a part that is not a list of names.
    """
    content = read(path)
    for key, names in content.items():
        if key not in PARTS:
            raise ValueError(
                f"the split file {path} may hold {', '.join(PARTS)}, got {key!r}; remove it"
            )
        if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
            raise ValueError(f"{key} in the split file {path} must be a list of condition names")
    if not content.get("test"):
        raise ValueError(
            f"the split file {path} must name test conditions, got none; add test: [A+B, ...]"
        )
    return content
