"""The notebook in examples/ runs from its first cell to its last, as a new user would run it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "examples" / "first_steps.ipynb"


def code_cells() -> list[dict[str, Any]]:
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.slow
@pytest.mark.timeout(590)
def test_the_notebook_goes_from_a_file_to_a_plot_of_changes(tmp_path: Path) -> None:
    code = "\n\n".join("".join(cell["source"]) for cell in code_cells())
    # What the reader would see at the end: a dot for each gene, on both axes a change.
    code += (
        "\nfigure.savefig('changes.png')\n"
        "dots = np.concatenate([p.collections[0].get_offsets() for p in np.atleast_1d(panels)])\n"
        "assert dots.shape == (80 * len(split.test), 2)\n"
        "print('agreement', np.corrcoef(dots.T)[0, 1])\n"
    )
    (tmp_path / "notebook.py").write_text(code)
    # One thread: on a busy machine several wait for each other.
    environment = os.environ | {"MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "notebook.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=580,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert float(done.stdout.split("agreement")[1]) > 0.3
    assert (tmp_path / "changes.png").stat().st_size > 5_000


def test_the_notebook_is_committed_without_outputs() -> None:
    for cell in code_cells():
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
