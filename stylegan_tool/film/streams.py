"""Carry what a source holds beside its pictures into the finished film.

Sound, subtitles, covers, attached files and data are copied where the new container takes them, sound and subtitles of
text are converted where not, and what is changed or left out is named. Chapters, titles, languages and the timecode go
along. All of it is cut to the window, packet by packet, so that memory does not grow with the film's length.
"""

import io
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Self

import av
import av.error
from av.audio.stream import AudioStream
from av.codec import Codec
from av.codec.codec import Properties
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import AttachmentStream, DataStream, Discard, Disposition, Stream
from av.subtitles.stream import SubtitleStream
from av.video.stream import VideoStream

from stylegan_tool.film.encoders import has_encoder
from stylegan_tool.film.file_errors import source_errors, target_errors, url_of
from stylegan_tool.film.labels import (
    chapters_within,
    film_labels,
    lost_labels,
    shift_timecode,
    timecode_of,
    track_labels,
)
from stylegan_tool.film.packets import MOST_FAILURES, AnyPacket
from stylegan_tool.film.plan import Encoding, Window
from stylegan_tool.film.source import name_stream, open_film
from stylegan_tool.film.tracks import (
    ConvertedText,
    CopiedSound,
    CopiedText,
    RecodedSound,
    Track,
    add_sound,
    can_recode,
)

# FFmpeg also writes Vorbis, PCM and more into MP4, but browsers and QuickTime then stay silent.
_COPIED_SOUND = {
    "mp4": frozenset({"aac", "ac3", "alac", "eac3", "flac", "mp2", "mp3", "opus"}),
    "webm": frozenset({"opus", "vorbis"}),
}
_SOUND = {"webm": ("libopus", "Opus")}  # else AAC
_TEXT = {"mp4": "mov_text", "mov": "mov_text", "matroska": "srt", "webm": "webvtt"}

# FFmpeg writes a header for these, and then nothing, or something else.
_NO_ATTACHMENTS = frozenset({"mp4", "mov", "webm"})
_COVERS = frozenset({"mp4", "matroska"})

_BEFORE_S = 60  # a subtitle that is shown at the start of the window may have begun that long before
_BEHIND_S = 10  # in a file, what is heard may lie that far behind what is seen


def name_others(source: Path) -> str | None:
    """Return the names of all that `source` holds beside its pictures, None if there is nothing.

    Raises:
        InputError: it cannot be read.
    """
    container, video = open_film(source)
    with container:
        names = [_name(stream) for stream in container.streams if stream is not video and not _is_chapter_list(stream)]
        if container.chapters():
            names.append("chapters")
    return ", ".join(names) or None


