import errno
import os
from pathlib import Path
from typing import Any

import pytest

from stylegan_tool.errors import OutputError
from stylegan_tool.whole_files import write_whole


def failed(path: Path, content: bytes, **options: Any) -> OutputError:
    with pytest.raises(OutputError) as caught:
        write_whole(path, content, **options)
    assert caught.value.exit_code == 5
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("links", [True, False], ids=["hard-links", "no-hard-links"])
def test_a_file_that_appears_meanwhile_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    path = tmp_path / "x.png"
    link = os.link

    def other_program_first(source: Path, target: Path) -> None:
        path.write_bytes(b"precious")
        if not links:
            raise OSError(errno.EPERM, "no hard links here")
        link(source, target)

    monkeypatch.setattr(os, "link", other_program_first)
    failed(path, b"new")
    assert path.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_a_failing_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    error = failed(tmp_path / "x.png", b"new")
    assert os.strerror(number) in error.what
    if number == errno.ENOSPC:
        assert "room" in error.hint
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_leaves_nothing_and_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "x.png"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, b"new", overwrite=True)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_in_the_way_of_a_folder_or_the_other_way_round_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    failed(tmp_path / "file/x.png", b"new")
    failed(tmp_path / "file/deeper/x.png", b"new")
    (tmp_path / "folder.png").mkdir()
    failed(tmp_path / "folder.png", b"new", overwrite=True)
