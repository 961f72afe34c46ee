"""What is wrong with a file is told in our words, with a remedy that works."""

import fcntl
import gzip
import io
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import pytest

from data_store.ingest.write import ingest
from data_store.sources.formats.known import open_source
from tests.data_store.cells import adata, written
from tests.data_store.formats.test_tenx import version3

# Of h5py, HDF5, zarr, numpy, pandas, anndata, Python.
THEIRS = (
    "h5py",
    "zarr.",
    "numpy",
    "pandas",
    "Unable",
    "errno",
    "sblock",
    "object",
    "Errno",
    "dtype",
)


def told(path: Path) -> str:
    """The line about a file that cannot be read."""
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        list(open_source(path).blocks("X", elements=10**6))
    line = str(caught.value)
    assert line.startswith("expected")
    assert "\n" not in line
    without_path = line.replace(str(path), "")
    assert not [word for word in THEIRS if word in without_path], line
    return line


def test_a_file_that_a_notebook_has_open_is_to_be_closed_there(tmp_path: Path) -> None:
    path = written(adata(), tmp_path)
    with path.open("rb+") as notebook:
        fcntl.flock(notebook, fcntl.LOCK_EX | fcntl.LOCK_NB)  # as HDF5 does
        line = told(path)
    assert "it is open for writing elsewhere; close it there" in line
    assert "download" not in line
    ingest(path, tmp_path / "store")


def test_a_file_that_was_not_closed_is_to_be_cleared_or_written_again(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "open.h5ad", "w", libver="latest") as file:
        file["obs"] = [1]
        file.flush()
        shutil.copy(tmp_path / "open.h5ad", tmp_path / "left.h5ad")
    line = told(tmp_path / "left.h5ad")
    assert "did not close it; write it again, or, if that program has ended, run: h5clear" in line


def test_a_truncated_file_is_told_with_both_sizes_and_a_copy_works(tmp_path: Path) -> None:
    path = written(adata(), tmp_path)
    whole = path.read_bytes()
    cut = tmp_path / "cut.h5ad"
    cut.write_bytes(whole[: len(whole) // 2])
    assert f"truncated, {len(whole) // 2} of {len(whole)} bytes are there; copy" in told(cut)
    shutil.copy(path, cut)
    ingest(cut, tmp_path / "store")


def _filtered(path: Path, number: int) -> Path:
    """An .h5ad file whose counts ask for a filter."""
    with h5py.File(path, "r+") as file:
        values = file["X/data"][:]
        del file["X/data"]
        made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        made.set_chunk((len(values),))
        made.set_filter(number, h5py.h5z.FLAG_OPTIONAL)
        space = h5py.h5s.create_simple(values.shape)
        h5py.h5d.create(file["X"].id, b"data", h5py.h5t.NATIVE_FLOAT, space, made)
    return path


def test_a_missing_filter_is_named_with_the_package_that_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _filtered(written(adata(), tmp_path), 32099)
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    assert "not installed (number 32099); install the package" in (line := told(path))
    assert "pip install hdf5plugin" in line
    monkeypatch.setitem(sys.modules, "hdf5plugin", sys)  # installed, and without this filter
    assert "not installed (number 32099); write the file again with gzip" in told(path)


_PACK = """
import h5py, hdf5plugin, sys
with h5py.File(sys.argv[1], "r+") as file:
    for name, filter in (("data", "zstd"), ("indices", "blosc")):
        values = file["X"][name][:]
        del file["X"][name]
        kind = hdf5plugin.FILTERS[filter]
        file["X"].create_dataset(name, data=values, chunks=True, compression=kind)
"""


def test_a_file_with_the_filters_of_hdf5plugin_is_read_where_it_is_installed(
    tmp_path: Path,
) -> None:
    pytest.importorskip("hdf5plugin")
    path = written(adata(), tmp_path)
    plain = ingest(path, tmp_path / "plain")
    # In a process of its own: the package registers its filters when it is imported.
    subprocess.run([sys.executable, "-c", _PACK, path], check=True)
    assert ingest(path, tmp_path / "packed").shards == plain.shards


def _tar(content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo("matrix.mtx")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"\n<!DOCTYPE html><html><body>Sign in", "a web page (HTML), not the file; download"),
        (b"<?xml version='1.0'?><Error>AccessDenied", "an answer of a server (XML), not the file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS, not the file; fet"),
        (b"PK\x03\x04rest", "a .zip archive; unpack it and name the file inside"),
        (b"barcode,condition\nc0,ctrl\n", "text; a table of cells is given with --cells"),
        (gzip.compress(b"cell,gene\n1,2\n"), "a gzip file; inside it is text; a table"),
        (gzip.compress(b"<html>"), "a gzip file; inside it is a web page"),
        (gzip.compress(b"X\n\0\0\0\2rds"), "inside it is a file of R; export it in R"),
        (gzip.compress(b"cells")[:12], "a damaged gzip file; copy or download it again"),
        (_tar(b"1"), "a .tar.gz archive; unpack it"),
        (b"PAR1\x15\x04", "a Parquet table; give it with --cells"),
        (b"\x80\x05\x95pickle", "a Python pickle; write it as .h5ad"),
        (bytes(range(256)), "none of these; check it or download it again"),
    ],
    ids=[
        "html",
        "xml",
        "lfs",
        "zip",
        "csv",
        "csv.gz",
        "html.gz",
        "rds",
        "cut.gz",
        "tar",
        "parquet",
        "pickle",
        "bytes",
    ],
)
def test_what_was_saved_as_h5ad_and_is_none_is_named(
    tmp_path: Path, content: bytes, match: str
) -> None:
    path = tmp_path / "cells.h5ad"
    path.write_bytes(content)
    assert match in told(path)


