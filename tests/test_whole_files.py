import os
import stat

import pytest

from napari_sam.whole_files import replacing, write_text


def write_half(path):
    with replacing(path) as partial:
        partial.write_text("ne")
        raise OSError("No space left on device")


def test_a_file_takes_the_place_when_it_is_whole(tmp_path):
    path = tmp_path / "cells.csv"
    path.write_text("old")
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_fails_leaves_the_earlier_file_and_nothing_else(tmp_path):
    path = tmp_path / "cells.csv"
    for before in (None, "old"):
        if before:
            path.write_text(before)
        with pytest.raises(OSError, match="No space"):
            write_half(path)
        assert list(tmp_path.iterdir()) == ([path] if before else [])
    assert path.read_text() == "old"


@pytest.mark.skipif(os.name == "nt", reason="Windows knows neither")
def test_links_and_permissions_stay(tmp_path):
    path, link = tmp_path / "cells.csv", tmp_path / "link.csv"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    write_text(link, "new")
    assert link.is_symlink()
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_what_must_not_be_written_to_is_not_replaced(tmp_path, monkeypatch):
    path = tmp_path / "cells.csv"
    path.write_text("old")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match=r"cells\.csv"):
        write_text(path, "new")
    assert path.read_text() == "old"


@pytest.mark.skipif(os.name == "nt", reason="Windows names its devices otherwise")
def test_devices_are_written_to(tmp_path):
    write_text(os.devnull, "new")
    with pytest.raises(IsADirectoryError):
        write_text(tmp_path, "new")


def test_texts_are_written_as_they_are(tmp_path):
    write_text(tmp_path / "a.txt", "Größe\n\udce4\n")
    assert (tmp_path / "a.txt").read_bytes() == "Größe\n\\udce4\n".encode()
