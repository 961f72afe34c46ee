"""The picture of the wings in ARCHITECTURE.md is the house as its imports are."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1]
PACKAGES = ("cli", "sweeps", "cluster", "scdfm", "data_store")


def picture() -> dict[str, int]:
    """The line of each wing in the picture, such as {"cluster.runs": 7}; top to bottom."""
    text = (HOUSE / "ARCHITECTURE.md").read_text()
    found = re.search(r"^## Wings\n.*?^```\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found is not None, "ARCHITECTURE.md has no picture under `## Wings`"
    lines: dict[str, int] = {}
    package = ""
    for number, line in enumerate(found[1].splitlines()):
        first, *rest = line.split() if not line.startswith(" ") else ["", *line.split()]
        package = first or package
        for wing in rest or [""]:
            name = f"{package}.{wing}".rstrip(".")
            assert name not in lines, f"{name} stands twice in the picture"
            lines[name] = number
    return lines


def modules() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((HOUSE / package).rglob("*.py")):
            name = ".".join(path.relative_to(HOUSE).with_suffix("").parts)
            yield name.removesuffix(".__init__"), path


def imports(path: Path) -> Iterator[str]:
    """Names of our modules that a file imports when it runs, also inside functions."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        yield from (name for name in names if name.split(".")[0] in PACKAGES)


def room(module: str, wings: dict[str, int]) -> str:
    """The wing that a module stands in; `cli` and `sweeps` are one each."""
    parts = module.split(".")
    for name in (".".join(parts[:2]), parts[0]):
        if name in wings:
            return name
    raise AssertionError(f"{module} is not in the picture of ARCHITECTURE.md")


def test_every_wing_stands_in_the_picture_and_nothing_else_does() -> None:
    wings = picture()
    # The front door names the house as strings, and a package's own docstring knows nobody.
    inside = {room(name, wings) for name, _ in modules() if name not in PACKAGES or name in wings}
    assert inside == wings.keys()


def test_every_arrow_points_down() -> None:
    wings = picture()
    climbs = []
    for name, path in modules():
        if name in PACKAGES and name not in wings:
            continue
        here = room(name, wings)
        for target in imports(path):
            if target in PACKAGES and target not in wings:
                continue
            there = room(target, wings)
            if here != there and wings[there] <= wings[here]:
                climbs.append(f"{name} -> {target}")
    assert climbs == []


def test_the_science_does_not_know_the_store() -> None:
    known = [
        f"{name} -> {target}"
        for name, path in modules()
        for target in imports(path)
        if name.startswith("scdfm.") and target.startswith("data_store")
    ]
    assert known == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_folder_is_a_corridor(package: str) -> None:
    folders = [HOUSE / package, *(HOUSE / package).rglob("*/")]
    crowded = {
        str(folder.relative_to(HOUSE)): count
        for folder in folders
        if (count := sum(1 for file in folder.glob("*.py") if file.name != "__init__.py")) > 16
    }
    assert crowded == {}


def test_a_table_of_anything_has_a_name_that_gives_the_reason() -> None:
    unnamed = []
    for _, path in modules():
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            if re.search(r"\bdict\[str, Any\]", line) and not (
                "TypeAlias" in line and lines[number - 1].startswith("#")
            ):
                unnamed.append(f"{path.relative_to(HOUSE)}:{number + 1}")
    assert unnamed == [], "give it a type, or a name of scdfm/screen/untyped.py"
