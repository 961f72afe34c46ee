"""Benchmarks can be tried on screens that are many times smaller."""

from pathlib import Path

import anndata
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize("scale", [1, 20, 200])
def test_a_smaller_screen_keeps_conditions_to_draw_from(
    scale: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from screens import Screen, write_screen

    screen = Screen(cells=20_000, genes=20, conditions=100, contexts=2).fewer(scale)
    write_screen(tmp_path / "few.h5ad", screen)
    cells = anndata.read_h5ad(tmp_path / "few.h5ad")
    assert cells.n_obs == 20_000 // scale
    assert cells.obs["condition"].nunique() == 1 + max(2, 100 // scale)
    assert f"{20_000 // scale} x 20" in str(screen)
