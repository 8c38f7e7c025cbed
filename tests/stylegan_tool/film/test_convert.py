"""Whole films, from one file to the other."""

import os
import resource
import shutil
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stylegan_tool.errors import ComputeError, InputError, OutputError
from stylegan_tool.film.convert import check_target, convert_film
from stylegan_tool.film.look import FilmInfo, look_at, read_film_info
from stylegan_tool.film.making import Together
from stylegan_tool.image_files.picture import Picture
from stylegan_tool.image_files.writing import write_picture
from stylegan_tool.options import FilmOptions
from stylegan_tool.pixels import Image
from tests.films import (
    PATCHES,
    SECOND,
    damage,
    decode,
    draw_patches,
    grey,
    identity,
    make_film,
    noise_images,
    planes,
    real,
    rgb_to_yuv,
    sound_of,
    times_s,
    write_film,
    yuv_to_rgb,
)

# Time -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_a_variable_rate_a_late_start_and_the_last_duration_are_kept(tmp_path: Path, suffix: str) -> None:
    pts = [120, 160, 170, 400, 1000, 1033]
    source = make_film(tmp_path / "in.mkv", [grey(40 * n) for n in range(6)], pts, last_ms=77)
    target = tmp_path / f"out{suffix}"
    report = convert_film(source, target, identity)
    assert report.frames == 6
    assert report.repaired == 0
    assert times_s(target) == [at * SECOND for at in pts]
    last = decode(target)[-1]
    assert last.time_base is not None
    assert last.duration * last.time_base == 77 * SECOND


def test_frames_held_back_by_decoder_and_encoder_come_out_in_order(tmp_path: Path) -> None:
    levels = [16 + 5 * n for n in range(37)]
    source = make_film(tmp_path / "in.mp4", [grey(level) for level in levels], options={"crf": "1", "bf": "3"})
    calls = 0

    def count() -> None:
        nonlocal calls
        calls += 1

    report = convert_film(source, tmp_path / "out.mp4", identity, on_frame=count)
    assert report.frames == calls == 37
    assert times_s(tmp_path / "out.mp4") == times_s(source)
    found = [float(planes(frame)[0].mean()) for frame in decode(tmp_path / "out.mp4")]
    assert np.abs(np.array(found) - levels).max() < 2


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(gaps=st.lists(st.integers(1, 5000), min_size=1, max_size=9), start=st.integers(0, 9000))
def test_any_rising_times_come_out_as_they_went_in(tmp_path: Path, gaps: list[int], start: int) -> None:
    pts = [start + sum(gaps[:n]) for n in range(len(gaps) + 1)]
    source = make_film(tmp_path / "in.mkv", [grey(100, 16, 16) for _ in pts], pts)
    convert_film(source, tmp_path / "out.mp4", identity, overwrite=True)
    assert times_s(tmp_path / "out.mp4") == [at * SECOND for at in pts]


def test_a_broadcast_clock_is_set_to_zero_and_said(tmp_path: Path) -> None:
    source = real("h264_480p_noaudio.ts")
    report = convert_film(source, tmp_path / "out.mp4", identity)
    before, after = times_s(source), times_s(tmp_path / "out.mp4")
    assert after == [at - before[0] for at in before]
    assert not report.has_sound
    assert any("clock starts" in note for note in report.notes)


# Sound, metadata, other streams ---------------------------------------------------------------------------


def test_sound_is_copied_bit_for_bit_at_its_own_times(tmp_path: Path) -> None:
    source = make_film(tmp_path / "in.mp4", [grey(60)] * 13, sound=["aac", "libmp3lame"])
    target = tmp_path / "out.mp4"
    report = convert_film(source, target, identity)
    before, after = sound_of(source), sound_of(target)
    assert len(after) == 2
    assert report.notes == ()
    for old, new in zip(before, after, strict=True):
        assert [data for _, data in new] == [data for _, data in old]
        assert [at for at, _ in new] == pytest.approx([at for at, _ in old], abs=2e-5)
    with av.open(str(target)) as container:
        assert [track.language for track in container.streams.audio] == ["eng", "deu"]
        assert container.metadata["title"] == "Étude"


