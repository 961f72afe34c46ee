from typing import Any

import pytest

from sweeps import SweepConfig
from sweeps.lock import lock


@pytest.fixture(autouse=True)
def _here(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_another_sweep_of_the_same_name_is_refused_by_its_first_difference(
    tiny: dict[str, Any],
) -> None:
    lock(SweepConfig.model_validate(tiny), fingerprint="f", begun=True)
    other = tiny | {"space": {"graph.k": {"type": "int", "low": 4, "high": 8, "step": 4}}}
    with pytest.raises(ValueError, match=r"tiny holds another sweep: space\.\S+ was .* is now"):
        lock(SweepConfig.model_validate(other), fingerprint="f", begun=True)


def test_another_base_is_another_sweep(tiny: dict[str, Any]) -> None:
    lock(SweepConfig.model_validate(tiny), fingerprint="f", begun=True)
    other = tiny | {"base": tiny["base"] | {"source": "noise"}}
    with pytest.raises(ValueError, match=r"base\.source was 'control' and is now 'noise'"):
        lock(SweepConfig.model_validate(other), fingerprint="f", begun=True)


def test_other_cells_are_another_sweep(tiny: dict[str, Any]) -> None:
    sweep = SweepConfig.model_validate(tiny)
    lock(sweep, fingerprint="f", begun=True)
    with pytest.raises(ValueError, match="store_fingerprint"):
        lock(sweep, fingerprint="g", begun=True)


def test_budget_and_resources_may_change(tiny: dict[str, Any]) -> None:
    lock(SweepConfig.model_validate(tiny), fingerprint="f", begun=True)
    more = tiny | {"budget": {"trials": 99}, "resources": {"cpu": 2}, "failure": {"retries": 3}}
    lock(SweepConfig.model_validate(more), fingerprint="f", begun=True)


def test_spelling_a_default_out_changes_nothing(tiny: dict[str, Any]) -> None:
    lock(SweepConfig.model_validate(tiny), fingerprint="f", begun=True)
    lock(
        SweepConfig.model_validate(tiny | {"base": tiny["base"] | {"loss": {"mmd_weight": 0.5}}}),
        fingerprint="f",
        begun=True,
    )


def test_a_sweep_that_never_began_may_be_corrected(tiny: dict[str, Any]) -> None:
    sweep = SweepConfig.model_validate(tiny)
    lock(sweep, fingerprint="f", begun=False)
    lock(sweep, fingerprint="g", begun=False)
    lock(sweep, fingerprint="g", begun=True)
    with pytest.raises(ValueError, match="holds another sweep: store_fingerprint"):
        lock(sweep, fingerprint="f", begun=True)
