import hashlib
import os
import platform
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.packet import Packet
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from stylegan_tool.errors import OutputError
from stylegan_tool.film.colours import side_data_of
from stylegan_tool.film.decoding import decoder_for
from stylegan_tool.film.encoding import CODECS, choose_encoding
from stylegan_tool.film.facts import Facts, Light, light_of
from stylegan_tool.film.image_reader import ImageReader
from stylegan_tool.film.plan import Colours, Encoding
from stylegan_tool.film.segment_writer import SegmentInfo, SegmentWriter

FACTS = Facts(96, 74, Fraction(25), Fraction(1, 1000), Colours(1, 1, 1, 1))
LIGHT = Light(
    primaries=tuple(
        (Fraction(x), Fraction(y))
        for x, y in [("0.68", "0.32"), ("0.265", "0.69"), ("0.15", "0.06"), ("0.3127", "0.329")]
    ),
    luminance=(Fraction(1, 10000), Fraction(1000)),
    content=(900, 300),
)
ALL = [
    pytest.param("x.mp4", "h264", id="h264"),
    pytest.param("x.mp4", "hevc", id="hevc"),
    pytest.param("x.mp4", "av1", id="av1"),
    pytest.param("x.webm", "vp9", id="vp9"),
    pytest.param("x.mov", "prores", id="prores"),
    pytest.param("x.mkv", "ffv1", id="ffv1"),
]


def encoding_of(name: str, codec: str | None = None, **facts: Any) -> Encoding:
    return choose_encoding(replace(FACTS, **facts), Path(name), codec=codec)[0]


def moving(encoding: Encoding, count: int) -> list[NDArray[Any]]:
    """Return smooth pictures that move to the right while their brightness changes."""
    y, x = np.mgrid[: encoding.height, : encoding.width]
    kind: Any = np.uint16 if encoding.is_deep else np.uint8
    pictures = []
    for n in range(count):
        waves = np.stack([np.sin((x - 3 * n) / 9), np.cos(y / 7 + n / 2), np.sin((x + y) / 15)], axis=-1)
        pictures.append(np.rint((0.5 + 0.35 * waves) * np.iinfo(kind).max).astype(kind))
    return pictures


def write(path: Path, encoding: Encoding, images: list[NDArray[Any]], alpha: NDArray[Any] | None = None) -> SegmentInfo:
    with SegmentWriter(path, encoding) as writer:
        for image in images:
            writer.write(image, alpha)
    return writer.close()


def packets_of(path: Path) -> list["Packet[Any]"]:
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


def decode(path: Path) -> list[VideoFrame]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder = decoder_for(stream)
        frames: list[VideoFrame] = []
        for packet in container.demux(stream):
            frames += decoder.decode(packet if packet.size else None)
    return frames


@pytest.mark.parametrize(("name", "codec"), ALL)
@pytest.mark.parametrize("count", [1, 2, 12])
def test_a_segment_holds_every_frame_in_its_order(tmp_path: Path, name: str, codec: str, count: int) -> None:
    encoding = encoding_of(name, codec)
    images = moving(encoding, count)
    info = write(tmp_path / "s.mkv", encoding, images)
    assert info.frames == count
    packets = packets_of(tmp_path / "s.mkv")
    order = np.argsort(np.argsort([packet.pts or 0 for packet in packets]))
    assert len(packets) == len({packet.pts for packet in packets}) == count
    assert packets[0].is_keyframe
    assert order[0] == 0
    assert info.delay == max(place - number for place, number in enumerate(order))
    shown = decode(tmp_path / "s.mkv")
    assert len(shown) == count
    assert (shown[0].color_primaries, shown[0].color_trc) == (1, 1)
    reader = ImageReader(shown[0], tmp_path / "s.mkv")
    for number, frame in enumerate(shown):
        picture = reader.read(frame)[0]
        share = picture / np.iinfo(picture.dtype).max
        errors = [np.abs(share - image / np.iinfo(image.dtype).max).mean() for image in images]
        assert int(np.argmin(errors)) == number
        assert min(errors) < 0.02


@pytest.mark.parametrize(("name", "codec"), ALL)
def test_all_segments_of_an_encoding_have_the_same_extradata(tmp_path: Path, name: str, codec: str) -> None:
    encoding = encoding_of(name, codec)
    heads = []
    for number, images in enumerate([moving(encoding, 5), [np.full((74, 96, 3), 200, np.uint8)] * 2]):
        write(tmp_path / f"{number}.mkv", encoding, images)
        with av.open(str(tmp_path / f"{number}.mkv")) as container:
            heads.append(container.streams.video[0].codec_context.extradata)
    assert heads[0] == heads[1]