class OtherStreams:
    """All streams of a source but its pictures, on their way into a container.

    Use: `options` while opening the container, then `announce`, then `mux_until`, then `check` and `notes`.

    Attributes:
        damage: damaged places, known when all is written.
    """

    def __init__(self, source: Path | None, target: Path, encoding: Encoding, window: Window) -> None:
        self._source, self._target = source, target
        self._format = encoding.container
        self._frame_rate = encoding.frame_rate
        self._window = window
        self._notes: list[str] = []
        self._no_place: list[str] = []
        self._left_out: list[str] = []
        self._wanted_labels: dict[str, str] = {}
        self._languages: list[tuple[str, str | None]] = []  # of sound and subtitles, with the track's name
        self._tracks: dict[int, Track] = {}
        self.damage = 0
        self._failures = 0
        self._ahead: AnyPacket | None = None
        self._packets: Iterator[AnyPacket] = iter(())
        self._input: InputContainer | None = None

    def __enter__(self) -> Self:
        if self._source is not None:
            with source_errors(self._source):
                self._input, self._pictures = open_film(self._source)
        return self

    def __exit__(self, *_: object) -> None:
        if self._input is not None:
            self._input.close()

    def options(self) -> dict[str, str]:
        """Return FFmpeg's options for a container that is to hold this."""
        if self._format not in {"mp4", "mov"}:
            # Sound may begin before the pictures, by what its decoder needs; Matroska would move everything instead.
            return {"avoid_negative_ts": "disabled"}
        flags = "+faststart"  # the index first, for playing while loading
        # The words of phones (com.apple.quicktime.make) go only into a list that others do not read titles from.
        of_phones = self._input is not None and any(key.startswith("com.") for key in self._input.metadata)
        if self._format == "mov" or of_phones:
            flags += "+use_metadata_tags"
        # MP4 otherwise rounds late starts to 0.001 s.
        return {"movflags": flags, "movie_timescale": "90000"}

    def announce(self, container: OutputContainer, video: VideoStream) -> None:
        """Add a stream for each that is carried over beside `video`, and write the container's header."""
        self._container = container
        covers: list[AnyPacket] = []
        if self._input is not None:
            self._go_to_start()
            covers = self._add_streams(self._input)
            self._label(self._input, video)
        with target_errors(self._target):
            container.start_encoding()
            container.mux(covers)

    def mux_until(self, time_s: Fraction | None) -> None:
        """Pass on what is due before `time_s` of the film; None: all that is left."""
        while (packet := self._next()) is not None:
            stamp = packet.dts if packet.dts is not None else packet.pts
            begin_s = stamp * packet.time_base if stamp is not None else None
            if begin_s is not None:
                if time_s is not None and begin_s - self._window.zero_s >= time_s:
                    self._ahead = packet
                    return
                if self._window.end_s is not None and begin_s >= self._window.end_s + _BEHIND_S:
                    self._packets = iter(())
                    break
            self._mux(self._tracks[packet.stream_index].take(packet))
        if time_s is None:
            for track in self._tracks.values():
                self._mux(track.finish())
                self.damage += track.damage
            self._tracks = {}

    def check(self, written: InputContainer) -> None:
        """Find out which words on the film and its tracks the container did not take."""
        self._no_place += [f"'{key}'" for key in lost_labels(self._wanted_labels, written.metadata)]
        tracks = [stream for stream in written.streams if stream.type in {"audio", "subtitle"}]
        if len(tracks) == len(self._languages):  # MP4 has no tracks in which nothing is
            for (name, wanted), track in zip(self._languages, tracks, strict=True):
                if wanted is not None and track.language != wanted:
                    self._no_place.append(f"language '{wanted}' of {name}")

    def notes(self) -> list[str]:
        """What was changed or left out, known when all is written."""
        notes = list(self._notes)
        if self._no_place:
            elsewhere = "" if self._target.suffix == ".mkv" else "; most has a place in .mkv"
            notes.append(f"left out, since {self._target.suffix} takes none: {', '.join(self._no_place)}{elsewhere}")
        if self._left_out:
            notes.append(f"left out: {', '.join(self._left_out)}")
        if self.damage and self._source is not None:
            notes.append(f"damaged places in the sound of {self._source.name}: {self.damage}")
        return notes

    # Choosing -------------------------------------------------------------------------------------------

    def _add_streams(self, source: InputContainer) -> list[AnyPacket]:
        """Add the streams that are carried over; return the covers, which are written at once."""
        covers = []
        for stream in source.streams:
            if stream.index == self._pictures.index or _is_chapter_list(stream):
                continue
            with target_errors(self._target):
                if isinstance(stream, AudioStream):
                    track: Track | None = self._add_sound(stream)
                elif isinstance(stream, SubtitleStream):
                    track = self._add_subtitles(stream)
                elif isinstance(stream, VideoStream):
                    covers += self._add_cover(stream)
                    continue
                else:
                    track = self._add_other(stream)
            if track is not None:
                self._tracks[stream.index] = track
        wanted = [source.streams[index] for index in self._tracks]
        for stream in source.streams:
            if stream not in wanted:
                stream.discard = Discard.all  # where possible, they are not even read
        self._packets = source.demux()
        return covers

    def _add_sound(self, source: AudioStream) -> Track | None:
        if not _is_known(source):
            self._left_out.append(_name(source))
            return None
        codec = source.codec_context.codec.canonical_name
        taken = codec in _COPIED_SOUND.get(self._format, {codec}) and self._takes(source)
        if taken and not (self._counts_samples(codec) and can_recode(source)):
            target = self._container.add_stream_from_template(source)
            track: Track = CopiedSound(source, target, self._window)
        elif can_recode(source):
            encoder, name = (codec, codec) if taken else _SOUND.get(self._format, ("aac", "AAC"))
            target = add_sound(self._container, encoder, source)
            track = RecodedSound(source, target, self._window)
            if not taken:
                self._notes.append(f"{_name(source)} has no place in {self._target.suffix}: now {name}")
        else:
            self._no_place.append(_name(source))
            return None
        self._label_track(source, target)
        return track

    def _counts_samples(self, codec: str) -> bool:
        """Whether the samples of `codec` have no times in the new film, so that a gap of the source would close."""
        assert self._input is not None
        came_without = "mov" in self._input.format.name.split(",")
        return self._format == "mov" and codec.startswith("pcm_") and not came_without and has_encoder(codec)

    def _add_subtitles(self, source: SubtitleStream) -> Track | None:
        if _is_known(source) and self._takes(source):
            target = self._container.add_stream_from_template(source)
            track: Track = CopiedText(target, self._window)
        elif _is_known(source) and Properties.TEXT_SUB in Properties(source.codec_context.codec.properties):
            encoder = Codec(_TEXT[self._format], "w")
            source.codec_context.open(strict=False)
            target = self._container.add_stream(encoder.name)  # type: ignore[assignment]
            target.time_base = Fraction(1, 1000)
            target.codec_context.subtitle_header = source.codec_context.subtitle_header
            track = ConvertedText(source, target, self._window)
            layout = ", without its layout" if source.codec_context.codec.canonical_name == "ass" else ""
            name = f"{encoder.canonical_name}{layout}"
            self._notes.append(f"{_name(source)} has no place in {self._target.suffix}: now {name}")
        else:
            self._no_place.append(_name(source))
            return None
        self._label_track(source, target)
        return track

    def _add_cover(self, source: VideoStream) -> list[AnyPacket]:
        """Return the packet of a cover that becomes a stream of its own."""
        if not source.disposition & Disposition.attached_pic:
            self._left_out.append(_name(source))
            return []
        image = self._read_cover(source)
        if self._format not in _COVERS or image is None or not _is_known(source):
            self._no_place.append(_name(source))
            return []
        if self._format == "matroska":
            codec = source.codec_context.codec.canonical_name
            kind = {"mjpeg": "jpeg"}.get(codec, codec)
            name = source.metadata.get("filename", f"cover.{kind.replace('jpeg', 'jpg')}")
            self._container.add_attachment(name, source.metadata.get("mimetype", f"image/{kind}"), bytes(image))
            return []
        if not self._takes(source, lambda stream: setattr(stream, "disposition", Disposition.attached_pic)):
            self._no_place.append(_name(source))
            return []
        target = self._container.add_stream_from_template(source, opaque=True)
        target.disposition = Disposition.attached_pic
        image.stream, image.pts, image.dts = target, 0, 0
        return [image]

    def _read_cover(self, source: VideoStream) -> AnyPacket | None:
        """Return a cover, which the file is opened for once more: FFmpeg gives them before all else."""
        assert self._source is not None
        with source_errors(self._source), av.open(url_of(self._source), metadata_errors="surrogateescape") as again:
            for packet in again.demux():
                if packet.stream_index == source.index and packet.size:
                    return Packet(bytes(packet))
                if not packet.stream.disposition & Disposition.attached_pic:
                    break
        return None

    def _add_other(self, source: Stream) -> Track | None:
        if isinstance(source, AttachmentStream) and self._format not in _NO_ATTACHMENTS and self._takes(source):
            self._container.add_stream_from_template(source)
            return None
        # Data without a name is described in a header that FFmpeg does not write.
        if isinstance(source, DataStream) and source.name is not None and self._takes(source):
            return CopiedText(self._container.add_stream_from_template(source), self._window)
        if timecode_of(source.metadata) is None or source.type != "data":  # which is carried as a word on the film
            self._no_place.append(_name(source))
        return None

    def _takes(self, source: Stream, prepare: Callable[[Stream], None] = lambda stream: None) -> bool:
        """Whether the container takes the stream as it is: FFmpeg writes a header in memory."""
        try:
            with av.open(io.BytesIO(), "w", format=self._format, metadata_errors="surrogateescape") as trial:
                prepare(trial.add_stream_from_template(source, opaque=True))
                trial.start_encoding()
        except (ValueError, av.error.FFmpegError):  # ValueError: PyAV asked FFmpeg's list
            return False
        return True

    # Words ----------------------------------------------------------------------------------------------

    def _label(self, source: InputContainer, video: VideoStream) -> None:
        self._wanted_labels = film_labels(source.metadata)
        self._container.metadata.update(self._wanted_labels)
        self._container.set_chapters(chapters_within(source.chapters(), self._window))
        video.metadata.update(track_labels(self._pictures.metadata, self._format))
        data = [stream.metadata for stream in source.streams if stream.type == "data"]
        timecode = timecode_of(self._pictures.metadata, source.metadata, *data)
        if timecode is not None and self._window.start_s is not None:
            first_s = (self._pictures.start_time or 0) * (self._pictures.time_base or 0)
            timecode = shift_timecode(timecode, self._frame_rate, self._window.start_s - first_s)
        if timecode is not None:
            video.metadata["timecode"] = timecode

    def _label_track(self, source: Stream, target: Stream) -> None:
        target.metadata.update(track_labels(source.metadata, self._format))
        target.disposition = source.disposition
        self._languages.append((_name(source), target.metadata.get("language")))

    # Reading --------------------------------------------------------------------------------------------

    def _go_to_start(self) -> None:
        """Begin to read a little before the window, where the file can be read from there."""
        start_s = self._window.start_s
        assert self._input is not None
        assert self._source is not None
        tick = self._pictures.time_base
        if start_s is None or tick is None or start_s - _BEFORE_S <= (self._pictures.start_time or 0) * tick:
            return
        try:
            self._input.seek(round((start_s - _BEFORE_S) / tick), stream=self._pictures)
            # Where sound lies far from the pictures of its time, some of it would be passed over.
            packets = self._input.demux(self._input.streams.audio or self._input.streams)
            first = next((packet for packet in packets if packet.size and packet.dts is not None), None)
            if first is not None and first.dts is not None and first.dts * first.time_base <= start_s:
                return
        except (av.error.FFmpegError, OSError):
            pass
        self._input.close()
        with source_errors(self._source):
            self._input, self._pictures = open_film(self._source)

    def _next(self) -> AnyPacket | None:
        """Return the next packet of a track; go on after unreadable places, but not for ever."""
        if self._ahead is not None:
            packet, self._ahead = self._ahead, None
            return packet
        while self._tracks and self._failures < MOST_FAILURES:
            assert self._input is not None
            assert self._source is not None
            with source_errors(self._source):
                try:
                    for packet in self._packets:
                        if packet.size and packet.stream_index in self._tracks:
                            self._failures = 0
                            return packet
                    return None
                except av.error.InvalidDataError:
                    self.damage += 1
                    self._failures += 1
                    self._packets = self._input.demux()
        return None

    def _mux(self, packets: Iterable[AnyPacket]) -> None:
        with target_errors(self._target):
            for packet in packets:
                try:
                    self._container.mux(packet)
                except av.error.InvalidDataError:  # sound that says of itself what it is, and lies
                    self.damage += 1


def _is_chapter_list(stream: Stream) -> bool:
    """Whether this is what QuickTime calls chapters: a track of their titles, which FFmpeg reads, and writes anew."""
    return stream.type == "data" and stream.discard == Discard.all


def _is_known(stream: Stream) -> bool:
    """Whether FFmpeg has a decoder for the stream; PyAV opens no codec without one."""
    return stream.codec_context is not None


def _name(stream: Stream) -> str:
    if stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails):
        return name_stream(stream).replace("video track", "cover picture")
    if isinstance(stream, AttachmentStream):
        return f"attached file {stream.index} ({stream.name or 'no name'})"
    return name_stream(stream)
