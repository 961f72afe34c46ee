"""Lists of names as users give them: with commas, or one per line in a file."""

import csv
import io
import logging
import os
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path

from scdfm.screen.conditions import Words
from scdfm.screen.names import COMMA, apart

log = logging.getLogger(__name__)

_FILES = {".csv", ".tsv", ".txt", ".list"}

Known = Callable[[], Container[str]]
"""Names that stay whole though they hold commas. Asked only where a text has a comma: the answer
may need a store."""


def from_text_or_file(
    texts: Sequence[str], *, column: str, option: str, known: Known
) -> tuple[str, ...]:
    """Names as `in_order` reads them, repeats dropped."""
    return tuple(dict.fromkeys(in_order(texts, column=column, option=option, known=known)))


def in_order(texts: Sequence[str], *, column: str, option: str, known: Known) -> tuple[str, ...]:
    r"""Names given with commas, or in files that exist under the given name; repeats kept.

    Args:
        texts: What the option was given, once or more.
        column: Of a table with a header (.csv, .tsv). Other files hold one name per line; blank
            lines and those that begin with # are left out; a name that does is written \#.
        option: To name in an error.
        known: Names that may hold commas; any other text is taken apart at them.

    Raises:
        FileNotFoundError: The text names a file by its ending and there is none.
        ValueError: The file has no such column, or there are no names.
    """
    names: list[str] = []
    for text, whole in _given(texts, column=column, option=option):
        if whole or COMMA not in text:
            names.append(text)
        else:
            names.extend(apart(text, known=known()))
    return _some(names, option=option)


def as_given(texts: Sequence[str], *, column: str, option: str) -> tuple[str, ...]:
    """Names from files, and texts with their commas; the caller knows which names hold commas.

    Raises:
        FileNotFoundError, ValueError: As `in_order`.
    """
    given = dict.fromkeys(text for text, _ in _given(texts, column=column, option=option))
    return _some([*given], option=option)


def labels_of(store: Path | str) -> Known:
    """Everything that can be written with the labels and tokens of a store."""

    def known() -> Words:
        from data_store.store.reader import Store

        with Store.open(store) as opened:
            return opened.words

    return known


def contexts_of(store: Path | str) -> Known:
    """The contexts of a store."""

    def known() -> Container[str]:
        from data_store.store.reader import Store

        with Store.open(store) as opened:
            return opened.contexts

    return known


def tokens_of(store: Path | str) -> Known:
    """The perturbations of a store, each alone, and its words for the control."""

    def known() -> Container[str]:
        from data_store.store.reader import Store

        with Store.open(store) as opened:
            tokens = {token for one in opened.conditions.values() for token in one}
            return tokens | {*opened.words.controls}

    return known


def _given(texts: Sequence[str], *, column: str, option: str) -> Iterator[tuple[str, bool]]:
    """Names from files, which are complete, and texts, which may hold several names."""
    for text in texts:
        path = Path(text)
        if os.path.isfile(path):  # Path.is_file raises where a list is too long for a file's name
            yield from ((name, True) for name in _read(path, column=column))
        elif path.suffix.lower() in _FILES:
            raise FileNotFoundError(
                f"expected names or a file of names for {option}, got {text}, which is not there; "
                "check the path"
            )
        elif text.strip():
            _refuse_files(text, option=option)
            yield text.strip(), False


def _refuse_files(text: str, *, option: str) -> None:
    """Names with commas between them are no files."""
    files = [one.strip() for one in text.split(COMMA) if _is_file(one.strip())]
    if COMMA in text and files:
        raise ValueError(
            f"expected names with commas between them or one file for {option}, got the file "
            f"{files[0]} among {text!r}; give the file by itself, {option} {files[0]}, and "
            f"{option} again for the rest"
        )


def _is_file(text: str) -> bool:
    return Path(text).suffix.lower() in _FILES and os.path.isfile(text)


def _some(names: Sequence[str], *, option: str) -> tuple[str, ...]:
    if not any(name.strip(f"{COMMA} ") for name in names):
        raise ValueError(f"expected names for {option}, got none; give A,B or a file")
    return tuple(names)


def _tell_of_comments(path: Path, lines: Sequence[str]) -> None:
    """Say that a line is a comment where it could be a name: `#1`, not `# the first fold`."""
    found = [line for line in lines if line.startswith("#") and not line[1:2].isspace()]
    found = [line for line in found if line.strip("#")]
    if found:
        log.info("%s: %s is a comment; write \\%s if it is a name", path, found[0], found[0])


def _read(path: Path, *, column: str) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"expected a text file with one {column} per line, got {path}") from None
    if path.suffix.lower() not in (".csv", ".tsv"):
        stripped = [line.strip() for line in text.split("\n")]
        _tell_of_comments(path, stripped)
        return [
            line.removeprefix("\\") if line.startswith("\\#") else line
            for line in stripped
            if line and not line.startswith("#")
        ]
    table = csv.DictReader(
        io.StringIO(text), delimiter="\t" if path.suffix.lower() == ".tsv" else ","
    )
    if column not in (table.fieldnames or ()):
        found = ", ".join(table.fieldnames or ()) or "nothing"
        raise ValueError(f"expected a column {column!r} in {path}, found {found}; rename it")
    return [name for row in table if (name := (row[column] or "").strip())]
