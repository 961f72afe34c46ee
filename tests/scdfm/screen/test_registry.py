"""Facts about registries: what is named, and what other distributions bring."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel, ValidationError

from scdfm.screen.registry import Registry


def numbers(group: str = "scdfm.test_numbers") -> Registry[float]:
    return Registry("number", group=group, own={"pi": "math:pi", "tau": "math:tau"}, of=float)


def installed(folder: Path, *, group: str, points: dict[str, str], name: str = "brought") -> None:
    """Lay a distribution on a folder, as an installer would leave it."""
    facts = folder / f"{name}-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{point} = {value}" for point, value in points.items()]
    (facts / "entry_points.txt").write_text(f"[{group}]\n" + "\n".join(lines) + "\n")


def told(folder: Path, code: str) -> str:
    """What a new interpreter prints or raises last, with a folder on its path."""
    script = (
        f"import sys; sys.path.insert(0, {str(folder)!r})\n"
        "from scdfm.screen.registry import Registry\n"
        "numbers = Registry(\n"
        "    'number', group='scdfm.test_numbers', own={'pi': 'math:pi'}, of=float\n"
        ")\n"
        f"{code}"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    return (done.stdout + done.stderr).strip().splitlines()[-1]


def test_names_stand_in_their_order_and_give_what_they_name() -> None:
    assert [*numbers()] == ["pi", "tau"]
    assert numbers()["pi"] == pytest.approx(3.14159, abs=1e-5)
    assert dict(numbers().items())["tau"] == pytest.approx(6.28318, abs=1e-5)


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="number 'taw' does not exist; did you mean 'tau'"):
        numbers()["taw"]


def test_listing_names_imports_nothing() -> None:
    lazy: Registry[object] = Registry("thing", group="g", own={"gone": "no_such_module:thing"})
    assert [*lazy] == ["gone"]
    assert "gone" in lazy


def test_what_is_added_is_found_and_a_taken_name_is_refused() -> None:
    registry = numbers()
    registry.add("e", 2.71828)
    assert registry["e"] == 2.71828
    assert [*registry][-1] == "e"
    with pytest.raises(ValueError, match="exists already"):
        registry.add("pi", 3.0)


def test_a_thing_of_another_class_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be a builtins.float, got str"):
        numbers().add("word", "three")  # type: ignore[arg-type]


def test_a_registry_is_a_type_of_names_in_a_configuration() -> None:
    registry = numbers()

    class Config(BaseModel):
        which: Annotated[str, registry] = "pi"

    assert Config(which="tau").which == "tau"
    with pytest.raises(ValidationError, match="did you mean 'tau'"):
        Config(which="tauu")
    assert Config.model_json_schema()["properties"]["which"]["enum"] == ["pi", "tau"]


def test_entry_points_of_other_distributions_come_after_our_own(tmp_path: Path) -> None:
    installed(tmp_path, group="scdfm.test_numbers", points={"e": "math:e"})
    assert told(tmp_path, "print([*numbers], numbers['e'])") == "['pi', 'e'] 2.718281828459045"


@pytest.mark.parametrize(
    ("points", "code", "message"),
    [
        ({"pi": "math:e"}, "[*numbers]", "number 'pi' of distribution 'brought' exists already"),
        ({"bad": "no_such:x"}, "numbers['bad']", "cannot be loaded from no_such:x"),
        ({"bad": "math:sqrt"}, "numbers['bad']", "must be a builtins.float"),
    ],
)
def test_a_faulty_plug_in_is_named(
    tmp_path: Path, points: dict[str, str], code: str, message: str
) -> None:
    installed(tmp_path, group="scdfm.test_numbers", points=points)
    said = told(tmp_path, code)
    assert said.startswith("ValueError: ")
    assert message in said


def test_a_broken_plug_in_does_not_hinder_the_others(tmp_path: Path) -> None:
    installed(tmp_path, group="scdfm.test_numbers", points={"bad": "no_such:x", "e": "math:e"})
    assert (
        told(tmp_path, "print([*numbers], numbers['e'])") == "['pi', 'bad', 'e'] 2.718281828459045"
    )
