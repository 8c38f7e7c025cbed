from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from stylegan_tool.film.encoding import Facts, choose_encoding
from stylegan_tool.film.plan import Colours
from stylegan_tool.film.segment_writer import SegmentWriter


def facts(bits: int = 8, *, alpha: bool = False) -> Facts:
    return Facts(97, 75, Fraction(25), Fraction(1, 1000), Colours(1, 1, 1, 1), None, bits, alpha)


def moving(count: int, kind: type[np.uint8] | type[np.uint16] = np.uint8) -> list[NDArray[np.float64]]:
    """Return smooth pictures of 97x75 that move to the right, each of another brightness."""
    y, x = np.mgrid[:75, :97]
    whole = np.iinfo(kind).max
    return [
        np.stack([np.sin((x - 3 * n) / 9), np.cos(y / 7 + n), np.sin((x + y) / 15)], -1).clip(-1, 1) * 0.4 * whole
        + 0.5 * whole
        for n in range(count)
    ]


@pytest.mark.parametrize(
    ("name", "codec"),
    [("x.mp4", "h264"), ("x.mp4", "hevc"), ("x.mp4", "av1"), ("x.webm", "vp9"), ("x.mov", "prores"), ("x.mkv", "ffv1")],
)
def test_a_segment_holds_every_frame_in_its_order(tmp_path: Path, name: str, codec: str) -> None:
    encoding, _ = choose_encoding(facts(), Path(name), codec=codec)
    images = [image.astype(np.uint8) for image in moving(9)]
    with SegmentWriter(tmp_path / "s.mkv", encoding) as writer:
        for image in images:
            writer.write(image)
        info = writer.close()
    assert info.frames == 9
    with av.open(str(tmp_path / "s.mkv")) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    order = np.argsort(np.argsort([packet.pts or 0 for packet in packets]))
    assert packets[0].is_keyframe
    assert info.delay == max(place - number for place, number in enumerate(order))
    with av.open(str(tmp_path / "s.mkv")) as container:
        shown = [frame.to_ndarray(format="rgb24")[:75, :97].astype(int) for frame in container.decode(video=0)]
    assert len(shown) == 9
    for number, picture in enumerate(shown):
        errors = [np.abs(picture - other).mean() for other in images]
        assert int(np.argmin(errors)) == number
