from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.filter import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

from stylegan_tool.film.deinterlace import Deinterlacer

FILMS = Path(__file__).parents[3].parent / "shared/data/videos"


def bar(place: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return a grey picture of 128x96 with a bright bar of 16 columns from `place` on."""
    image = np.full((96, 128, 3), 60, np.uint8)
    image[:, place : place + 16] = 200
    return image


def make(count: int, *, interlaced: bool) -> list[VideoFrame]:
    """Return frames of a bar that moves 4 columns a field, the upper field first, marked as what they are."""
    graph = Graph()
    source = graph.add_buffer(width=128, height=96, format=VideoFormat("yuv420p"), time_base=Fraction(1, 25))
    mark, sink = graph.add("setfield", "tff" if interlaced else "prog"), graph.add("buffersink")
    source.link_to(mark)
    mark.link_to(sink)
    graph.configure()
    frames = []
    for number in range(count):
        image = bar(8 * number)
        if interlaced:
            image[1::2] = bar(8 * number + 4)[1::2]
        # Chroma is grey, so that it does not matter how it is woven.
        frame = VideoFrame.from_ndarray(image).reformat(format="yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, 25)
        graph.vpush(frame)
        frames.append(graph.vpull())
    return frames


def run(frames: list[VideoFrame]) -> list[VideoFrame]:
    filter_ = Deinterlacer()
    return [*(out for frame in frames for out in filter_.push(frame)), *filter_.finish()]


def comb(frame: VideoFrame) -> float:
    """How much neighbouring lines differ, in 8-bit steps."""
    luma = frame.to_ndarray(format="gray").astype(int)[8:-8]
    return float(np.abs(luma[1:-1] - (luma[:-2] + luma[2:]) / 2).mean())


def test_combs_vanish_and_every_frame_keeps_its_time() -> None:
    frames = make(9, interlaced=True)
    assert all(frame.interlaced_frame for frame in frames)
    before = [comb(frame) for frame in frames]
    times = [frame.pts for frame in frames]
    out = run(frames)
    assert [frame.pts for frame in out] == times
    assert {frame.time_base for frame in out} == {frames[0].time_base}
    for number, frame in enumerate(out[1:-1], start=1):
        assert comb(frame) < 0.3 * before[number]
        luma = frame.to_ndarray(format="gray")[48]
        assert abs(int(np.argmax(luma > 130)) - 8 * number) <= 2, "what the first field shows"


def test_whole_frames_pass_unchanged_also_among_interlaced_ones() -> None:
    woven = make(6, interlaced=True)
    whole = make(6, interlaced=False)
    mixed = [*woven[:3], *whole[:3], *woven[3:], *whole[3:]]
    for number, frame in enumerate(mixed):
        frame.pts = 7 * number + 3
    out = run(mixed)
    assert [frame.pts for frame in out] == [7 * number + 3 for number in range(12)]
    for number in (4, 10, 11):
        assert np.array_equal(out[number].to_ndarray(), mixed[number].to_ndarray())


def test_times_of_any_kind_come_through() -> None:
    frames = make(4, interlaced=True)
    for frame, pts in zip(frames, [None, 5, 5, 900], strict=True):
        frame.pts = pts
    assert [frame.pts for frame in run(frames)] == [None, 5, 5, 900]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_frames(count: int) -> None:
    assert len(run(make(2, interlaced=True)[:count])) == count


def test_another_size_begins_anew() -> None:
    frames = make(3, interlaced=True)
    others = [frame.reformat(width=64, height=48) for frame in frames]
    out = run([*frames, *others])
    assert [(frame.width, frame.height) for frame in out] == [(128, 96)] * 3 + [(64, 48)] * 3


def test_colours_and_depth_stay() -> None:
    frames = [frame.reformat(format="yuv422p10le") for frame in make(3, interlaced=True)]
    for frame in frames:
        frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc = 9, 1, 9, 18
    for frame in run(frames):
        assert frame.format.name == "yuv422p10le"
        assert (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc) == (9, 1, 9, 18)


def test_a_real_interlaced_film() -> None:
    path = FILMS / "interlaced_tff_576i_aac.mp4"
    if not path.exists():
        pytest.skip(f"the shared films are not here: {path}")
    with av.open(str(path)) as container:
        frames = [frame for frame, _ in zip(container.decode(video=0), range(10), strict=False)]
    before = comb(frames[8])
    out = run(frames)
    assert [frame.pts for frame in out] == [frame.pts for frame in frames]
    assert comb(out[8]) < 0.8 * before
