"""Controls: the labels that a pattern means, and labels that look like controls but are not named.

A pattern is a shell's (`NT_*`), case and all, and is compared with whole tokens: `NT_*` means
`NT_1`, alone or in `A+NT_1`, and never `NT_1+A`.
"""

import glob
import re
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from data_store.sources.notes import warn
from scdfm.screen.conditions import Condition, Words
from scdfm.screen.names import SOME, aside, listed
from scdfm.screen.spelling import may_be_missing

_JOINTS = "+|;,&/_ "  # signs that others put between tokens
_CLEAR_JOINTS = "+|;&"  # hardly ever within a name
_FAMILY = 3  # labels that differ in their number only, to be named by a pattern

_USUAL = re.compile(
    r"""(neg(ative)?|sg)?(control|ctrl|ctl) | (sg)?ntc | non?target(t?ing)?(control|ctrl)?
    | safe(target(ing)?|harbou?r) | (one)?(nongene|intergenic)(site|region)? | nosites?
    | scrambled? | mock | un(treated|perturbed|stimulated|infected|transduced) | nontransduced
    | no(treatment|drug|guide|grna) | wildtype | vehicle | dmso | pbs | saline | placebo | sham
    | e?gfp | bfp | mcherry | lacz | luciferase | emptyvector | aavs | rosa""",
    re.VERBOSE,
)
"""Letters of usual names of controls, whatever number or further word follows."""

_ALONE = re.compile(
    "nt|nc|wt|neg|ev|empty|none|luc|naive|baseline|blank|medium|media|water|h2o|ethanol|etoh"
)
"""Words that are also parts of other names; a number follows only behind a `_`, as in NT_1."""


def resolved(asked: Sequence[str], labels: Iterable[str], *, separator: str) -> tuple[str, ...]:
    """The control words, with all tokens that their patterns mean behind them.

    Args:
        asked: Labels and patterns, as the user gave them. A text that is a label is no pattern.
        labels: All labels of the data.
        separator: Between the tokens of a label.

    Raises:
        ValueError: A pattern matches nothing, or a label that is more than a control.
    """
    whole = frozenset(labels)
    tokens = whole | {part.strip() for label in whole for part in label.split(separator)}
    patterns = [one for one in asked if _is_pattern(one) and one not in tokens]
    if not patterns:
        return tuple(asked)
    hits = {one for one in tokens if _matches(one, patterns)}
    for pattern in patterns:
        if not any(fnmatchcase(one, pattern) for one in hits):
            raise ValueError(
                f"expected labels like {pattern!r} for --control, got none"
                f"{aside(pattern, tokens)}; correct the pattern"
            )
    words = {one.casefold() for one in asked}
    others = {one for one in tokens - hits if one.casefold() not in words}
    more = {one: sign for one in sorted(hits) if (sign := _joint(one, patterns, others=others))}
    for label, sign in more.items():
        if sign != separator:
            raise ValueError(
                f"expected controls alone among the labels like {listed(patterns)}, got "
                f"{label!r}, which seems to be a control and a perturbation; name the sign "
                f"between them, --separator {shlex.quote(sign)}, or a narrower pattern"
            )
    return tuple(dict.fromkeys((*asked, *sorted(hits - more.keys()))))


def meant_by(asked: Sequence[str]) -> Callable[[str], bool]:
    """Whether a text is one of these control words, or matches one of these patterns."""
    words = {one.strip().casefold() for one in asked}
    patterns = [one for one in asked if _is_pattern(one)]
    return lambda text: text.casefold() in words or _matches(text, patterns)


def require_present(asked: Sequence[str], labels: Collection[str], *, separator: str) -> None:
    """Refuse a control that no cell has beside others that some have: it may be misspelt.

    Where no cell has any, `detect.control_labels` says what may be meant.

    Raises:
        ValueError: Names it and the nearest label.
    """
    tokens = {
        part.strip().casefold() for label in labels for part in (label, *label.split(separator))
    }
    absent = [one for one in asked if not _is_pattern(one) and one.strip().casefold() not in tokens]
    if absent and len(absent) < len(asked):
        one = absent[0]
        raise ValueError(
            f"expected labels of cells for --control, got {one!r}{aside(one, labels)}, which no "
            f"cell has{_behind_other_sign(one, labels)}; correct it, or leave it out"
        )


def _behind_other_sign(word: str, labels: Iterable[str]) -> str:
    """Where a word occurs in labels that are not taken apart there."""
    for label in labels:
        for left, _sign, right in _halves(label):
            if word.strip().casefold() in (left.casefold(), right.casefold()):
                return f" alone or beside the sign that joins tokens (it is part of {label!r})"
    return ""


def joined_by(labels: Collection[str], *, words: Words) -> tuple[str, str] | None:
    """The sign that makes a label a control if it joins tokens, and that label."""
    for sign in _JOINTS.strip():
        for label in labels:
            parts = label.split(sign)
            if sign != words.separator and len(parts) > 1 and all(map(words.is_control, parts)):
                return sign, label
    return None