def test_the_number_of_cores_changes_nothing(tmp_path: Path) -> None:
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores, and a system on which they can be taken away")
    digests = []
    for cores in (1, len(os.sched_getaffinity(0))):
        folder = tmp_path / str(cores)
        folder.mkdir()
        script = (
            f"import os; os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:{cores}]))\n"
            f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
            "from test_segment_writer import *\n"
            "for name, codec in [case.values for case in ALL]:\n"
            "    e = encoding_of(name, codec, width=320, height=180)\n"
            f"    write(Path({str(folder)!r}) / codec, e, moving(e, 20))"
        )
        subprocess.run([sys.executable, "-c", script], check=True)
        digests.append(
            {path.name: hashlib.sha256(b"".join(map(bytes, packets_of(path)))).hexdigest() for path in folder.iterdir()}
        )
    assert len(digests[0]) == len(ALL)
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    ("name", "codec"), [("x.mov", "prores"), ("x.webm", "vp9"), ("x.mkv", "ffv1"), ("x.png", None)]
)
def test_transparency_survives(tmp_path: Path, name: str, codec: str | None) -> None:
    encoding = encoding_of("%03d.png" if name == "x.png" else name, codec, has_alpha=True)
    assert encoding.has_alpha
    kind: Any = np.uint16 if encoding.is_deep else np.uint8
    alpha = np.linspace(0, np.iinfo(kind).max, 96)[None].repeat(74, 0).astype(kind)
    write(tmp_path / "s.mkv", encoding, moving(encoding, 4), alpha)
    frames = decode(tmp_path / "s.mkv")
    reader = ImageReader(frames[0], tmp_path / "s.mkv")
    assert reader.has_alpha
    for frame in frames:
        seen = reader.read(frame)[1]
        assert seen is not None
        error = np.abs(seen / np.iinfo(seen.dtype).max - alpha / np.iinfo(kind).max)
        assert error.max() * 255 < (6 if codec == "vp9" else 1)


def test_odd_sizes_are_padded_by_their_last_column_and_row(tmp_path: Path) -> None:
    encoding = encoding_of("x.mp4", width=95, height=73)
    image = moving(encoding, 1)[0]
    write(tmp_path / "s.mkv", encoding, [image])
    frame = decode(tmp_path / "s.mkv")[0]
    assert (frame.width, frame.height) == (96, 74)
    shown = ImageReader(frame, tmp_path / "s.mkv").read(frame)[0].astype(int)
    assert np.abs(shown[:73, 95] - image[:, 94]).mean() < 6
    assert np.abs(shown[73, :95] - image[72]).mean() < 6


@pytest.mark.parametrize("codec", ["hevc", "av1"])
@pytest.mark.parametrize("transfer", [16, 18], ids=["PQ", "HLG"])
def test_hdr_keeps_its_tags_bits_and_light(
    tmp_path: Path, codec: str, transfer: int, capfd: pytest.CaptureFixture[str]
) -> None:
    encoding = encoding_of("x.mp4", codec, colours=Colours(9, 1, 9, transfer), bits=10, light=LIGHT)
    assert encoding.is_deep
    write(tmp_path / "s.mkv", encoding, moving(encoding, 3))
    frame = decode(tmp_path / "s.mkv")[0]
    assert frame.format.name == "yuv420p10le"
    assert (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc) == (9, 1, 9, transfer)
    light = light_of(frame)
    assert light is not None
    assert light.content == LIGHT.content
    assert light.primaries is not None
    assert light.luminance is not None
    assert LIGHT.primaries is not None
    assert LIGHT.luminance is not None
    assert np.abs(np.array(light.primaries, float) - np.array(LIGHT.primaries, float)).max() < 1e-4
    assert np.abs(np.array(light.luminance, float) - np.array(LIGHT.luminance, float)).max() < 1e-3
    assert capfd.readouterr().err == ""


def test_ten_bits_in_ten_bits_out(tmp_path: Path) -> None:
    """A slow ramp that 8 bits would cut into steps."""
    encoding = encoding_of("x.mkv", "ffv1", bits=10)
    levels = np.arange(96)[None].repeat(74, 0) + 400
    image = np.rint(np.stack([levels] * 3, -1) / 1023 * 65535).astype(np.uint16)
    write(tmp_path / "s.mkv", encoding, [image])
    frame = decode(tmp_path / "s.mkv")[0]
    assert np.array_equal(ImageReader(frame, tmp_path / "s.mkv").read(frame)[0], image)
    encoding = encoding_of("x.mp4", "hevc", bits=10)
    write(tmp_path / "s.mkv", encoding, [image])
    frame = decode(tmp_path / "s.mkv")[0]
    shown = ImageReader(frame, tmp_path / "s.mkv").read(frame)[0].astype(int)
    assert len(np.unique(shown[37, 8:-8, 1])) > 60


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 3), (17, 16)])
@pytest.mark.parametrize("name", ["x.mp4", "x.webm", "x.mov", "x.gif"])
@pytest.mark.parametrize("clear", [False, True], ids=["", "alpha"])
def test_the_smallest_pictures(tmp_path: Path, name: str, size: tuple[int, int], clear: bool) -> None:
    encoding = encoding_of(name, width=size[0], height=size[1], has_alpha=clear)
    write(tmp_path / "s.mkv", encoding, moving(encoding, 3))
    frames = decode(tmp_path / "s.mkv")
    assert [(frame.width, frame.height) for frame in frames] == [(encoding.padded_width, encoding.padded_height)] * 3
    reader = ImageReader(frames[0], tmp_path / "s.mkv")
    assert reader.read(frames[2])[0].shape == (reader.height, reader.width, 3)


