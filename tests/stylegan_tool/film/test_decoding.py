from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from stylegan_tool.film.decoding import decoder_for
from stylegan_tool.film.image_reader import ImageReader


def make(path: Path, encoder: str, pixel_format: str) -> None:
    """Write three frames; where there is alpha, it falls from left to right."""
    with av.open(str(path), "w") as container:
        options = {"crf": "5", "b": "1M"} | ({"auto-alt-ref": "0"} if pixel_format == "yuva420p" else {})
        stream: Any = container.add_stream(encoder, rate=25, width=64, height=48, options=options)
        stream.codec_context.pix_fmt = pixel_format
        for number in range(3):
            frame = VideoFrame(64, 48, pixel_format)
            for plane in frame.planes:
                plane.update(bytes([40 + 20 * number]) * plane.buffer_size)
            if pixel_format == "yuva420p":
                rows = np.zeros((48, frame.planes[3].line_size), np.uint8)
                rows[:, :64] = np.arange(252, -4, -4)
                frame.planes[3].update(rows.tobytes())
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("encoder", ["libvpx-vp9", "libvpx"])
def test_transparency_of_vp8_and_vp9_is_decoded(tmp_path: Path, encoder: str) -> None:
    make(tmp_path / "a.webm", encoder, "yuva420p")
    with av.open(str(tmp_path / "a.webm")) as container:
        stream = container.streams.video[0]
        decoder = decoder_for(stream)
        frames = [f for packet in container.demux(stream) for f in decoder.decode(packet if packet.size else None)]
    assert [frame.format.name for frame in frames] == ["yuva420p"] * 3
    assert [frame.pts for frame in frames] == [0, 40, 80]
    alpha = ImageReader(frames[0], tmp_path / "a.webm").read(frames[0])[1]
    assert alpha is not None
    assert np.abs(alpha.astype(int) - np.arange(252, -4, -4)).max() <= 6


def test_other_films_keep_their_decoder(tmp_path: Path) -> None:
    make(tmp_path / "a.webm", "libvpx-vp9", "yuv420p")
    make(tmp_path / "b.mp4", "libx264", "yuv420p")
    for name in ("a.webm", "b.mp4"):
        with av.open(str(tmp_path / name)) as container:
            stream = container.streams.video[0]
            assert decoder_for(stream) is stream.codec_context
