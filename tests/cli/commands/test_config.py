"""The schema of run and sweep files: what it accepts is what `train` and `tune` accept."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError

from cluster.settings.config import make_run
from cluster.settings.file_schema import run_schema
from cluster.settings.presets import NAMES
from cluster.settings.yaml_file import forgiving_yaml
from sweeps.schema.file_schema import sweep_schema
from sweeps.schema.files import make_sweep, read_sweep, shipped_sweeps
from tests.cli.conftest import Call

ROOT = Path(__file__).parents[3]
RUN = Draft202012Validator(run_schema())
SWEEP = Draft202012Validator(sweep_schema())


def in_readme(word: str) -> dict[str, Any]:
    """The file in README that has this section."""
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    [text] = [block for block in blocks if f"\n{word}:" in block]
    path = Path("readme.yaml")
    path.write_text(text.replace(", ...", ""))
    return forgiving_yaml(path)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", shipped_sweeps())
def test_shipped_sweeps_meet_the_schema(name: str) -> None:
    SWEEP.validate(forgiving_yaml(ROOT / "sweeps" / f"{name}.yaml"))


def test_readmes_files_meet_the_schema() -> None:
    run, sweep = in_readme("preset"), in_readme("space")
    RUN.validate(run)
    make_run(run, where="README")
    SWEEP.validate(sweep)
    make_sweep(sweep, where="README")


@pytest.mark.parametrize("name", NAMES)
def test_presets_meet_the_schema(name: str) -> None:
    preset = forgiving_yaml(ROOT / "cluster" / "settings" / "presets" / f"{name}.yaml")
    RUN.validate({"store": "s", "name": "n", "split": {"kind": "additive"}, **preset})


def run(**changes: object) -> dict[str, Any]:
    return {"store": "s", "name": "n", "split": {"kind": "additive"}, **changes}


def sweep(**changes: object) -> dict[str, Any]:
    space = {"model.width": {"type": "choice", "values": [16, 32]}}
    return {
        "name": "n",
        "base": {"store": "s", "preset": "tiny"},
        "splits": [{"kind": "additive"}],
        "space": space,
        **changes,
    }


ACCEPTED = [
    run(),
    run(graph="spearman", compile=True),
    run(graph={"kind": "edges", "path": "edges.csv"}, compile="off", init_from="runs/other"),
    {"store": "s", "name": "n", "preset": "norman"},
]
REFUSED = [
    run(widht=1),
    run(model={"widht": 1}),
    run(model={"width": 0}),
    run(graph="spaerman"),
    run(preset="normal"),
    run(split={"kind": "additve"}),
    {"store": "s", "name": "n"},
    {"name": "n", "split": {"kind": "additive"}},
]


@pytest.mark.parametrize("values", ACCEPTED, ids=str)
def test_a_run_that_can_be_read_meets_the_schema(values: dict[str, Any]) -> None:
    make_run(values, where="test")
    RUN.validate(values)


@pytest.mark.parametrize("values", REFUSED, ids=str)
def test_a_run_that_is_refused_is_refused_by_the_schema(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="test: "):
        make_run(values, where="test")
    with pytest.raises(ValidationError):
        RUN.validate(values)


def test_a_base_may_be_a_file() -> None:
    Path("run.yaml").write_text(yaml.safe_dump(run()))
    values = sweep(base="run.yaml")
    make_sweep(values, where="test")
    SWEEP.validate(values)


@pytest.mark.parametrize(
    "values",
    [
        sweep(bugdet={}),
        sweep(budget={"trails": 3}),
        sweep(base={"store": "s", "stroe": "s"}),
        sweep(base={"store": "s", "preset": "tiny", "output": "runs"}),
        sweep(space={"model.widht": {"type": "choice", "values": [1, 2]}}),
        sweep(space={"split": {"type": "choice", "values": ["a", "b"]}}),
        sweep(space={"model.width": {"type": "chioce", "values": [1, 2]}}),
        {name: value for name, value in sweep().items() if name != "space"},
    ],
    ids=str,
)
def test_a_sweep_that_is_refused_is_refused_by_the_schema(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="test: "):
        make_sweep(values, where="test")
    with pytest.raises(ValidationError):
        SWEEP.validate(values)


def undescribed(schema: Any, *, at: str = "") -> list[str]:
    """Settings without a description, definitions included."""
    if not isinstance(schema, dict):
        return []
    settings = schema.get("properties", {})
    missing = [f"{at}.{name}" for name, one in settings.items() if "description" not in one]
    inner = {**settings, **schema.get("$defs", {})}
    return missing + [lost for name, one in inner.items() for lost in undescribed(one, at=name)]


def test_every_setting_is_described() -> None:
    assert undescribed(run_schema()) == []
    assert undescribed(sweep_schema()) == []


@pytest.mark.parametrize("kind", ["run", "sweep"])
def test_the_schema_is_printed_or_written(scdfm: Call, kind: str) -> None:
    printed = scdfm("config", "schema", kind)
    assert printed.status == 0
    written = scdfm("config", "schema", kind, "--out", "made.json")
    assert written.out == ""
    assert json.loads(Path("made.json").read_text()) == json.loads(printed.out)
    Draft202012Validator.check_schema(json.loads(printed.out))


@pytest.mark.parametrize("name", shipped_sweeps())
def test_a_sweep_that_is_shown_is_the_same_sweep(scdfm: Call, name: str) -> None:
    Path("shown.yaml").write_text(scdfm("config", "show", name).out)
    shown, shipped = read_sweep("shown.yaml"), read_sweep(name)
    assert shown.model_dump(exclude={"base"}) == shipped.model_dump(exclude={"base"})
    for tried in shipped.samples():
        assert shown.run(tried, split=0) == shipped.run(tried, split=0)
    SWEEP.validate(forgiving_yaml(Path("shown.yaml")))


def test_a_run_that_is_shown_is_the_same_run_with_its_changes(scdfm: Call) -> None:
    Path("run.yaml").write_text(yaml.safe_dump(run(preset="tiny")))
    shown = scdfm("config", "show", "run.yaml", "--set", "model.width=48").out
    changes = {"model.width": 48}
    expected = make_run(run(preset="tiny"), where="test", overrides=changes)
    assert make_run(yaml.safe_load(shown), where="test") == expected
    assert expected.model.width == 48


def test_what_cannot_run_is_not_shown(scdfm: Call) -> None:
    Path("run.yaml").write_text(yaml.safe_dump(run()))
    called = scdfm("config", "show", "run.yaml", "--set", "model.width=0")
    assert called.status == 2
    assert "model.width" in called.error
    assert "did you mean 'norman'?" in scdfm("config", "show", "normal").error


def test_a_setting_given_twice_is_refused(scdfm: Call) -> None:
    told = scdfm("config", "show", "demo", "--set", "search.seed=1", "--set", "search.seed=2")
    assert told.status == 2
    assert "--set gives search.seed twice" in told.error


def test_a_preset_without_a_split_needs_one_in_the_schema_too() -> None:
    values = {"store": "s.zarr", "name": "n"}
    assert RUN.is_valid({**values, "preset": "norman"})
    assert not RUN.is_valid({**values, "preset": "small"})


def test_a_wrong_choice_is_told_in_our_own_words(scdfm: Call) -> None:
    error = scdfm("split", "x.zarr", "--kind", "additiv").error
    assert "'additiv' is not one of" in error
    assert "Value error" not in error
