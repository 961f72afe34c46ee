"""Conditions: which perturbations a cell received, and how labels name them.

A condition is the sorted tuple of its perturbation tokens (genes or drugs); control is (). Its
canonical name joins the tokens with "+". How a LABEL is read depends on its store: each has
its own control words, separator and tokens that hold the separator (`scdfm.screen.labels` finds
them), and a model keeps those of the store it learnt from.
"""

import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property

from pydantic import BaseModel, Field

from scdfm.screen.names import nearest
from scdfm.screen.spelling import is_blank_beside, pieces, runs, tidy

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
    whole: tuple[str, ...] = ()  # tokens that hold the separator, besides those of known labels

    def knowing(self, labels: Mapping[str, Condition]) -> "Words":
        """The same words with more known labels; earlier ones win."""
        known = self.known | {
            label: one for label, one in labels.items() if label not in self.known
        }
        return self._with(known=known)

    def keeping(self, whole: Iterable[str]) -> "Words":
        """The same words with more tokens that are never taken apart."""
        return self._with(whole=tuple(dict.fromkeys((*self.whole, *whole))))

    def with_controls(self, controls: Iterable[str]) -> "Words":
        """The same words with other labels of the control."""
        return self._with(controls=tuple(controls))

    def parse(self, label: str) -> Condition:
        """Read a condition in any spelling: whole labels and canonical names first, then tokens.

        A known label is never split, so it may hold commas, `+` or a control word. Other labels
        are split into tokens, in any order, but not within brackets and not within a token that
        holds the separator; control words among them are dropped. Characters that look alike are
        the same.

        Raises:
            ValueError: A token is empty, as in "A+".

        Source: SCIENCE section 5 ("A+ctrl", "ctrl+A" and "A" are the same single).
        """
        if (known := self.known.get(label.strip())) is not None:
            return known
        text = tidy(label)
        for names in (self._by_look, self._by_name):
            if text in names:
                return names[text]
        if self.is_control(text):
            return ()
        tokens = self.tokens(text)
        if not all(tokens):
            raise ValueError(
                f"expected tokens joined by {self.separator!r}, got the label {label!r} with an "
                "empty part; write A or " + self.separator.join("AB")
            )
        return condition(
            self._token_by_look.get(token, token) for token in tokens if not self.is_control(token)
        )

    def read(self, labels: Sequence[str]) -> Condition:
        """The condition of a cell from its label in each of the condition columns.

        Where there are several, blank ones and controls say nothing, and their order is the same.

        Raises:
            ValueError: As `parse`.
        """
        if len(labels) == 1:
            return self.parse(labels[0])
        told = (label for label in labels if not is_blank_beside(label))
        return condition(token for label in told for token in self.parse(label))

    def tokens(self, label: str) -> list[str]:
        """The parts of a label, control words among them; an empty one is a fault."""
        text = tidy(label)
        if text in self._whole:
            return [text]
        parts = self._runs(pieces(text, sign=self._sign))
        if self.known and not self._all_known(parts):
            # Brackets that hold the separator hold a name, unless they are parts of known names.
            plain = self._runs(text.split(self._sign))
            if self._all_known(plain):
                return plain
        return parts

    def _all_known(self, parts: Iterable[str]) -> bool:
        return all(part in self._token_by_look or self.is_control(part) for part in parts)

    def _runs(self, parts: list[str]) -> list[str]:
        if self._whole:
            return runs(parts, known=self._whole, sign=self._sign)
        return [part.strip() for part in parts]

    def is_control(self, word: str) -> bool:
        """Whether a word says "not perturbed", without regard to case."""
        return tidy(word).casefold() in self._unperturbed

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

    def _with(self, **changes: object) -> "Words":
        # A copy would keep what was derived from the old fields.
        fields = {name: getattr(self, name) for name in Words.model_fields}
        return Words.model_validate(fields | changes)

    @cached_property
    def _sign(self) -> str:
        return unicodedata.normalize("NFKC", self.separator)

    @cached_property
    def _unperturbed(self) -> frozenset[str]:
        return frozenset(tidy(word).casefold() for word in self.controls)

    @cached_property
    def _tokens(self) -> frozenset[str]:
        return frozenset(token for one in self.known.values() for token in one)

    @cached_property
    def _whole(self) -> frozenset[str]:
        tokens = map(tidy, (*self.controls, *self.whole, *self._tokens))
        return frozenset(text for text in tokens if self._sign in text)

    @cached_property
    def _by_look(self) -> dict[str, Condition]:
        looks: dict[str, Condition] = {}
        for label, one in self.known.items():
            looks.setdefault(tidy(label), one)
        return looks

    @cached_property
    def _by_name(self) -> dict[str, Condition]:
        return {tidy(name(one)): one for one in self.known.values()}

    @cached_property
    def _token_by_look(self) -> dict[str, str]:
        # Stores of before look-alikes were one have tokens in the data's own spelling.
        return {tidy(token): token for token in self._tokens}

    @cached_property
    def _spelling(self) -> dict[Condition, str]:
        spelling: dict[Condition, str] = {}
        for label, one in self.known.items():
            spelling.setdefault(one, label)
        return spelling


USUAL = Words(controls=CONTROL_WORDS, separator=JOINT)
"""Of names that belong to no store, such as those of a model that was saved without its words."""
