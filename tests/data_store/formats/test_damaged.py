"""A damaged file of any format ends in one line, or in the store that its content gives."""

from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
FOUND = ("h5ad:zeros:0", "dense:bits:1", "tenx:part:2")  # that once were faults
OTHERS = (
    "h5ad:cut:1", "h5ad:part:2", "dense:part:1", "packed:bits:1", "h5mu:part:1", "loom:part:1",
    "tenx:part:1", "mtx:part:1", "mtx_gz:cut:1", "features:part:1", "table:part:1",
    "parquet:zeros:1",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_damaged_files_are_refused_in_one_line_or_read_as_others_read_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from damaged import content, judge, seed_of
    from damaged_files import DAMAGE, MAKE

    (tmp_path / "right").mkdir()
    whole = MAKE["h5ad"](tmp_path / "right")
    judge(whole, tmp_path / "right" / "store", right=None)
    right = content(tmp_path / "right" / "store")
    outcomes = {}
    for name in (*FOUND, *OTHERS):
        form, damage, _ = name.split(":")
        folder = tmp_path / name.replace(":", "-")
        folder.mkdir()
        made = MAKE[form](folder)
        DAMAGE[damage](made.damaged, np.random.default_rng(seed_of(name)))
        outcomes[name] = judge(made, folder / "store", right=right)
    assert [f"{n}: {one.said}" for n, one in outcomes.items() if one.kind == "FAULT"] == []
    assert sum(one.kind == "refused" for one in outcomes.values()) > len(outcomes) // 2
