"""What is installed holds everything that is not Python, too: templates, presets, types."""

import subprocess
from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[1]
PACKAGES = ("scdfm", "data_store", "cluster", "sweeps", "cli")


def test_a_wheel_holds_every_file_of_the_packages() -> None:
    builder = WheelBuilder(str(ROOT))
    held = {one.distribution_path for one in builder.recurse_included_files()}
    known = subprocess.run(
        ["git", "ls-files", *PACKAGES], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    assert [path for path in known if path not in held] == []
    endings = {Path(path).suffix for path in held}
    assert {".py", ".pyi", ".yaml", ".html", ".css", ".js", ".typed"} <= endings, endings
