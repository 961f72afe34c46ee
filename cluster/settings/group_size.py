"""How many workers a run has: a number, or as many as the cluster has within limits."""

import re
from typing import NamedTuple, Self

_FORM = re.compile(r"(\d+)(?:-(\d+))?")


class GroupSize(NamedTuple):
    """Fewest and most workers at once."""

    least: int
    most: int

    @classmethod
    def read(cls, text: str) -> Self:
        """Read "2" or "1-4".

        Raises:
            ValueError: It is neither, or allows no worker.
        """
        form = _FORM.fullmatch(text.strip())
        found = cls(int(form[1]), int(form[2] or form[1])) if form else cls(0, 0)
        if not 1 <= found.least <= found.most:
            raise ValueError(
                f"workers must be a number from 1 on, such as 2, or a range such as 1-4, got "
                f"{text!r}"
            )
        return found

    @classmethod
    def of(cls, given: "int | tuple[int, int] | GroupSize") -> Self:
        """From a number, or from fewest and most.

        Raises:
            ValueError: There would be no worker.
        """
        return cls.read(str(given) if isinstance(given, int) else "-".join(map(str, given)))

    @property
    def elastic(self) -> bool:
        """Whether their number may change while a run trains."""
        return self.least < self.most

    def __str__(self) -> str:
        return f"{self.least}-{self.most}" if self.elastic else str(self.most)