def test_sound_that_the_container_does_not_take_is_encoded_anew_and_said(tmp_path: Path) -> None:
    source = make_film(tmp_path / "in.mov", [grey(60)] * 13, sound=["pcm_s16le"])
    for suffix, codec in ((".mp4", "aac"), (".webm", "opus")):
        target = tmp_path / f"out{suffix}"
        report = convert_film(source, target, identity)
        assert any("pcm_s16le" in note for note in report.notes)
        with av.open(str(target)) as container:
            assert container.streams.audio[0].codec_context.codec.canonical_name == codec
            heard = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
        assert len(heard) == pytest.approx(24000, abs=2048)
        assert heard.std() == pytest.approx(3000 / 3**0.5 / 32768, rel=0.3)


def test_vorbis_is_not_copied_into_mp4_where_browsers_would_be_silent(tmp_path: Path) -> None:
    report = convert_film(real("webm_vp8_vorbis_720p_1s.webm"), tmp_path / "out.mp4", identity)
    assert report.frames == 24
    assert report.has_sound
    assert any("vorbis" in note and "AAC" in note for note in report.notes)


def test_streams_without_a_place_are_named(tmp_path: Path) -> None:
    report = convert_film(real("two_video_tracks_aac_subs_nasa.mp4"), tmp_path / "out.mkv", identity)
    assert report.frames == 325
    assert any("left out: video track 3 (h264)" in note for note in report.notes)
    assert any("subtitle track 2 (mov_text) has no place in .mkv: now subrip" in note for note in report.notes)


