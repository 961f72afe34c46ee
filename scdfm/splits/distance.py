"""How far a prediction is from what a model was trained on: one number, and words.

The distance counts what is new: 0 for a condition that was trained; 1 for a new combination of
perturbations that were trained, or for one that was never trained alone; and 1 more for each
perturbation that no training cell had, and for a context that no training cell was from. So a new
single is at 2, a new double of two trained perturbations at 1, and a trained condition in a new
context at 1.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from scdfm.screen.conditions import Condition, Words, name
from scdfm.splits.split import Split


class Distance(NamedTuple):
    """Of a unit from the training conditions."""

    steps: int
    why: str  # what is new, such as "new combination"; "trained"
    nearest: str  # the training condition that shares most with it, as the words spell it


NONE = Distance(0, "", "")  # of controls, which are not predicted


class Trained:
    """The conditions and contexts that a model was trained on."""

    def __init__(self, split: Split, words: Words, *, contexts: Collection[str]) -> None:
        """What trained.

        Args:
            split: Of the model.
            words: How it reads conditions.
            contexts: Of the perturbed cells that it was trained on.
        """
        self.words = words
        self.conditions = {words.parse(one) for one in split.train}
        self._holding: dict[str, list[Condition]] = {}  # conditions by token
        for condition in sorted(self.conditions, key=name):
            for token in condition:
                self._holding.setdefault(token, []).append(condition)
        self.tokens = self._holding.keys()
        away = {split.context, *split.validation_contexts}
        self.contexts = frozenset(one for one in contexts if one not in away)

    def unseen(self, conditions: Sequence[Condition]) -> tuple[str, ...]:
        """Tokens of the conditions that no training cell had, sorted."""
        return tuple(sorted({token for one in conditions for token in one} - self.tokens))

    def distance(self, condition: Condition, *, context: str) -> Distance:
        """How far a condition in a context is from what trained."""
        unseen = len(self.unseen([condition]))
        away = context not in self.contexts
        known = condition in self.conditions
        told = []
        if unseen:
            noun = "perturbation" if unseen == 1 else "perturbations"
            told.append(f"{unseen} new {noun}")
        elif not known:
            told.append("new combination" if len(condition) > 1 else "never alone")
        if away:
            told.append("new context")
        return Distance(
            steps=(not known) + unseen + away,
            why=", ".join(told) or "trained",
            nearest=self.nearest(condition),
        )

    def nearest(self, condition: Condition) -> str:
        """The training condition with the largest share of common tokens (Jaccard).

        Of equal ones the first by name; empty where none has a token in common.
        """
        asked = {*condition}

        def share(one: Condition) -> float:
            return len(asked & {*one}) / len(asked | {*one})

        sharing = {one for token in asked for one in self._holding.get(token, ())}
        best = min(sharing, key=lambda one: (-share(one), name(one)), default=())
        return self.words.spell(best) if best else ""
