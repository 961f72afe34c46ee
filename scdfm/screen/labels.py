"""All labels of a screen at once: which signs join tokens, and which are part of a name.

`+` joins the two genes of `KLF1+MAP2K6`, but not the parts of `CD4+` or `Na+/K+ pump inhibitor`.
One label cannot tell, its screen can. What is decided is kept as `Words.whole`, so that every later
reading agrees.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from scdfm.screen.conditions import Words
from scdfm.screen.names import SOME, listed
from scdfm.screen.spelling import is_balanced, pieces, tidy

SIGNS = ("+", "|", ";", "&", ",", "/", ":", "_")  # that join tokens in files of others
_JOINTS = SIGNS[:4]  # hardly ever within a name
_EDGES = "-/,.:;&"  # a token neither begins nor ends with these
_PLAIN = re.compile(r"[^\W_](?:[\w.:/#@-]*[^\W_])?")  # a gene, or a drug of one word
_LETTER = re.compile(r"[^\W\d_]")


class Judged(NamedTuple):
    """How the labels of a screen are read.

    Attributes:
        words: The words that were asked for, which know the tokens that hold the separator.
        whole: Labels with a separator within the name, bracketed ones among them.
        doubtful: Those of them that might be several tokens.
        alike: Labels that differ only in characters that look alike, in groups.
        other: A sign that seems to join tokens instead of the separator, and labels with it.
    """

    words: Words
    whole: tuple[str, ...]
    doubtful: tuple[str, ...]
    alike: tuple[tuple[str, ...], ...]
    other: tuple[str, tuple[str, ...]] | None

    def remarks(self) -> list[str]:
        """What was decided, a line each."""
        sign = self.words.separator
        lines = [f"labels: {' and '.join(_told(group))} are one" for group in self.alike[:SOME]]
        if (rest := len(self.alike) - SOME) > 0:
            lines.append(f"labels: {rest} more groups look alike and are one label each")
        clear = [label for label in self.whole if label not in self.doubtful]
        if clear:
            lines.append(
                f"labels: {_counted(clear, sign)} within a name, kept whole; if it joins tokens "
                "there, write another sign in the file and name it with --separator"
            )
        return lines

    def warnings(self) -> list[str]:
        """What a user should check, a line each."""
        lines, sign = [], self.words.separator
        if self.doubtful:
            lines.append(
                f"labels: {_counted(self.doubtful, sign)} between words that occur nowhere else, "
                f"kept whole; --separator '{sign}' takes them apart"
            )
        if self.other is not None:
            other, labels = self.other
            lines.append(
                f"labels: {_counted(labels, other)} between tokens that occur alone or elsewhere, "
                f"taken for one token each; --separator '{other}' takes them apart"
            )
        return lines


def judged(labels: Iterable[str], words: Words, *, told: bool = False) -> Judged:
    """Decide which labels are taken apart.

    A label is one token unless its parts make sense: each is a control word, a label of its own,
    or part of another label. Parts that are plain words need no other label. A part that is
    empty, leaves a bracket open or begins with a sign is no token.

    Args:
        labels: Every label of the screen, as the data write it.
        words: Controls and separator, and what is decided already.
        told: The user named the separator, so a label that may be several tokens is.
    """
    spelled: dict[str, list[str]] = {}
    for label in dict.fromkeys(labels):
        spelled.setdefault(tidy(label), []).append(label)
    texts = [text for text in spelled if text and text not in words.known]
    joined, doubtful = _apart(texts, words, told=told)
    words = words.keeping(joined)
    sign = words.separator
    whole = [text for text in texts if sign in text and words.tokens(text) == [text]]
    return Judged(
        words=words,
        whole=tuple(whole),
        doubtful=tuple(doubtful),
        alike=tuple(tuple(group) for group in spelled.values() if len(_seen(group)) > 1),
        other=_other_sign(texts, words),
    )


def _apart(texts: Sequence[str], words: Words, *, told: bool) -> tuple[list[str], list[str]]:
    """The labels that are not taken apart, and those of them that are in doubt."""
    parts = {text: words.tokens(text) for text in texts}
    sense = _Sense(parts, words)
    whole: list[str] = []
    doubtful: list[str] = []
    # Shorter ones first: `CD4+` tells what `CD4++A` is.
    for text in sorted((text for text, some in parts.items() if len(some) > 1), key=len):
        tokens = words.keeping(whole).tokens(text) if whole else parts[text]
        if all(map(sense.known, tokens)):
            continue
        if not all(map(_is_token, tokens)) or _is_attached(text, sign=words.separator):
            whole.append(text)
        elif not (told or sense.allows(tokens) or _is_spaced(text, sign=words.separator)):
            whole.append(text)
            doubtful.append(text)
    return whole, doubtful


class _Sense:
    """Which parts of labels make sense in this screen."""

    def __init__(self, parts: dict[str, list[str]], words: Words) -> None:
        self._words = words
        self._alone = {text for text, some in parts.items() if len(some) == 1}
        self._alone |= {text for text, some in parts.items() if not all(some)}
        self._alone |= {token for one in words.known.values() for token in one}
        self._elsewhere = Counter(
            part for some in parts.values() if len(some) > 1 and all(some) for part in set(some)
        )

    def known(self, part: str) -> bool:
        """Whether a part is a control word, a label, or part of several labels."""
        return bool(part) and (
            self._words.is_control(part)
            or part in self._alone
            or (self._elsewhere[part] > 1 and _is_token(part))
        )

    def allows(self, parts: Sequence[str]) -> bool:
        """Whether parts that are tokens by their form may be tokens."""
        return any(map(self.known, parts)) or all(map(_is_plain, parts))


def _is_token(part: str) -> bool:
    """Whether a part has the form of a name."""
    return (
        any(sign.isalnum() for sign in part)
        and part[0] not in _EDGES
        and part[-1] not in _EDGES
        and is_balanced(part)
    )


def _is_plain(part: str) -> bool:
    """Whether a part is one word with a letter, as genes and most drugs are."""
    return bool(_PLAIN.fullmatch(part) and _LETTER.search(part))


def _is_attached(text: str, *, sign: str) -> bool:
    """Whether a sign has a space on one side only, as in `Ca2+ chelator`."""
    return any(left[-1:].isspace() != right[:1].isspace() for left, right in _sides(text, sign))


def _is_spaced(text: str, *, sign: str) -> bool:
    """Whether every sign stands between spaces, as in `drug A + drug B`."""
    return all(left[-1:].isspace() and right[:1].isspace() for left, right in _sides(text, sign))


def _sides(text: str, sign: str) -> list[tuple[str, str]]:
    return list(pairwise(pieces(text, sign=sign)))


def _other_sign(texts: Sequence[str], words: Words) -> tuple[str, tuple[str, ...]] | None:
    """The sign that joins known tokens in most labels which are one token now."""
    single = [text for text in texts if len(words.tokens(text)) == 1]
    found = {
        sign: labels
        for sign in SIGNS
        if sign != words.separator and (labels := _joined_by(sign, single, words))
    }
    best = max(found, key=lambda sign: len(found[sign]), default=None)
    return None if best is None else (best, found[best])


def _joined_by(sign: str, single: Collection[str], words: Words) -> tuple[str, ...]:
    """Labels in which a sign stands between control words and tokens that occur elsewhere."""
    parts = {
        text: some
        for text in single
        if len(some := [part.strip() for part in pieces(text, sign=sign)]) > 1
        and all(map(_is_token, some))
    }
    known = {text for text in single if text not in parts} | _beside_control(parts, words)
    known |= _at_several_places(parts.values())
    enough = any if sign in _JOINTS else all
    labels = [
        text
        for text, some in parts.items()
        if enough(part in known or words.is_control(part) for part in some)
    ]
    perturbed = {part for text in labels for part in parts[text] if not words.is_control(part)}
    return tuple(labels) if len(perturbed) > 1 else ()


def _beside_control(parts: Mapping[str, Sequence[str]], words: Words) -> set[str]:
    """Parts that a label joins with a control word; the 1 of NT_1 is a number, no token."""
    controlled = [some for some in parts.values() if any(map(words.is_control, some))]
    each = {part for some in controlled for part in some if not words.is_control(part)}
    return {part for part in each if _is_plain(part) and len(part) > 1}


def _at_several_places(labels: Iterable[Sequence[str]]) -> set[str]:
    """Parts that are first here and second there; a dose or a guide's number never is."""
    places: dict[str, set[int]] = {}
    for some in labels:
        for place, part in enumerate(some):
            places.setdefault(part, set()).add(place)
    return {part for part, where in places.items() if len(where) > 1 and _is_plain(part)}


def _seen(group: Iterable[str]) -> set[str]:
    """The spellings that differ in more than the spaces around them."""
    return {label.strip() for label in group}


def _told(group: Sequence[str]) -> list[str]:
    """Labels that look alike, with what tells them apart."""
    every = [set(label) for label in group]
    common = every[0].intersection(*every[1:])
    own = [sorted(signs - common) for signs in every]
    codes = [", ".join(f"U+{ord(sign):04X}" for sign in signs) or "plain" for signs in own]
    return [f"{label!r} ({code})" for label, code in zip(group, codes, strict=True)]


def _counted(labels: Collection[str], sign: str) -> str:
    some = listed(sorted(map(repr, labels)), most=SOME)
    verb = "has" if len(labels) == 1 else "have"
    return f"{len(labels)} {verb} {sign!r} ({some})"