def tell_of_alike(
    tokens: Collection[str], *, controls: Sequence[str], genes: Collection[str]
) -> tuple[str, ...]:
    """The perturbations that look like controls, with a warning if there are any.

    Args:
        tokens: All that cells are perturbed with.
        controls: As the labels spell them.
        genes: Measured genes, which are none.
    """
    found = alike(set(tokens).difference(genes))
    if found:
        remedy = advice((*controls, *found), among={*tokens, *controls})
        warn(
            f"these look like controls, too, and are treated as perturbations: {listed(found)}; "
            f"{remedy} makes them controls"
        )
    return found


def tell_of_missing(labels: Mapping[Condition, str]) -> None:
    """Warn of perturbations that R and spreadsheets write for a missing value."""
    found = sorted(label for one, label in labels.items() if any(map(may_be_missing, one)))
    if found:
        few = found[:SOME]
        warn(
            "labels with what R and spreadsheets write for a missing value are treated as "
            f"perturbations: {listed(found, most=SOME)}; --exclude {shlex.quote(','.join(few))} "
            f"leaves {'them' if found == few else 'these'} out"
        )


def tell_of_cases(tokens: Iterable[str]) -> None:
    """Warn of perturbations that differ in upper and lower case alone, and may be one."""
    folded: dict[str, list[str]] = {}
    for token in sorted(tokens):
        folded.setdefault(token.casefold(), []).append(token)
    found = [" beside ".join(group) for group in folded.values() if len(group) > 1]
    if found:
        warn(
            "perturbations that differ in upper and lower case alone are treated as different: "
            f"{listed(found, most=SOME)}; if they are one, write one name in the file"
        )


def spelled(labels: Iterable[str], *, words: Words) -> tuple[str, ...]:
    """Every spelling of the control in labels, alone or beside a perturbation, sorted."""
    known = {word.strip().casefold() for word in words.controls}
    parts = {
        part.strip()
        for label in labels
        for part in ([label] if label.casefold() in known else label.split(words.separator))
    }
    return tuple(sorted(part for part in parts if part.casefold() in known))


def alike(labels: Iterable[str]) -> tuple[str, ...]:
    """The labels that others use for controls, sorted."""
    return tuple(sorted(label for label in labels if _looks_like_control(label)))


def holding(labels: Iterable[str]) -> tuple[str, ...]:
    """The labels in which any word is a usual one, such as A549_DMSO, sorted.

    Not those in which a sign joins it to something: `A|ctrl` is a perturbed cell.
    """
    return tuple(
        sorted(
            label
            for label in labels
            if not any(sign in label for sign in _CLEAR_JOINTS)
            and any(map(_USUAL.fullmatch, re.split(r"[\W_]+", label.casefold())))
        )
    )


def advice(controls: Iterable[str], *, among: Collection[str]) -> str:
    """The options that make these labels controls; a pattern where many differ in a number.

    Args:
        controls: Labels.
        among: All tokens, of which a pattern must match no other.
    """
    wanted = dict.fromkeys(controls)
    families: dict[str, list[str]] = {}
    for one in wanted:
        families.setdefault(re.sub(r"\d+$", "", one), []).append(one)
    return " ".join(
        f"--control {shlex.quote(one)}"
        for stem, members in families.items()
        for one in _named(stem, members, wanted=wanted, among=among)
    )


def _named(
    stem: str, members: list[str], *, wanted: Collection[str], among: Collection[str]
) -> list[str]:
    pattern = f"{glob.escape(stem)}*"
    means = [one for one in among if fnmatchcase(one, pattern)]
    if len(members) < _FAMILY or not stem or not set(wanted).issuperset(means):
        return members
    return [pattern]


def _is_pattern(text: str) -> bool:
    return any(sign in text for sign in "*?[")


def _matches(text: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(text, pattern) for pattern in patterns)


def _joint(label: str, patterns: Sequence[str], *, others: Collection[str]) -> str | None:
    """The sign in a label between a control and another token; None if there is none."""
    for left, sign, right in _halves(label):
        for one, other in ((left, right), (right, left)):
            if one in others and _matches(other, patterns):
                return sign
    return None


def _halves(label: str) -> Iterator[tuple[str, str, str]]:
    for at, sign in enumerate(label):
        if sign in _JOINTS:
            yield label[:at].strip(), sign, label[at + 1 :].strip()


def _looks_like_control(label: str) -> bool:
    # Two controls in one cell are a control.
    parts = [part for part in re.split(r"[|;,&]|__", label) if part.strip()]
    return bool(parts) and all(_is_usual(part) for part in parts)


def _is_usual(text: str) -> bool:
    words = re.sub(r"^sg(?=[A-Z_\- ])", "", text.strip())
    found = [word for word in re.split(r"[\W_]+", words.casefold()) if word]
    if not found:
        return False
    begun = ("".join(found[:count]) for count in range(1, len(found) + 1))
    if any(_USUAL.fullmatch(re.sub(r"\d+$", "", one)) for one in begun):
        return True
    plain = re.sub(r"_\d+$", "", words).casefold()
    return _ALONE.fullmatch(re.sub(r"[\W_]+", "", plain)) is not None
