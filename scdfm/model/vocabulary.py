"""Which names the model knows, and the row of each in its tables.

Gene tokens come first, in the order of the model's genes; then the null token, which stands for
"nothing perturbed"; then perturbed genes that were not measured. A drug screen keeps its drugs in
a list of their own, null first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from scdfm.screen.conditions import Condition
from scdfm.screen.names import nearest

# In a table of token ids: a slot that a condition does not use, and a token of no known name.
EMPTY, UNKNOWN = -1, -2


@dataclass(frozen=True)
class Vocabulary:
    """The genes a model reads and the perturbations it can apply.

    Attributes:
        genes: Measured genes in the model's order; token id = position.
        perturbations: Names that conditions of the screen hold, sorted. If they are genes, any
            measured gene may be asked for, too: its embedding comes from its neighbours.
        kind: What a perturbation is. A perturbed gene shares its embedding with the measured
            gene of that name; a drug has a table of its own.
    """

    genes: tuple[str, ...]
    perturbations: tuple[str, ...]
    kind: Literal["gene", "drug"] = "gene"

    @property
    def null(self) -> int:
        """Id of the null token in the table that perturbations use."""
        return len(self.genes) if self.kind == "gene" else 0

    @property
    def gene_tokens(self) -> int:
        """Rows of the gene table: measured genes, null, perturbed genes that are not measured."""
        return len(self.genes) + 1 + len(self.unmeasured)

    @property
    def tokens(self) -> int:
        """Rows of the table that perturbations use; ids of conditions are below it."""
        return self.gene_tokens if self.kind == "gene" else 1 + len(self.perturbations)

    @cached_property
    def unmeasured(self) -> tuple[str, ...]:
        """Perturbed genes that are not among the model's genes; none for drugs."""
        measured = set(self.genes)
        if self.kind == "drug":
            return ()
        return tuple(name for name in self.perturbations if name not in measured)

    @cached_property
    def _ids(self) -> dict[str, int]:
        if self.kind == "drug":
            return {name: row for row, name in enumerate(self.perturbations, start=1)}
        rows = {name: row for row, name in enumerate(self.genes)}
        rows |= {name: row for row, name in enumerate(self.unmeasured, start=self.null + 1)}
        return rows

    @property
    def _counted(self) -> str:
        """Why a model knows more genes than it predicts."""
        alone = len(self.unmeasured)
        return f" ({len(self.genes)} that it predicts, {alone} only perturbed)" if alone else ""

    def ids(self, condition: Condition, *, slots: int = 2) -> list[int]:
        """Token ids of a condition, padded with null to at least `slots`.

        Raises:
            ValueError: A token was not among the perturbations this model was built with.
        """
        for token in condition:
            if token not in self._ids:
                raise ValueError(
                    f"the model knows {len(self._ids)} {self.kind}s{self._counted} and {token!r} "
                    "is not one; "
                    f"{nearest(token, list(self._ids))}"
                )
        ids = [self._ids[token] for token in condition]
        return ids + [self.null] * max(0, slots - len(ids))

    def table(self, conditions: Sequence[Condition]) -> list[list[int]]:
        """Token ids of several conditions, each padded to the longest, two slots at least."""
        slots = max([2, *map(len, conditions)])
        rows = [self.ids(condition, slots=2) for condition in conditions]
        return [row + [EMPTY] * (slots - len(row)) for row in rows]