# Colour ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
@pytest.mark.parametrize(
    ("matrix", "full"),
    [
        pytest.param(1, False, id="bt709-limited"),
        pytest.param(6, False, id="bt601-limited"),
        pytest.param(1, True, id="bt709-full"),
    ],
)
def test_colour_patches_go_through_and_the_tags_say_how(tmp_path: Path, matrix: int, full: bool, suffix: str) -> None:
    tags = (matrix, 2 if full else 1, matrix, matrix)
    source = make_film(tmp_path / "in.mp4", [draw_patches(matrix, full)] * 3, tags=tags)
    seen: list[Image] = []
    convert_film(source, tmp_path / f"out{suffix}", lambda image: seen.append(image) or image)  # type: ignore[func-returns-value]
    frame = decode(tmp_path / f"out{suffix}")[1]
    assert (frame.colorspace, frame.color_range) in {tags[:2], (5, tags[1]) if matrix == 6 else tags[:2]}
    for number, wanted in enumerate(PATCHES):
        y, x = number // 3 * 32 + 16, number % 3 * 32 + 16
        assert np.abs(seen[1][y, x].astype(int) - wanted).max() <= 2, "what the stylizer saw"
        yuv = [
            float(plane[y // step - 2 : y // step + 2, x // step - 2 : x // step + 2].mean())
            for plane, step in zip(planes(frame), (1, 2, 2), strict=True)
        ]
        assert np.abs(yuv_to_rgb(yuv, matrix, full) - wanted).max() <= 3, "what was written"


@pytest.mark.parametrize(("height", "matrix"), [(480, 6), (720, 1)])
def test_untagged_films_are_read_as_players_do_and_tagged(tmp_path: Path, height: int, matrix: int) -> None:
    red = rgb_to_yuv((200, 40, 40), matrix, full=False)
    frame = VideoFrame(64, height, "yuv420p")
    for plane, value in zip(frame.planes, red, strict=True):
        plane.update(np.full(plane.buffer_size, round(value), np.uint8).tobytes())
    source = make_film(tmp_path / "in.mp4", [frame])
    seen: list[Image] = []
    convert_film(source, tmp_path / "out.mp4", lambda image: seen.append(image) or image)  # type: ignore[func-returns-value]
    assert np.abs(seen[0][height // 2, 32].astype(int) - (200, 40, 40)).max() <= 3
    assert (decode(tmp_path / "out.mp4")[0].colorspace, decode(tmp_path / "out.mp4")[0].color_range) == (matrix, 1)


def mean_rgb(frame: VideoFrame, matrix: int, full: bool) -> NDArray[np.float64]:
    """Return the mean colour of yuv420p, clipped pixel by pixel as every player does."""
    luma, first, second = (plane.astype(np.float64) for plane in planes(frame))
    chroma = [plane.repeat(2, axis=0).repeat(2, axis=1) for plane in (first, second)]
    rgb: NDArray[np.float64] = yuv_to_rgb([luma, *chroma], matrix, full).clip(0, 255).mean(axis=(1, 2))
    return rgb


@pytest.mark.parametrize(
    ("name", "matrix", "full"), [("h264_bt709_full_range_720p.mp4", 1, True), ("bt601_aac_640x428.mov", 6, False)]
)
def test_real_films_keep_their_mean_colours(tmp_path: Path, name: str, matrix: int, full: bool) -> None:
    target = tmp_path / f"out{Path(name).suffix}"
    convert_film(real(name), target, identity)
    before, after = decode(real(name)), decode(target)
    assert len(before) == len(after)
    for old, new in list(zip(before, after, strict=True))[::10]:
        assert (new.colorspace, new.color_range) == (matrix, 2 if full else 1)
        assert np.abs(mean_rgb(old, matrix, full) - mean_rgb(new, matrix, full)).max() < 0.6


def test_a_stylizer_that_paints_red_gives_a_red_film(tmp_path: Path) -> None:
    source = make_film(tmp_path / "in.mp4", [grey(100)] * 2)
    red = np.zeros((16, 32, 3), np.uint8)
    red[..., 0] = 230
    convert_film(source, tmp_path / "out.mp4", lambda image: red)
    means = [float(plane.mean()) for plane in planes(decode(tmp_path / "out.mp4")[0])]
    assert np.abs(yuv_to_rgb(means, 6, full=False) - (230, 0, 0)).max() <= 3


@pytest.mark.parametrize("count", [1, 2, 5])
def test_hdr_keeps_its_tags_and_ten_bits(tmp_path: Path, count: int, capfd: pytest.CaptureFixture[str]) -> None:
    frame = VideoFrame(64, 64, "yuv420p10le")
    for plane, value in zip(frame.planes, (600, 440, 620), strict=True):
        plane.update(np.full(plane.buffer_size // 2, value, np.uint16).tobytes())
    options = {"x265-params": "log-level=none", "bf": "0"}
    source = make_film(tmp_path / "in.mp4", [frame] * count, encoder="libx265", tags=(9, 1, 9, 18), options=options)
    report = convert_film(source, tmp_path / "out.mp4", identity)
    assert times_s(tmp_path / "out.mp4") == [40 * number * SECOND for number in range(count)]
    out = decode(tmp_path / "out.mp4")[0]
    assert out.format.name == "yuv420p10le"
    assert (out.colorspace, out.color_range, out.color_primaries, out.color_trc) == (9, 1, 9, 18)
    assert np.abs(np.array([plane.mean() for plane in planes(out)]) - (600, 440, 620)).max() <= 4
    assert any("HLG" in note for note in report.notes)
    with pytest.raises(OutputError, match="HDR"):
        convert_film(source, tmp_path / "out.webm", identity, options=FilmOptions(codec="vp9"))
    assert capfd.readouterr().err == ""


# Shape ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flip", [False, True], ids=["", "mirrored"])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rotation_and_reflection_go_into_the_pixels(tmp_path: Path, degrees: int, flip: bool) -> None:
    stored = np.zeros((32, 48, 3), np.uint8)
    stored[:16, :24] = 80
    stored[:16, 24:] = 160
    stored[16:, :24] = 240
    frame = VideoFrame.from_ndarray(stored).reformat(format="yuv420p")

    def prepare(stream: VideoStream) -> None:
        stream.set_display_rotation(degrees, hflip=flip)  # PyAV: counter-clockwise, the mirror after it
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)

    source = make_film(tmp_path / "in.mp4", [frame] * 2, prepare=prepare)
    wanted = np.rot90(stored, degrees // 90)
    wanted = wanted[:, ::-1] if flip else wanted
    info = read_film_info(source)
    assert (info.height, info.width) == wanted.shape[:2]
    convert_film(source, tmp_path / "out.mp4", identity)
    out = decode(tmp_path / "out.mp4")[0]
    assert out.rotation == 0
    shown = out.to_ndarray(format="rgb24")
    assert shown.shape == wanted.shape
    assert np.abs(shown[4::8, 4::8].astype(int) - wanted[4::8, 4::8]).max() <= 6
    with av.open(str(tmp_path / "out.mp4")) as container:
        pixel_shape = container.streams.video[0].sample_aspect_ratio
    assert pixel_shape == (Fraction(3, 4) if degrees % 180 else Fraction(4, 3))


def test_a_real_rotated_and_mirrored_film_lies_as_its_matrix_says(tmp_path: Path) -> None:
    source = real("rotate_and_reflect.mp4")
    seen: list[Image] = []
    convert_film(source, tmp_path / "out.mp4", lambda image: seen.append(image) or image)  # type: ignore[func-returns-value]
    frame = decode(source)[0]
    frame.colorspace = 1
    stored = frame.to_ndarray(format="rgb24").astype(int)
    entries: Any = frame.side_data
    a, b, _, c, d = np.frombuffer(next(bytes(e) for e in entries if e.type.name == "DISPLAYMATRIX"), np.int32)[:5]
    height, width = stored.shape[:2]
    x, y = 200, 100  # by the definition: (x,y) is shown at (a*x + c*y, b*x + d*y), moved into the picture
    across, down = (a * x + c * y) // 65536, (b * x + d * y) // 65536
    across += (a < 0) * (width - 1) + (c < 0) * (height - 1)
    down += (b < 0) * (width - 1) + (d < 0) * (height - 1)
    assert np.abs(seen[0][down, across].astype(int) - stored[y, x]).max() <= 6


def test_odd_sizes_are_kept_where_players_can_and_else_one_row_is_repeated(tmp_path: Path) -> None:
    write_film(tmp_path / "in.mp4", noise_images(3, 33, 17), frame_rate=Fraction(25))
    report = convert_film(tmp_path / "in.mp4", tmp_path / "out.mp4", identity)
    frame = decode(tmp_path / "out.mp4")[0]
    assert (report.width, report.height) == (frame.width, frame.height) == (34, 18)
    assert frame.format.name == "yuv420p"
    shown = frame.to_ndarray(format="rgb24").astype(int)
    assert np.abs(shown - noise_images(1)[0][0, 0]).max() <= 4
    assert any("33x17: written as 34x18" in note for note in report.notes)
    report = convert_film(tmp_path / "in.mp4", tmp_path / "out.webm", identity)
    frame = decode(tmp_path / "out.webm")[0]
    assert (report.width, report.height) == (frame.width, frame.height) == (33, 17)
    assert frame.format.name == "yuv420p"


@pytest.mark.parametrize("name", ["-dash.mp4", "two words.mp4", "12:30.mp4", "%03d.mp4"])
def test_awkward_names_and_one_pixel(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_film(Path(name), noise_images(2, 1, 1), frame_rate=Fraction(1))
    report = convert_film(Path(name), Path(f"-out {name}"), identity)
    assert (report.frames, report.width, report.height) == (2, 2, 2)


# Several frames at once ----------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 4, 16])
def test_frames_go_to_the_model_together_and_repeated_ones_only_once(tmp_path: Path, most: int) -> None:
    images = noise_images(11)
    source = make_film(tmp_path / "in.mp4", [grey(60 + 10 * n) for n in range(11)], options={"bf": "0"})
    damage(source, [4, 5])
    groups: list[tuple[int, list[str]]] = []

    def together(images: Sequence[Image], names: Sequence[str]) -> list[Image]:
        groups.append((len(images), list(names)))
        return [255 - image for image in images]

    report = convert_film(source, tmp_path / "out.mp4", identity, together=Together(together, most))
    convert_film(source, tmp_path / "one.mp4", lambda image: 255 - image)
    assert report.frames == len(images)
    assert max(size for size, _ in groups) == min(most, 9)
    computed = [name for _, names in groups for name in names]
    assert computed == [f"frame {n + 1}" for n in range(11) if n not in {4, 5}]
    for one, other in zip(decode(tmp_path / "out.mp4"), decode(tmp_path / "one.mp4"), strict=True):
        assert np.array_equal(planes(one)[0], planes(other)[0])


# All or nothing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ComputeError("NaN"), KeyboardInterrupt(), OSError("the model's own")])
def test_errors_of_the_stylizer_pass_and_leave_nothing_behind(tmp_path: Path, error: BaseException) -> None:
    source = make_film(tmp_path / "in.mp4", [grey(60)] * 60, sound=["aac"])
    (tmp_path / "out.mp4").write_bytes(b"the old film")
    count = 0

    def fail_late(image: Image) -> Image:
        nonlocal count
        count += 1
        if count == 55:
            assert len(list(tmp_path.iterdir())) == 3
            raise error
        return image

    with pytest.raises(type(error)) as caught:
        convert_film(source, tmp_path / "out.mp4", fail_late, overwrite=True)
    assert caught.value is error
    assert (tmp_path / "out.mp4").read_bytes() == b"the old film"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def test_a_full_disk_is_an_output_error_and_leaves_nothing_behind(tmp_path: Path) -> None:
    noise: list[Image] = [np.random.default_rng(n).integers(0, 255, (64, 64, 3), np.uint8) for n in range(40)]
    write_film(tmp_path / "in.mkv", noise, frame_rate=Fraction(25))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
    try:
        with pytest.raises(OutputError) as caught:
            convert_film(tmp_path / "in.mkv", tmp_path / "out.mp4", identity)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]


def test_a_stylizer_that_changes_the_size_is_a_bug(tmp_path: Path) -> None:
    source = make_film(tmp_path / "in.mp4", [grey(60)] * 2)
    with pytest.raises(ValueError, match="pictures are"):
        convert_film(source, tmp_path / "out.mp4", lambda image: image[:8])
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    source = make_film(tmp_path / "in.mp4", [grey(60)] * 2)
    target = tmp_path / "out.mp4"
    target.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists") as caught:
        convert_film(source, target, identity)
    assert "--overwrite" in caught.value.hint
    assert target.read_bytes() == b"mine"
    convert_film(source, target, identity, overwrite=True)
    assert len(decode(target)) == 2


@pytest.mark.parametrize(
    ("name", "match", "hint"),
    [
        pytest.param("no/such/out.mp4", "does not exist", "mkdir -p", id="no-folder"),
        pytest.param("x" * 300 + ".mp4", "cannot write", "shorter name", id="no-name"),
        pytest.param("in.mp4/out.mp4", "not a folder", "", id="file-as-folder"),
        pytest.param("out.xyz", "xyz", ".mkv", id="suffix"),
        pytest.param("out", "no film", ".mp4", id="no-suffix"),
        pytest.param("in.mp4", "source itself", "", id="same-file"),
        pytest.param("folder.mp4", "is a folder", "film.mp4", id="folder"),
    ],
)
def test_targets_are_refused_before_any_work(tmp_path: Path, name: str, match: str, hint: str) -> None:
    (tmp_path / "folder.mp4").mkdir()
    source = tmp_path / "in.mp4"
    source.write_bytes(b"not even read")
    with pytest.raises(OutputError, match=match) as caught:
        check_target(source, tmp_path / name, overwrite=True)
    assert hint in caught.value.hint
    assert caught.value.hint


# Bad input ------------------------------------------------------------------------------------------------


def _picture(path: Path) -> None:
    with av.open(str(path), "w", format="image2") as container:
        stream = container.add_stream("png", width=8, height=8)
        assert isinstance(stream, VideoStream)
        stream.codec_context.pix_fmt = "rgb24"
        container.mux([*stream.encode(VideoFrame(8, 8, "rgb24")), *stream.encode(None)])


def _sound_only(path: Path) -> None:
    with av.open(str(path), "w") as container:
        track = container.add_stream("aac", rate=48000)
        frame = AudioFrame.from_ndarray(np.zeros((2, 2048), np.float32), format="fltp", layout="stereo")
        frame.sample_rate = 48000
        container.mux([*track.encode(frame), *track.encode(None)])


@pytest.mark.parametrize(
    ("name", "write"),
    [
        pytest.param("missing.mp4", lambda path: None, id="missing"),
        pytest.param("folder.mp4", lambda path: path.mkdir(), id="folder"),
        pytest.param("empty.mp4", lambda path: path.write_bytes(b""), id="empty"),
        pytest.param("text.mp4", lambda path: path.write_text("a film, honestly"), id="text"),
        pytest.param("text.txt", lambda path: path.write_text("a film, honestly\n" * 20), id="text-as-text"),
        pytest.param("picture.png", _picture, id="picture"),
        pytest.param("sound.mp4", _sound_only, id="sound-only"),
    ],
)
def test_what_is_no_film_is_refused_in_one_line_with_a_hint(
    tmp_path: Path, name: str, write: Callable[[Path], None]
) -> None:
    source = tmp_path / name
    write(source)
    for act in (
        lambda: read_film_info(source),
        lambda: convert_film(source, tmp_path / "out.mkv", identity),
    ):
        with pytest.raises(InputError) as caught:
            act()
        assert str(source) in caught.value.what
        assert "\n" not in caught.value.what
        assert caught.value.hint
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.parametrize(
    "name",
    ["cut_60_percent.mp4", "invalid_bitstream.webm", "malformed_free_box.mp4", "text_named.mp4", "zero_bytes.webm"],
)
def test_broken_real_films_are_refused(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError):
        convert_film(real(f"broken/{name}"), tmp_path / "out.mp4", identity)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("options", [{"bf": "0"}, {"bf": "2"}], ids=["plain", "b-frames"])
@pytest.mark.parametrize("numbers", [[5], [5, 6, 12], [19]], ids=["one", "several", "last"])
def test_damaged_packets_are_counted_and_shown_as_the_frame_before(
    tmp_path: Path, numbers: list[int], options: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    frames = [
        VideoFrame.from_ndarray(rng.integers(0, 255, (48, 64, 3), np.uint8)).reformat(format="yuv420p")
        for _ in range(20)
    ]
    source = make_film(tmp_path / "in.mp4", frames, options=options, sound=["aac"])
    whole = times_s(source)
    damage(source, numbers)
    report = convert_film(source, tmp_path / "out.mp4", identity)
    assert report.repaired >= len(numbers)
    assert report.frames == 20
    assert times_s(tmp_path / "out.mp4") == whole
    assert any("damaged" in note for note in report.notes)
    assert capfd.readouterr() == ("", "")


def test_a_damaged_vp9_packet_costs_one_frame(tmp_path: Path) -> None:
    source = tmp_path / "in.mp4"
    shutil.copyfile(real("vp9_in_mp4.mp4"), source)
    damage(source, [10])
    report = convert_film(source, tmp_path / "out.mp4", identity)
    assert (report.frames, report.repaired) == (120, 1)


def test_a_film_whose_first_packet_is_damaged_starts_with_what_can_be_decoded(tmp_path: Path) -> None:
    source = make_film(tmp_path / "in.mp4", [grey(60)] * 8, options={"g": "4", "bf": "0"})
    report = convert_film(damage(source, [0]), tmp_path / "out.mp4", identity)
    assert report.repaired >= 1
    assert times_s(tmp_path / "out.mp4")[-1] == 280 * SECOND


def test_a_cut_film_is_reported_not_passed_over(tmp_path: Path) -> None:
    noise: list[Image] = [np.random.default_rng(n).integers(0, 255, (48, 64, 3), np.uint8) for n in range(50)]
    write_film(tmp_path / "whole.mp4", noise, frame_rate=Fraction(25))
    data = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])  # the index lies at the front
    report = convert_film(tmp_path / "cut.mp4", tmp_path / "out.mp4", identity)
    assert report.repaired >= 1
    assert any("cut short" in note for note in report.notes)


# Information and making films -----------------------------------------------------------------------------


def test_film_info(tmp_path: Path) -> None:
    source = make_film(tmp_path / "in.mp4", [grey(60)] * 10, sound=["aac"])
    assert read_film_info(source) == FilmInfo(32, 16, Fraction(25), 10, 0.4, 1, "h264")


def test_film_info_where_the_header_says_nothing() -> None:
    info = read_film_info(real("webm_vp9_opus_no_duration.webm"))
    assert (info.frames, info.duration_s, info.codec) == (None, None, "vp9")


def _make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(lambda path: path.unlink(), "what is between them is missing", id="missing"),
        pytest.param(lambda path: path.write_bytes(b""), "is empty", id="empty"),
        pytest.param(_make_pipe, "no ordinary file", id="a pipe"),
    ],
)
def test_numbered_pictures_of_which_one_would_end_the_film_are_refused(
    tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    for number in range(5):
        write_picture(tmp_path / f"{number:02d}.png", Picture(np.full((16, 24, 3), 40 * number, np.uint8)))
    spoil(tmp_path / "02.png")
    with pytest.raises(InputError, match=message):
        look_at(tmp_path / "%02d.png")
