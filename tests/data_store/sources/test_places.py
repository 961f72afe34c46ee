"""Folders and lists stand for their files; names and genes of several files are told apart."""

import logging
from pathlib import Path

import pytest
from anndata.io import read_zarr

from data_store.ingest.write import IngestOptions, ingest
from data_store.sources.places import find
from tests.data_store.cells import adata, written
from tests.data_store.formats.test_tenx import table, version3


def names(*sources: str | Path) -> list[str]:
    return [place.path.name for place in find(sources)]


def test_a_folder_stands_for_its_files_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("b.h5ad", "a.zarr", "c.h5ad"):
        written(adata(), tmp_path, name)
    version3(tmp_path / "d.h5")
    (tmp_path / "notes.txt").write_text("no source")
    (tmp_path / ".hidden.h5ad").touch()
    caplog.set_level(logging.INFO)
    found = find([tmp_path])
    assert [place.path.name for place in found] == ["a.zarr", "b.h5ad", "c.h5ad", "d.h5"]
    assert caplog.messages == [f"{tmp_path}: 4 sources, a.zarr, b.h5ad, c.h5ad, d.h5"]


def test_a_list_names_one_source_per_line(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    written(adata(), tmp_path / "folder", "b.h5ad")
    a = written(adata(), tmp_path, "a.h5ad")
    (tmp_path / "list.txt").write_text(f"# my cells\n{a}\n\n  {tmp_path / 'folder'}\n")
    assert names(tmp_path / "list.txt") == ["a.h5ad", "b.h5ad"]


def test_a_source_named_twice_is_read_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(adata(), tmp_path)
    caplog.set_level(logging.INFO)
    assert len(find([path, tmp_path])) == 1
    assert "1 sources were named twice" in caplog.messages[-1]


def test_a_store_may_be_a_source(tmp_path: Path) -> None:
    ingest(written(adata(), tmp_path), tmp_path / "store.zarr")
    ingest(tmp_path / "store.zarr", tmp_path / "again")
    first, again = (read_zarr(tmp_path / n / "cells.zarr") for n in ("store.zarr", "again"))
    assert (first.X != again[first.obs_names].X).nnz == 0


def test_lists_without_paths_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("# nothing\n")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    for name, match in {"empty.txt": "one path per line", "bytes.txt": "got no text"}.items():
        with pytest.raises(ValueError, match=match):
            names(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="a list of sources"):
        names(tmp_path / "absent.txt")


def test_a_folder_of_all_kinds_becomes_one_store(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    folder = tmp_path / "cells"
    folder.mkdir()
    written(adata(genes=["A", "B", "X"]), folder, "a.h5ad")
    written(adata(genes=["A", "B", "Y"]), folder, "b.zarr")
    version3(folder / "c.h5")
    options = IngestOptions(join="intersect", cells=(_marked(tmp_path),))
    ingest(folder, tmp_path / "store", options=options)
    found = read_zarr(tmp_path / "store" / "cells.zarr")
    assert found.shape == (18, 2)
    assert sorted(found.obs_names)[:4] == ["c0-a", "c0-b", "c0-c", "c1-a"]
    text = "\n".join(caplog.messages)
    assert "genes: intersect of 3 sources, 2 of 6; 2 are in all, 4 only in some" in text
    assert text.count("counts: X") == 1
    assert (
        "cell names: 12 occur in several sources; all got the name of their file or folder" in text
    )


def _marked(folder: Path) -> Path:
    """The table of all three sources, by the names that the cells get."""
    lines = table(folder).read_text().splitlines()
    path = folder / "marked.csv"
    rows = [line.replace(",", f"-{mark},", 1) for mark in "abc" for line in lines[1:]]
    path.write_text("\n".join([lines[0], *rows]))
    return path


@pytest.mark.parametrize("inside", ["", "outs"])
def test_files_of_one_name_are_told_apart_by_folder(tmp_path: Path, inside: str) -> None:
    for lane in ("lane1", "lane2"):
        (tmp_path / lane / inside).mkdir(parents=True)
        written(adata(), tmp_path / lane / inside)
    ingest([tmp_path / lane / inside for lane in ("lane1", "lane2")], tmp_path / "store")
    found = read_zarr(tmp_path / "store" / "cells.zarr")
    assert {name.split("-")[1] for name in found.obs_names} == {"lane1", "lane2"}


def test_files_that_no_folder_tells_apart_are_numbered(tmp_path: Path) -> None:
    paths = []
    for folder in ("a/x", "a/y", "b/x"):
        (tmp_path / folder).mkdir(parents=True)
        paths.append(written(adata(), tmp_path / folder))
    ingest(paths, tmp_path / "store")
    found = read_zarr(tmp_path / "store" / "cells.zarr")
    assert {name.split("-")[1] for name in found.obs_names} == {"0_cells", "1_cells", "2_cells"}


def test_a_copy_of_a_file_is_warned_of(tmp_path: Path) -> None:
    paths = [written(adata(), tmp_path, "a.h5ad")]
    paths.append(tmp_path / "b.h5ad")
    paths[1].write_bytes(paths[0].read_bytes())
    said = ingest(paths, tmp_path / "store").detections
    assert "warning: b.h5ad has the same content as a.h5ad; its cells come twice" in said
