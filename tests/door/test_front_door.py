"""Facts of `import scdfm`: what it names, what that costs, and that its types are true."""

import ast
import inspect
import subprocess
import sys
import types
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import scdfm

STUB = Path(scdfm.__file__).with_suffix(".pyi")
HEAVY = ("anndata", "cluster", "data_store", "numpy", "pandas", "ray", "sweeps", "torch")


def in_a_fresh_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def names_of_the_stub() -> dict[str, ast.stmt]:
    """Names that the stub gives to others: defined there, or imported as themselves."""
    given: dict[str, ast.stmt] = {}
    for statement in ast.parse(STUB.read_text()).body:
        if isinstance(statement, ast.ImportFrom):
            given |= {one.asname: statement for one in statement.names if one.asname}
        elif isinstance(statement, ast.FunctionDef):
            given[statement.name] = statement
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            given[statement.target.id] = statement
    given.pop("__all__")
    return given


def test_importing_it_loads_nothing_heavy() -> None:
    code = f"import sys, scdfm; print([one for one in {HEAVY} if one in sys.modules])"
    assert in_a_fresh_python(code) == "[]"


def test_importing_it_takes_a_fraction_of_a_second() -> None:
    # Of the processor's time: a busy machine, or a slow disk, says nothing of it.
    code = "import time; t = time.process_time(); import scdfm; print(time.process_time() - t)"
    assert min(float(in_a_fresh_python(code)) for _ in range(3)) < 0.2


def test_its_names_are_listed_before_they_are_loaded() -> None:
    listed = in_a_fresh_python("import scdfm; print(*dir(scdfm))").split()
    assert listed == sorted(scdfm.__all__)


def test_the_stub_names_what_loads() -> None:
    assert names_of_the_stub().keys() == set(scdfm.__all__)
    assert all(getattr(scdfm, name) is not None for name in scdfm.__all__)


def test_the_stub_imports_from_where_names_are_loaded() -> None:
    for name, statement in names_of_the_stub().items():
        if isinstance(statement, ast.ImportFrom):
            module, _, attribute = scdfm._PLACES[name].partition(":")
            place = [module, attribute] if attribute else module.rsplit(".", 1)
            assert [statement.module, name] == place


def test_signatures_in_the_stub_are_those_that_run() -> None:
    defined = {k: v for k, v in names_of_the_stub().items() if isinstance(v, ast.FunctionDef)}
    assert defined.keys() == {"simulate", "ingest", "make_split", "predict"}
    for name, statement in defined.items():
        told = keywords(statement)
        runs = inspect.signature(getattr(scdfm, name)).parameters
        by_place = [one.name for one in runs.values() if one.kind is not one.KEYWORD_ONLY]
        assert [one.arg for one in statement.args.args] == by_place, name
        assert told == {one.name: one.default for one in runs.values()}, name


def keywords(function: ast.FunctionDef) -> dict[str, Any]:
    """Default of each parameter, in order."""
    arguments = function.args
    assert not arguments.defaults
    defaults: dict[str, Any] = {one.arg: inspect.Parameter.empty for one in arguments.args}
    for one, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        defaults[one.arg] = inspect.Parameter.empty if value is None else ast.literal_eval(value)
    return defaults


def test_every_name_is_documented() -> None:
    for name in scdfm.__all__:
        thing = getattr(scdfm, name)
        if isinstance(thing, types.FunctionType):
            assert "Raises:" in (thing.__doc__ or "") or name == "control_cells", name
        if name != "__version__":
            assert thing.__doc__, name


def test_metrics_and_baselines_are_modules_however_they_are_imported() -> None:
    code = (
        "import scdfm; m = scdfm.metrics; b = scdfm.baselines\n"
        "import scdfm.metrics, scdfm.metrics.baselines\n"
        "from scdfm import metrics, splits\n"
        "print(m is scdfm.metrics is metrics, b is scdfm.metrics.baselines, bool(splits))"
    )
    assert in_a_fresh_python(code) == "True True True"


def test_its_version_is_the_distribution_s() -> None:
    assert scdfm.__version__ == version("scdfm")


def test_a_wrong_name_is_told_with_those_that_exist() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'trian'.*load_model"):
        scdfm.trian  # noqa: B018
