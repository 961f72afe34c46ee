"""What a split may know of a screen: names, never cells."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from scdfm.screen.conditions import Condition, Words


@dataclass(frozen=True)
class Screen:
    """The conditions of a data set, control left out.

    Attributes:
        conditions: Canonical name to tokens.
        words: How the data write conditions.
        contexts: Canonical name to the contexts that hold the condition.
    """

    conditions: Mapping[str, Condition]
    words: Words
    contexts: Mapping[str, Collection[str]]

    @property
    def context_names(self) -> list[str]:
        """All contexts that hold a condition, sorted."""
        return sorted({context for some in self.contexts.values() for context in some})

    @property
    def singles(self) -> list[str]:
        """Conditions of one token, in name order."""
        return sorted(name for name, tokens in self.conditions.items() if len(tokens) == 1)

    @property
    def doubles(self) -> list[str]:
        """Conditions of two or more tokens, in name order."""
        return sorted(name for name, tokens in self.conditions.items() if len(tokens) > 1)

    def tokens(self, names: Iterable[str]) -> set[str]:
        """Every token that occurs in these conditions."""
        return {token for name in names for token in self.conditions[name]}

    def resolve(self, names: Iterable[str]) -> tuple[str, ...]:
        """Canonical names, sorted, of conditions written in any form; unknown ones are errors."""
        return tuple(sorted({self.words.find(name, among=self.conditions) for name in names}))
