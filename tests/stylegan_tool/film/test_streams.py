"""What a film holds beside its pictures."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame
from av.stream import Disposition
from av.subtitles.subtitle import SubtitleSet
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from stylegan_tool.film import streams
from stylegan_tool.film.convert import FilmReport, convert_film
from stylegan_tool.film.source import open_film
from stylegan_tool.film.tracks import CopiedSound
from stylegan_tool.options import FilmOptions
from tests.films import SECOND, grey, identity, make_film, sound_of, times_s

HEADER = (
    b"[Script Info]\r\nScriptType: v4.00+\r\n\r\n[V4+ Styles]\r\nFormat: Name, Fontname, Fontsize, PrimaryColour, "
    b"SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, BorderStyle, Outline, Shadow, Alignment\r\n"
    b"Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,1,1,0,2\r\n\r\n[Events]\r\n"
    b"Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\r\n"
)
LINES = [(200, 900, "Hello"), (1100, 2600, "and good-bye")]  # ms
CHAPTERS = [(0, 1000, "One"), (1000, 3000, "Two")]
FONT = bytes(range(256))
SUFFIXES = [".mp4", ".mov", ".mkv", ".webm"]


def tone(time_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a tone that rises with time, so that it says when it is heard."""
    return np.asarray(0.3 * np.sin(2 * np.pi * (150 * time_s + 50 * time_s**2)) * (time_s >= 0))


def picture() -> bytes:
    packets: list[Any] = []
    context = av.CodecContext.create("png", "w")
    context.width, context.height, context.pix_fmt, context.time_base = 8, 8, "rgb24", SECOND
    frame = VideoFrame.from_ndarray(np.full((8, 8, 3), 77, np.uint8))
    frame.pts = 0
    packets += context.encode(frame)
    return bytes(packets[0])


