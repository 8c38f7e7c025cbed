"""What the corpus has found in films, made on purpose."""

from pathlib import Path

import pytest

from stylegan_tool.__main__ import main
from tests.faults import films
from tests.models import make_info, write_blur_model


def test_a_sound_track_that_mp4_cannot_describe_is_named_and_goes_into_mkv(
    in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytearray(films.whole("vp9 webm"))
    content[content.index(b"OpusHead") - 2] ^= 0x40  # the element in which its header lies is no longer known as such
    (in_folder / "in.webm").write_bytes(content)
    write_blur_model(in_folder / "A2B.onnx", 1, make_info("A2B", size_multiple=1, smallest_size=4))
    command = ["video", "in.webm", "--model", "A2B.onnx", "--steady", "off"]
    assert main([*command, "out.mp4"]) == 3
    message = capsys.readouterr().err
    assert "a track of in.webm beside its pictures is damaged" in message
    assert ".mkv" in message
    assert not (in_folder / "out.mp4").exists()
    assert main([*command, "out.mkv"]) == 0
