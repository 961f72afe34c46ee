"""Facts of folders that other processes make and remove at the same time."""

from pathlib import Path

import pytest

from scdfm.screen.folders import in_folder, make_folder


def test_what_others_remove_meanwhile_is_made_again(tmp_path: Path) -> None:
    folder, times = tmp_path / "runs" / "one", 3

    def make() -> str:
        nonlocal times
        times -= 1
        if times:  # two others have just ended, and found it empty
            folder.rmdir()
            folder.parent.rmdir()
        (folder / "file").touch()
        return "made"

    assert in_folder(folder, make) == "made"
    assert [path.name for path in folder.iterdir()] == ["file"]


def test_a_file_in_the_place_of_a_folder_is_refused_at_once(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.touch()
    link.symlink_to(tmp_path / "nowhere")
    for place in (file, link):
        with pytest.raises(FileExistsError):
            make_folder(place)
    with pytest.raises(NotADirectoryError):
        make_folder(file / "one")
