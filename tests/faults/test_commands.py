"""A few bad inputs through the real command: what it prints to real streams is ours alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import films, pictures
from tests.models import make_info, write_blur_model


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        pytest.param(b"cut.tif", pictures.whole("deflate tiff")[:-40], 3, id="picture cut off"),
        pytest.param(b"caf\xe9.png", pictures.whole("png"), 0, id="a name that is not UTF-8"),
        pytest.param(b"two\nlines.png", b"", 3, id="a name of two lines"),
        pytest.param(b"cut.mp4", films.whole("h264 mp4")[:-3000], None, id="film cut off"),
        pytest.param(b"noise.ts", bytes(9) + films.whole("h264 ts")[2000:], None, id="film without its beginning"),
        pytest.param(b"cut.onnx", b"\x08\x0a\x12", 4, id="model cut off"),
    ],
)
def test_only_our_words_are_printed(in_folder: Path, name: bytes, content: bytes, code: int | None) -> None:
    source = in_folder / os.fsdecode(name)
    source.write_bytes(content)
    model = write_blur_model(in_folder / "A2B.onnx", 1, make_info("A2B", size_multiple=1, smallest_size=4))
    command = ["images", str(source), "out", "--model", str(model)]
    if source.suffix in {".mp4", ".ts"}:
        command = ["video", str(source), "out.mp4", "--model", str(model)]
    if source.suffix == ".onnx":
        (in_folder / "good.png").write_bytes(pictures.whole("png"))
        command = ["images", "good.png", "out", "--model", str(source)]
    ran = subprocess.run([sys.executable, "-m", "stylegan_tool", *command], capture_output=True, text=True, check=False)
    assert ran.returncode in ({code} if code is not None else {0, 3, 6})
    assert ran.stdout == ""
    ours = ("photo -> ", "1 picture in", "sgt: ", "  ", "damaged places in", "the file is cut", "the clock starts")
    odd = [line for line in ran.stderr.splitlines() if not line.startswith(ours) and " frames of " not in line]
    assert not odd