def test_a_truncated_gzip_file_is_called_so(tmp_path: Path) -> None:
    path = tmp_path / "cells.h5ad.gz"
    packed = gzip.compress(written(adata(), tmp_path).read_bytes())
    path.write_bytes(packed[: len(packed) // 2])
    line = told(path)
    assert "it ends too early, so it is truncated" in line
    assert "expected an .h5ad.gz " in line  # alone, not as the end of a list


def test_a_folder_of_something_else_names_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "run" / "logs").mkdir(parents=True)
    assert "none of these (it has logs); name the file or folder inside it" in told(
        tmp_path / "run"
    )


def _lost_part(folder: Path) -> Path:
    path = version3(folder / "cells.h5")
    with h5py.File(path, "r+") as file:
        del file["matrix/features/name"]
    return path


def _lost_pointers(folder: Path) -> Path:
    path = written(adata(), folder)
    with h5py.File(path, "r+") as file:
        del file["X/indptr"]
    return path


def _lost_directory(folder: Path) -> Path:
    path = written(adata(), folder, "cells.zarr")
    shutil.rmtree(path / "X" / "indptr")
    (path / ".zmetadata").unlink()  # as files without a list of all that is in them
    return path


def _lost_values(folder: Path) -> Path:
    path = written(anndata.concat([adata()] * 100, index_unique="-"), folder, "cells.zarr")
    (path / "X" / "indices" / "0").unlink()
    return path


def _another_kind(folder: Path) -> Path:
    path = written(adata(), folder)
    with h5py.File(path, "r+") as file:
        del file["obs"]
        file["obs"] = [1, 2, 3]
    return path


@pytest.mark.parametrize(
    ("damaged", "match"),
    [
        (_lost_part, "('name' is missing in it)"),
        (_lost_pointers, "('indptr' is missing in it)"),
        (_lost_directory, "('indptr' is missing in it)"),
        (_lost_values, "(1 of 1 pieces of its indices are missing)"),
        (_another_kind, "got what cannot be read"),
    ],
)
def test_a_part_that_is_lost_is_named(
    tmp_path: Path, damaged: Callable[[Path], Path], match: str
) -> None:
    assert match in told(damaged(tmp_path))