def test_an_encoder_that_fails_is_not_blamed_on_the_disk(tmp_path: Path) -> None:
    encoding = replace(encoding_of("x.mp4", "hevc"), width=8, height=8, padded_width=8, padded_height=8)
    with pytest.raises(OutputError, match="libx265 failed") as caught:
        SegmentWriter(tmp_path / "s.mkv", encoding)
    assert "--codec" in caught.value.hint


def test_fast_films_keep_every_frame_apart(tmp_path: Path) -> None:
    encoding = encoding_of("x.mp4", frame_rate=Fraction(5000))
    write(tmp_path / "s.mkv", encoding, moving(encoding, 30))
    times = [packet.pts for packet in packets_of(tmp_path / "s.mkv")]
    assert len(set(times)) == 30


def test_an_empty_segment_is_a_file_without_frames(tmp_path: Path) -> None:
    assert write(tmp_path / "s.mkv", encoding_of("x.mp4"), []) == SegmentInfo(0, 0)


def test_the_wrong_picture_is_a_bug_and_so_is_writing_after_the_end(tmp_path: Path) -> None:
    encoding = encoding_of("x.mp4")
    with SegmentWriter(tmp_path / "s.mkv", encoding) as writer:
        with pytest.raises(ValueError, match="pictures are"):
            writer.write(np.zeros((74, 95, 3), np.uint8))
        with pytest.raises(ValueError, match="pictures are"):
            writer.write(np.zeros((74, 96, 3), np.float32))  # type: ignore[arg-type]
        writer.write(np.zeros((74, 96, 3), np.uint8))
    with pytest.raises(ValueError, match="closed"):
        writer.write(np.zeros((74, 96, 3), np.uint8))


def test_no_place_for_the_file_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        SegmentWriter(tmp_path / "none" / "s.mkv", encoding_of("x.mp4"))


def test_a_full_disk_is_an_output_error(tmp_path: Path) -> None:
    """In a process of its own, which may write 60 kB to a file and no more."""
    script = (
        f"import resource, signal, sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_segment_writer import *\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n"
        "e = encoding_of('x.mkv', 'ffv1')\n"
        "noise = list(np.random.default_rng(0).integers(0, 256, (30, 74, 96, 3), np.uint8))\n"
        f"try:\n    write(Path({str(tmp_path / 's.mkv')!r}), e, noise)\n"
        "except OutputError as error:\n    print(error)\n"
    )
    told = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert ": File too large" in told.stdout
    assert "df -h" in told.stdout
    assert told.stderr == ""


@pytest.mark.parametrize(("name", "codec"), ALL)
def test_what_fails_while_writing_is_what_is_told(
    tmp_path: Path, name: str, codec: str, capfd: pytest.CaptureFixture[str]
) -> None:
    encoding = encoding_of(name, codec)

    def fail() -> None:
        with SegmentWriter(tmp_path / "s.mkv", encoding) as writer:
            for image in moving(encoding, 3):
                writer.write(image)
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        fail()
    assert capfd.readouterr().err == ""


def test_side_data_is_none_where_there_is_none() -> None:
    frame = VideoFrame(16, 16, "yuv420p")
    assert side_data_of(frame, "DISPLAYMATRIX") is None
    assert light_of(frame) is None


ENCODE = """
import sys
from pathlib import Path
from fractions import Fraction
import numpy as np
import av, hashlib
from stylegan_tool.film.encoding import choose_encoding
from stylegan_tool.film.facts import Facts
from stylegan_tool.film.plan import Colours
from stylegan_tool.film.segment_writer import SegmentWriter
facts = Facts(96, 64, Fraction(25), Fraction(1, 1000), Colours(6, 1))
noise = np.random.default_rng(0).integers(0, 255, (8, 40, 3), np.uint8).repeat(8, 0).repeat(8, 1)
for codec in sys.argv[2:]:
    path = Path(sys.argv[1]) / f"{codec}.mkv"
    with SegmentWriter(path, choose_encoding(facts, path, codec=codec)[0]) as writer:
        for n in range(14):
            writer.write(np.ascontiguousarray(noise[:, 3 * n : 3 * n + 96]))
    with av.open(str(path)) as container:
        print(codec, hashlib.sha256(b"".join(bytes(packet) for packet in container.demux(video=0))).hexdigest())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what new memory holds can be chosen with glibc only")
def test_what_is_encoded_depends_on_nothing_but_the_pictures(tmp_path: Path) -> None:
    results = [
        subprocess.run(
            [sys.executable, "-c", ENCODE, tmp_path, *CODECS],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"MALLOC_PERTURB_": fill},
        ).stdout
        for fill in ("0", "1", "170")
    ]
    assert results[0].count("\n") == len(CODECS)
    assert results[0] == results[1] == results[2]
