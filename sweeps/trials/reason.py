"""Why a trial failed, in one line."""

import re
from pathlib import Path
from typing import Any

from sweeps.trials.deaths import death
from sweeps.trials.memory import out_of_memory

# The last line of a traceback whose error is none of Python's own.
_ERROR = re.compile(r"(?P<package>\w+)\.(?:\w+\.)*(?P<name>[A-Z]\w*)(?:: (?P<said>.*))?$")
_OURS = ("cluster", "data_store", "scdfm", "sweeps")


def reason(trial: Any) -> str:
    """Why a trial failed, in one line: what ended its process, or what Tune's file says last."""
    if (short := out_of_memory(trial) or death(trial)) is not None:
        return short
    noted = Path(trial.error_file) if trial.error_file else None
    lines = noted.read_text().split("\n") if noted and noted.is_file() else []
    said = [line.strip() for line in lines if line.strip()]
    return _without_path(said[-1]) if said else "its worker died"


def _without_path(line: str) -> str:
    """The last line of a traceback without the module of the error; of ours what it says alone."""
    named = _ERROR.match(line)
    if named is None:
        return line
    ours = named["package"] in _OURS and named["said"]
    return named["said"] if ours else line[named.start("name") :]