def sing(track: Any, begin_s: float, end_s: float) -> list[Any]:
    """Return the packets of the tone as it is heard between two times."""
    context = track.codec_context
    rate, channels = context.sample_rate, context.layout.nb_channels
    packets: list[Any] = []
    for begin in range(round(begin_s * rate), round(end_s * rate), rate):
        clock = np.arange(begin, min(begin + rate, round(end_s * rate)))
        samples = np.repeat(np.rint(32767 * tone(clock / rate)).astype(np.int16), channels)[None]
        frame = AudioFrame.from_ndarray(samples, format="s16", layout=context.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = rate, begin, Fraction(1, rate)
        packets += track.encode(frame)
    return packets


def make_rich(
    path: Path,
    *,
    sound: Sequence[str] = (),
    texts: Sequence[str] = (),
    parts_s: Sequence[tuple[float, float]] = ((0, 3),),
    rate: int = 48000,
    layout: str = "mono",
    extras: bool = False,
    frame_ms: int = 100,
    seconds: int = 3,
    lines: Sequence[tuple[int, int, str]] = LINES,
) -> Path:
    """Write a film of small grey pictures with sound, subtitles and, as `extras`, all that the container takes."""
    with av.open(f"file:{path}", "w") as container:
        video: Any = container.add_stream("libvpx" if path.suffix == ".webm" else "libx264", rate=1000 // frame_ms)
        video.width, video.height, video.time_base = 32, 16, SECOND
        video.codec_context.time_base = SECOND
        tracks: list[Any] = [container.add_stream(codec, rate=rate, layout=layout) for codec in sound]
        for track, language in zip(tracks, ("deu", "eng"), strict=False):
            track.metadata.update({"language": language, "title": f"sound in {language}"})
        texted: list[Any] = [container.add_stream(codec) for codec in texts]
        for track in texted:
            track.time_base, track.codec_context.subtitle_header = SECOND, HEADER
            track.metadata.update({"language": "fra", "title": track.name})
        if extras:
            container.metadata.update({"title": "Étude", "comment": "a test", "encoder": "somebody's"})
            container.set_chapters(
                [
                    {"id": number, "start": start, "end": end, "time_base": SECOND, "metadata": {"title": title}}
                    for number, (start, end, title) in enumerate(CHAPTERS, start=1)
                ]
            )
            if path.suffix == ".mkv":
                container.add_attachment("font.ttf", "font/ttf", FONT)
                container.add_attachment("cover.png", "image/png", picture())
        container.start_encoding()
        packets: list[Any] = []
        for track in tracks:
            packets += [packet for begin_s, end_s in parts_s for packet in sing(track, begin_s, end_s)]
            packets += track.encode(None)
        for track in texted:
            for begin, end, line in lines:
                shown = SubtitleSet.create(b"0,0,Default,,0,0,0,," + line.encode(), 0, end - begin)
                packet = track.codec_context.encode_subtitle(shown)
                packet.pts = packet.dts = begin
                packet.duration, packet.time_base, packet.stream = end - begin, SECOND, track
                packets.append(packet)
        for pts in range(0, 1000 * seconds, frame_ms):
            frame = grey(100)
            frame.pts, frame.time_base = pts, SECOND
            packets += video.encode(frame)
        packets += video.encode(None)
        container.mux(sorted(packets, key=lambda packet: (packet.dts or 0) * packet.time_base))
    return path


def convert(source: Path, target: Path, start: str | None = None, end: str | None = None) -> FilmReport:
    options = FilmOptions(start_s=Fraction(start) if start else None, end_s=Fraction(end) if end else None)
    return convert_film(source, target, identity, options=options)


def lines_of(path: Path) -> list[list[tuple[int, int, str]]]:
    """Return begin and end in ms and the text of all subtitles."""
    with av.open(str(path)) as container:
        found: dict[int, list[tuple[int, int, str]]] = {track.index: [] for track in container.streams.subtitles}
        for packet in container.demux(container.streams.subtitles):
            shown = packet.stream.codec_context.decode2(packet) if packet.size else None
            if shown is not None and packet.pts is not None:
                begin, length = (round(1000 * ticks * packet.time_base) for ticks in (packet.pts, packet.duration or 0))
                text = "".join(rect.dialogue.decode() for rect in shown if hasattr(rect, "dialogue"))
                found[packet.stream_index].append((begin, begin + length, text))
    return list(found.values())


def chapters_of(path: Path) -> list[tuple[int, int, str]]:
    with av.open(str(path)) as container:
        return [
            (round(1000 * each["start"] * tick), round(1000 * each["end"] * tick), each["metadata"]["title"])
            for each in container.chapters()
            if (tick := each["time_base"]) is not None
        ]


def heard(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return when each sample of the first sound track is heard, in s, and the samples of its first channel."""
    clock, samples = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            # Not to_ndarray: PyAV's reads past the end of eight planes.
            kind = {"s16": np.int16, "s32": np.int32}.get(frame.format.packed.name, np.float32)
            step = 1 if frame.format.is_planar else frame.layout.nb_channels
            channel = np.frombuffer(bytes(frame.planes[0]), kind)[: frame.samples * step : step]
            samples.append(channel / (1 if kind is np.float32 else np.iinfo(kind).max))  # type: ignore[type-var]
            assert frame.pts is not None
            assert frame.time_base is not None
            clock.append(float(frame.pts * frame.time_base) + np.arange(frame.samples) / frame.sample_rate)
    return np.concatenate(clock), np.concatenate(samples)


def lateness_s(path: Path, begin_s: float, end_s: float, start_s: float = 0) -> float:
    """Return by how much the tone comes late in the film, whose start is the source's `start_s`."""
    clock, samples = heard(path)
    there = (clock >= begin_s) & (clock < end_s)
    assert there.sum() >= (end_s - begin_s) * 8000 * 0.9
    late = np.arange(-0.004, 0.004, 0.0001)
    return float(late[np.argmax([np.dot(tone(clock[there] + start_s - by), samples[there]) for by in late])])


# Everything at once ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_rich_matroska_comes_out_as_rich_as_the_container_allows(tmp_path: Path, suffix: str) -> None:
    source = make_rich(tmp_path / "in.mkv", sound=["aac", "ac3"], texts=["srt", "ass", "webvtt"], extras=True)
    target = tmp_path / f"out{suffix}"
    report = convert(source, target)
    text = {".mkv": ["subrip", "ass", "webvtt"], ".webm": ["webvtt"] * 3}.get(suffix, ["mov_text"] * 3)
    with av.open(str(target)) as container:
        assert [track.codec_context.codec.canonical_name for track in container.streams.audio] == (
            ["opus"] * 2 if suffix == ".webm" else ["aac", "ac3"]
        )
        assert [track.codec_context.codec.canonical_name for track in container.streams.subtitles] == text
        german = "ger" if suffix == ".mov" else "deu"  # QuickTime's name for it
        assert [track.language for track in container.streams.audio] == [german, "eng"]
        titles = [track.metadata.get("title", track.metadata.get("name")) for track in container.streams.audio]
        assert titles == ["sound in deu", "sound in eng"]
        assert (container.metadata["title"], container.metadata.get("comment", container.metadata.get("COMMENT"))) == (
            "Étude",
            "a test",
        )
        assert "somebody's" not in container.metadata.values()
        fonts = [each.data for each in container.streams.attachments]
        covers = [track for track in container.streams.video if track.disposition & Disposition.attached_pic]
    assert chapters_of(target) == CHAPTERS
    assert lines_of(target) == [LINES] * 3
    assert fonts == ([FONT] if suffix == ".mkv" else [])
    assert len(covers) == (suffix in {".mkv", ".mp4"})
    gone = {".mkv": "", ".mp4": "attached file 6 (font.ttf)"}.get(
        suffix, "attached file 6 (font.ttf), cover picture 7 (png)"
    )
    converted = {".mkv": 0, ".webm": 4}.get(suffix, 3)
    assert sum("has no place" in note for note in report.notes) == converted
    assert [note for note in report.notes if note.startswith("left out")] == (
        [f"left out, since {suffix} takes none: {gone}; most has a place in .mkv"] if gone else []
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_subtitles_and_chapters_of_an_mp4_are_kept(tmp_path: Path, suffix: str) -> None:
    source = make_rich(tmp_path / "in.mp4", texts=["mov_text"], extras=True)
    report = convert(source, tmp_path / f"out{suffix}")
    assert lines_of(tmp_path / f"out{suffix}") == [LINES]
    assert chapters_of(tmp_path / f"out{suffix}") == CHAPTERS
    name = {".mkv": "subrip", ".webm": "webvtt"}.get(suffix)
    assert list(report.notes) == ([f"subtitle track 1 (mov_text) has no place in {suffix}: now {name}"] if name else [])


def test_a_cover_goes_from_matroska_to_mp4_and_back(tmp_path: Path) -> None:
    source = make_rich(tmp_path / "in.mkv", extras=True)
    convert(source, tmp_path / "out.mp4")
    convert(tmp_path / "out.mp4", tmp_path / "out.mkv")
    for name in ("out.mp4", "out.mkv"):
        with av.open(str(tmp_path / name)) as container:
            cover = next(track for track in container.streams.video if track.disposition & Disposition.attached_pic)
            assert bytes(next(iter(container.demux(cover)))) == picture()


def test_pictures_alone_name_all_that_they_leave_out(tmp_path: Path) -> None:
    source = make_rich(tmp_path / "in.mkv", sound=["aac"], extras=True)
    report = convert(source, tmp_path / "out.gif", "0", "0.3")
    assert report.notes[-1] == (
        "left out, since .gif takes none: audio track 1 (aac), attached file 2 (font.ttf), cover picture 3 (png), "
        "chapters; most has a place in .mkv"
    )


def test_what_describes_the_old_file_is_left_and_what_phones_write_is_kept(tmp_path: Path) -> None:
    source = tmp_path / "in.mov"
    words = {"com.apple.quicktime.make": "Apple", "creation_time": "2021-05-25T16:21:51.000000Z"}
    with av.open(str(source), "w", container_options={"movflags": "use_metadata_tags"}) as container:
        video: Any = container.add_stream("libx264", rate=25, width=32, height=16)
        container.metadata.update({**words, "timecode": "01:00:00:24"})
        container.mux([*video.encode(grey(100)), *video.encode(None)])
    for suffix in SUFFIXES:
        report = convert(source, tmp_path / f"out{suffix}")
        assert report.notes == ()
        with av.open(str(tmp_path / f"out{suffix}")) as container:
            found = {key.lower(): value for key, value in container.metadata.items()}
            labels = {key.lower(): value for key, value in container.streams.video[0].metadata.items()}
        assert {key: found.get(key) for key in words} == words
        assert labels["timecode"] == "01:00:00:24"


def test_words_that_a_container_does_not_take_are_named(tmp_path: Path) -> None:
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as container:
        video: Any = container.add_stream("libx264", rate=25, width=32, height=16)
        container.metadata.update({"title": "Étude", "DIRECTOR": "me"})
        container.mux([*video.encode(grey(100)), *video.encode(None)])
    report = convert(source, tmp_path / "out.mp4")
    assert report.notes == ("left out, since .mp4 takes none: 'DIRECTOR'; most has a place in .mkv",)


# Sound at its time ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("name", "codec"), [("in.mp4", "aac"), ("in.mkv", "aac"), ("in.webm", "libopus")])
def test_uncut_sound_is_the_same_packets_at_the_same_times_and_encoders_delays_survive(
    tmp_path: Path, name: str, codec: str, suffix: str
) -> None:
    source = make_rich(tmp_path / name, sound=[codec], seconds=1, parts_s=[(0, 1.013)])
    target = tmp_path / f"out{suffix}"
    report = convert(source, target)
    assert times_s(target)[0] == 0
    assert lateness_s(target, 0.1, 0.9) == pytest.approx(0, abs=0.0012)
    if (codec, suffix) in {("aac", ".webm"), ("libopus", ".mov")}:
        assert len(report.notes) == 1
        return
    (before,), (after,) = sound_of(source), sound_of(target)
    assert [data for _, data in after] == [data for _, data in before]
    assert [at for at, _ in after] == pytest.approx([at for at, _ in before], abs=0.00101)
    if name == f"in{suffix}":
        assert [at for at, _ in after] == pytest.approx([at for at, _ in before], abs=1e-9)
        assert np.array_equal(heard(target)[1], heard(source)[1])
    assert not report.notes


def test_sound_out_of_matroska_is_put_end_to_end_again(tmp_path: Path) -> None:
    source = make_rich(tmp_path / "in.mkv", sound=["aac"], seconds=1, parts_s=[(0, 1)])
    convert(source, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        stamps = [packet.pts for packet in container.demux(audio=0) if packet.pts is not None]
    assert set(np.diff(stamps)) == {1024}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("name", "codec"), [("in.mp4", "aac"), ("in.mkv", "flac"), ("in.webm", "libopus")])
def test_a_window_cuts_sound_subtitles_and_chapters_and_moves_them_alike(
    tmp_path: Path, name: str, codec: str, suffix: str
) -> None:
    texts = {"in.mp4": "mov_text", "in.mkv": "srt", "in.webm": "webvtt"}
    source = make_rich(tmp_path / name, sound=[codec], texts=[texts[name]], extras=True)
    target = tmp_path / f"out{suffix}"
    convert(source, target, "0.7", "2.03")
    assert times_s(target)[0] == pytest.approx(0)
    assert lateness_s(target, 0.05, 1.25, 0.7) == pytest.approx(0, abs=0.0012)
    clock = heard(target)[0]
    assert -0.001 < clock[0] < 0.1
    assert 1.3 < clock[-1] < 1.33 + 0.1
    assert lines_of(target) == [[(0, 200, "Hello"), (400, 1330, "and good-bye")]]
    assert chapters_of(target) == [(0, 300, "One"), (300, 1330, "Two")]


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_sound_encoded_anew_ends_with_the_window_to_the_sample(tmp_path: Path, suffix: str) -> None:
    source = make_rich(tmp_path / "in.mkv", sound=["pcm_s16le"])
    convert(source, tmp_path / f"out{suffix}", "0.7", "2.03")
    clock, samples = heard(tmp_path / f"out{suffix}")
    assert clock[0] == pytest.approx(0, abs=0.001)
    assert np.abs(samples[clock > 1.335]).max(initial=0) < 0.02


@pytest.mark.parametrize(
    ("name", "codec", "text"), [("in.mkv", "mp2", "srt"), ("in.mp4", "mp2", "mov_text"), ("in.ts", "mp2", None)]
)
def test_a_window_late_in_a_long_film_is_sought_and_in_step(
    tmp_path: Path, name: str, codec: str, text: str | None
) -> None:
    source = make_rich(
        tmp_path / name,
        sound=[codec],
        texts=[text] if text else [],
        parts_s=[(0, 160)],
        rate=16000,
        frame_ms=1000,
        seconds=160,
        lines=[(100_000, 138_000, "long"), (139_000, 141_000, "short")],
    )
    target = tmp_path / "out.mp4"
    convert(source, target, "137", "142")
    (before,), (after,) = sound_of(source), sound_of(target)
    # --start counts from where the film begins, be it sound.
    shift = 137 + max(0.0, min(float(times_s(source)[0]), before[0][0]))
    first = [data for _, data in before].index(after[0][1])
    assert [data for _, data in after] == [data for _, data in before][first : first + len(after)]
    assert [at for at, _ in after] == pytest.approx([at - shift for at, _ in before[first:]][: len(after)], abs=0.0011)
    assert after[0][0] < 0.01
    assert 4.9 < after[-1][0] < 5
    if text:
        assert lines_of(target) == [[(0, 1000, "long"), (2000, 4000, "short")]]


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_s24le"])
def test_uncompressed_sound_stays_as_it_is(tmp_path: Path, codec: str, suffix: str) -> None:
    source = make_rich(tmp_path / "in.mkv", sound=[codec], rate=44100, seconds=1, parts_s=[(0, 1.2)])
    report = convert(source, tmp_path / f"out{suffix}")
    assert not report.notes
    (before,), (after,) = sound_of(source), sound_of(tmp_path / f"out{suffix}")
    assert b"".join(data for _, data in after) == b"".join(data for _, data in before)


def test_late_and_long_sound_keeps_its_times(tmp_path: Path) -> None:
    source = make_rich(tmp_path / "in.mkv", sound=["pcm_s16le"], seconds=1, parts_s=[(0.5, 2.5)])
    for suffix in SUFFIXES:
        convert(source, tmp_path / f"out{suffix}")
        clock, _ = heard(tmp_path / f"out{suffix}")
        assert clock[0] == pytest.approx(0.5, abs=0.023)  # AAC begins with a packet of silence
        assert clock[-1] == pytest.approx(2.5, abs=0.03)
        assert lateness_s(tmp_path / f"out{suffix}", 0.6, 2.4) == pytest.approx(0, abs=0.0012)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_sound_and_pictures_stay_together_over_a_gap(tmp_path: Path, suffix: str) -> None:
    source = make_rich(tmp_path / "in.mkv", sound=["pcm_s16le"], parts_s=[(0, 1), (1.4, 3)])
    convert(source, tmp_path / f"out{suffix}")
    assert lateness_s(tmp_path / f"out{suffix}", 0.1, 0.9) == pytest.approx(0, abs=0.0012)
    assert lateness_s(tmp_path / f"out{suffix}", 1.5, 2.9) == pytest.approx(0, abs=0.0012)
    clock, samples = heard(tmp_path / f"out{suffix}")
    if suffix in {".mp4", ".webm"}:  # encoded anew: the gap is silence
        assert np.diff(clock).max() < 0.001
    assert np.abs(samples[(clock > 1.1) & (clock < 1.35)]).max(initial=0) < 0.02


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
@pytest.mark.parametrize(
    ("rate", "layout", "channels"),
    [(11127, "mono", 1), (96000, "stereo", 2), (192000, "2.1", 6), (48000, "quad", 6), (44100, "7.1", 8)],
)
def test_any_rate_and_layout_is_encoded(tmp_path: Path, rate: int, layout: str, channels: int, suffix: str) -> None:
    source = make_rich(
        tmp_path / "in.mkv", sound=["pcm_s16le"], rate=rate, layout=layout, seconds=1, parts_s=[(0, 1.2)]
    )
    convert(source, tmp_path / f"out{suffix}")
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        context = container.streams.audio[0].codec_context
        assert context.layout.nb_channels == channels
        wanted = {11127: 12000, 192000: 48000}.get(rate, rate)
        assert context.sample_rate == (48000 if suffix == ".webm" else wanted)
    assert lateness_s(tmp_path / f"out{suffix}", 0.1, 1.1) == pytest.approx(0, abs=0.0012)


# Damage ---------------------------------------------------------------------------------------------------


def test_damaged_sound_is_counted_where_it_is_decoded(tmp_path: Path) -> None:
    source = make_rich(tmp_path / "in.mkv", sound=["flac"])
    with av.open(str(source)) as container:
        broken = [bytes(packet) for packet in container.demux(audio=0) if packet.size][5:7]
    data = source.read_bytes()
    for packet in broken:
        assert data.count(packet) == 1
        data = data.replace(packet, bytes(len(packet)))
    source.write_bytes(data)
    report = convert(source, tmp_path / "out.webm")
    assert report.frames == 30
    assert "damaged places in the sound of in.mkv: 2" in report.notes
    assert report.repaired == 2
    assert lateness_s(tmp_path / "out.webm", 1.5, 2.9) == pytest.approx(0, abs=0.0012)


class Unreadable:
    """A container in which some places cannot be read."""

    def __init__(self, container: Any, failures: int) -> None:
        self._container, self._failures = container, failures

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def demux(self) -> Iterator[Any]:
        for number, packet in enumerate(self._container.demux()):
            if number == 20 and self._failures:
                self._failures -= 1
                raise av.error.InvalidDataError(1, "no such thing")
            yield packet


def test_unreadable_places_do_not_end_the_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_rich(tmp_path / "in.mkv", sound=["aac"])
    real = open_film

    def open_badly(path: Path) -> Any:
        container, video = real(path)
        return Unreadable(container, 2), video

    monkeypatch.setattr(streams, "open_film", open_badly)
    report = convert(source, tmp_path / "out.mp4")
    assert report.frames == 30
    assert "damaged places in the sound of in.mkv: 2" in report.notes
    assert report.repaired == 2
    assert lateness_s(tmp_path / "out.mp4", 2, 2.9) == pytest.approx(0, abs=0.0012)


def test_times_that_go_back_are_moved_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_film(tmp_path / "in.mp4", [grey(60)] * 13, sound=["aac"])
    take = CopiedSound.take
    count = 0

    def go_back(self: CopiedSound, packet: Any) -> Any:
        nonlocal count
        count += 1
        if count == 8:
            packet.pts = packet.dts = packet.pts - 5000
        return take(self, packet)

    monkeypatch.setattr(CopiedSound, "take", go_back)
    convert(source, tmp_path / "out.mp4")
    assert [data for _, data in sound_of(tmp_path / "out.mp4")[0]] == [data for _, data in sound_of(source)[0]]
