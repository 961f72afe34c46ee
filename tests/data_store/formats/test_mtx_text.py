"""Every spelling of a Matrix Market file gives the numbers that scipy reads; damage is named."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp

from data_store.disk.damage import DamagedError
from data_store.sources.formats.mtx.text import head

HEAD = "%%MatrixMarket matrix coordinate {kind} general\n% by hand\n3 4 {entries}\n"


def written(folder: Path, lines: str, *, kind: str = "integer", entries: int | None = None) -> Path:
    path = folder / "matrix.mtx"
    count = len(lines.split()) // 3 if entries is None else entries
    path.write_bytes((HEAD.format(kind=kind, entries=count) + lines).encode())
    return path


def read(path: Path, *, entries: int) -> sp.csr_matrix:
    text = head(path)
    blocks = list(text.blocks(entries=entries))
    assert max((len(block.rows) for block in blocks), default=0) <= entries
    rows, columns, values = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return sp.csr_matrix((values, (rows, columns)), shape=(text.rows, text.columns))


@pytest.mark.parametrize("entries", [1, 2, 1000])
@pytest.mark.parametrize(
    "lines",
    [
        "1 1 5\n2 1 7\n3 4 123456789\n",
        "1 1 5\r\n2 1 7\r\n3 4 1\r\n",
        "1\t1\t5\n2   1 7\n\n 3 4 1",
        "3 4 -1\n1 1 2147483647\n",
        "1 1 2.0\n1 2 3.000000000000000e+00\n",
    ],
    ids=["plain", "windows", "tabs", "signs", "points"],
)
def test_whole_numbers_in_any_spelling(tmp_path: Path, lines: str, entries: int) -> None:
    path = written(tmp_path, lines)
    expected = sp.coo_matrix((3, 4), dtype=np.int64).tolil()
    for line in lines.split("\n"):
        if line.strip():
            row, column, value = line.split()
            expected[int(row) - 1, int(column) - 1] = float(value)
    assert (read(path, entries=entries) != expected.tocsr()).nnz == 0


def test_fractions_are_those_that_scipy_reads_to_the_last_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    values = rng.random(3000) * 10.0 ** rng.integers(-6, 9, 3000)
    spelt = [f"{v:.17g}" if k % 3 else f"{v:.4f}" for k, v in enumerate(values.tolist())]
    cells = [(1 + k // 1000, 1 + k % 1000) for k in range(3000)]
    path = tmp_path / "matrix.mtx"
    path.write_text(
        "%%MatrixMarket matrix coordinate real general\n3 1000 3000\n"
        + "".join(f"{r} {c} {v}\n" for (r, c), v in zip(cells, spelt, strict=True))
    )
    np.testing.assert_array_equal(
        read(path, entries=100).toarray(), sp.csr_matrix(scipy.io.mmread(path)).toarray()
    )


@pytest.mark.parametrize(
    ("lines", "match"),
    [
        ("1 1 5\n2 1\n", "'2 1' after its first 0 entries is not three whole numbers"),
        ("1 1 5\n2 1 1.5\n", "'2 1 1.5' .* whole numbers"),
        ("1 1 5\n2 1 9999999999\n", "below 2"),
        ("4 1 5\n", "an entry is in row 4, the head says 3 rows"),
        ("1 0 5\n", "an entry is in column 0, the head says 4 columns"),
        ("x" * 70_000, "lines of thousands of characters"),
    ],
    ids=["two numbers", "fraction", "too large", "row", "column", "no lines"],
)
def test_a_line_that_is_not_an_entry_is_named(tmp_path: Path, lines: str, match: str) -> None:
    path = written(tmp_path, lines, entries=2)
    with pytest.raises(DamagedError, match=match):
        read(path, entries=100)


def test_fewer_or_more_entries_than_promised_are_told_with_both_figures(tmp_path: Path) -> None:
    lines = "1 1 5\n2 1 7\n3 4 1\n"
    for entries, match in ((5, "promises 5 entries, 3 .* truncated"), (2, "2 entries, 3 .* head")):
        with pytest.raises(DamagedError, match=match):
            read(written(tmp_path, lines, entries=entries), entries=2)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("1 1 1\n", "does not begin with %%MatrixMarket"),
        ("%%MatrixMarket matrix array real general\n3 4\n", "says matrix array real general"),
        ("%%MatrixMarket matrix coordinate real symmetric\n", "real symmetric"),
        ("%%MatrixMarket matrix coordinate integer general\n% only\n", "sizes is missing"),
        ("%%MatrixMarket matrix coordinate integer general\n3 4\n", "'3 4' should be"),
    ],
)
def test_a_head_of_another_kind_is_refused(tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "matrix.mtx"
    path.write_text(text)
    with pytest.raises(DamagedError, match=match):
        head(path)


def test_gzip_is_read_and_its_damage_told_in_our_words(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = "".join(f"{r} 1 {v}\n" for r, v in rng.integers(1, 4, (5000, 2)).tolist())
    packed = gzip.compress(written(tmp_path, lines).read_bytes())
    path = tmp_path / "matrix.mtx.gz"
    path.write_bytes(packed)
    assert read(path, entries=100).sum() == read(tmp_path / "matrix.mtx", entries=9999).sum()
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DamagedError, match="ends too early: it is truncated"):
        read(path, entries=100)
    path.write_bytes(packed[:200] + bytes(100) + packed[300:])
    with pytest.raises(DamagedError, match="bytes are damaged"):
        read(path, entries=100)
