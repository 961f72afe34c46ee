"""Lists of names as people give them: with commas, or one per line in a file."""

import csv
from collections.abc import Sequence
from pathlib import Path

_FILES = {".csv", ".tsv", ".txt", ".list"}


def listed(texts: Sequence[str]) -> tuple[str, ...]:
    """Names given with commas, several options together; order kept, repeats dropped."""
    return tuple(dict.fromkeys(_with_commas(texts)))


def _with_commas(texts: Sequence[str]) -> list[str]:
    names = (name.strip() for text in texts for name in text.split(","))
    return [name for name in names if name]


def from_text_or_file(texts: Sequence[str], *, column: str, option: str) -> tuple[str, ...]:
    """Names as `in_order` reads them, repeats dropped."""
    return tuple(dict.fromkeys(in_order(texts, column=column, option=option)))


def in_order(texts: Sequence[str], *, column: str, option: str) -> tuple[str, ...]:
    """Names given with commas, or in files that exist under the given name; repeats kept.

    Args:
        texts: What the option was given, once or more.
        column: Of a table with a header (.csv, .tsv). Other files hold one name per line; blank
            lines and those that begin with # are left out.
        option: To name in an error.

    Raises:
        FileNotFoundError: The text names a file by its ending and there is none.
        ValueError: The file has no such column, or there are no names.
    """
    names: list[str] = []
    for text in texts:
        path = Path(text)
        if path.is_file():
            names.extend(_read(path, column=column))
        elif path.suffix.lower() in _FILES:
            raise FileNotFoundError(
                f"expected names or a file of names for {option}, no file {text}"
            )
        else:
            names.extend(_with_commas([text]))
    if not names:
        raise ValueError(f"expected names for {option}, got none; give A,B or a file")
    return tuple(names)


def _read(path: Path, *, column: str) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"expected a text file with one {column} per line, got {path}") from None
    if path.suffix.lower() not in (".csv", ".tsv"):
        stripped = (line.strip() for line in lines)
        return [line for line in stripped if line and not line.startswith("#")]
    table = csv.DictReader(lines, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    if column not in (table.fieldnames or ()):
        found = ", ".join(table.fieldnames or ()) or "nothing"
        raise ValueError(f"expected a column {column!r} in {path}, found {found}; rename it")
    return [name for row in table if (name := (row[column] or "").strip())]
