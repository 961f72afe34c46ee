"""Training states of a run: checkpoints/step-*/, the newest ones and the best model's."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from data_store.disk.room import room_for
from scdfm.flow.checkpoint import load_state, save_state
from scdfm.flow.loop.state import TrainingState

STATE = "step-"
ROOM = "lower training.keep, and run the command again to go on"


class Checkpoint(NamedTuple):
    """A training state that a run can go on from."""

    path: Path
    state: TrainingState  # for `Trainer.restore`
    damaged: tuple[str, ...]  # a line for each newer one, which cannot be used


@dataclass(frozen=True)
class States:
    """The training states of one run, in the folder `path`."""

    path: Path

    @property
    def newest(self) -> Path | None:
        """The newest complete training state."""
        return max(self._all, default=None)

    @property
    def step(self) -> int | None:
        """Step of the newest training state; None before the first."""
        newest = self.newest
        return None if newest is None else int(newest.name.removeprefix(STATE))

    @property
    def _all(self) -> list[Path]:
        return sorted(self.path.glob(f"{STATE}*"))

    def read(self) -> Checkpoint | None:
        """The newest training state that is whole; None before the first.

        Raises:
            ValueError: There are some, and all are damaged; names the newest.
        """
        damaged: list[str] = []
        for path in reversed(self._all):
            try:
                return Checkpoint(path, load_state(path), damaged=tuple(damaged))
            except ValueError as error:
                damaged.append(str(error))
        if damaged:
            raise ValueError(damaged[0])
        return None

    def keep(self, state: TrainingState, *, step: int, newest: int, best: int | None) -> None:
        """Write a training state; leave the `newest` ones and the one of the `best` step.

        Raises:
            OSError: The disk is full; the older ones stay.
        """
        path = self.path / _name(step)
        with room_for(path, remedy=ROOM):
            save_state(state, path)
        kept = None if best is None else _name(best)
        for older in self._all[:-newest]:
            if older.name != kept:
                shutil.rmtree(older)


def _name(step: int) -> str:
    return f"{STATE}{step:08d}"
