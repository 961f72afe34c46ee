"""Conditions: which perturbations a cell received, and how labels name them.

A condition is the sorted tuple of its perturbation tokens (genes or drugs); control is (). Its
canonical name joins the tokens with "+". How a LABEL is read depends on its store: each has
its own control words and separator, and a model keeps those of the store it learnt from.
"""

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property

from pydantic import BaseModel, Field

from scdfm.screen.names import nearest

Condition = tuple[str, ...]

CONTROL = "control"
CONTROL_WORDS = ("control", "ctrl", "non-targeting", "nt", "dmso", "vehicle")
"""What is taken for "not perturbed" where an ingest is not told, without regard to case."""

JOINT = "+"  # of canonical names, whatever separates the tokens of a label


def condition(tokens: Iterable[str]) -> Condition:
    """Sort the tokens, so that A with B and B with A are the same condition; A with A is A."""
    return tuple(sorted(set(tokens)))


def name(condition: Condition) -> str:
    """Canonical name: "A", "A+B", or "control" for ()."""
    return JOINT.join(condition) if condition else CONTROL


class Words(BaseModel, frozen=True, extra="forbid"):
    """How a store, or a model that learnt from one, writes its conditions."""

    controls: tuple[str, ...]  # without regard to case; as a token they say nothing
    separator: str = Field(min_length=1)  # between the tokens of a label
    known: dict[str, Condition] = {}  # labels as the data write them; control is ()

    def knowing(self, labels: Mapping[str, Condition]) -> "Words":
        """The same words with more known labels; earlier ones win."""
        known = self.known | {
            label: one for label, one in labels.items() if label not in self.known
        }
        return Words(controls=self.controls, separator=self.separator, known=known)

    def parse(self, label: str) -> Condition:
        """Read a condition in any spelling: whole labels and canonical names first, then tokens.

        A known label is never split, so it may hold commas, `+` or a control word. Other labels
        are split into tokens, in any order; control words among them are dropped.

        Raises:
            ValueError: A token is empty, as in "A+".

        Source: SCIENCE section 5 ("A+ctrl", "ctrl+A" and "A" are the same single).
        """
        whole = label.strip()
        for known in (self.known, self._by_name):
            if whole in known:
                return known[whole]
        if whole.casefold() in self._unperturbed:
            return ()
        tokens = [token.strip() for token in whole.split(self.separator)]
        if not all(tokens):
            raise ValueError(
                f"expected tokens joined by {self.separator!r}, got the label {label!r} with an "
                "empty part; write A or " + self.separator.join("AB")
            )
        return condition(token for token in tokens if token.casefold() not in self._unperturbed)

    def __contains__(self, label: object) -> bool:
        """Whether a label is known, or written with known tokens and control words alone."""
        try:
            return isinstance(label, str) and self._tokens.issuperset(self.parse(label))
        except ValueError:
            return False

    def name(self, label: str) -> str:
        """Canonical name of a label."""
        return name(self.parse(label))

    def spell(self, condition: Condition) -> str:
        """The label of a condition: as the data write it, or made with the data's separator."""
        return self._spelling.get(condition) or self.separator.join(condition) or CONTROL

    def find(self, label: str, *, among: Collection[str]) -> str:
        """Canonical name of a condition that must be there.

        Args:
            label: In any spelling.
            among: Canonical names of the conditions that exist.

        Raises:
            ValueError: No such condition; names the nearest.
        """
        found = self.name(label)
        if found not in among:
            raise ValueError(f"condition {label!r} is not in the data; {nearest(found, among)}")
        return found

    @cached_property
    def _unperturbed(self) -> frozenset[str]:
        return frozenset(word.strip().casefold() for word in self.controls)

    @cached_property
    def _tokens(self) -> frozenset[str]:
        return frozenset(token for one in self.known.values() for token in one)

    @cached_property
    def _by_name(self) -> dict[str, Condition]:
        return {name(one): one for one in self.known.values()}

    @cached_property
    def _spelling(self) -> dict[Condition, str]:
        spelling: dict[Condition, str] = {}
        for label, one in self.known.items():
            spelling.setdefault(one, label)
        return spelling


USUAL = Words(controls=CONTROL_WORDS, separator=JOINT)
"""Of names that belong to no store, such as those of a model that was saved without its words."""
