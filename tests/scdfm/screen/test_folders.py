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


def test_what_is_no_folder_in_its_place_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, link, device = tmp_path / "file", tmp_path / "link", Path("/dev/null")
    file.touch()
    link.symlink_to(tmp_path / "nowhere")
    monkeypatch.setattr("scdfm.screen.folders._PATIENCE", 3600.0)  # longer than a test may take
    for place in (file, link, link / "one", device):
        with pytest.raises(FileExistsError):
            make_folder(place)
    with pytest.raises(NotADirectoryError):
        make_folder(file / "one")
