"""Read a film: its frames one after the other, at their own times.

Damage does not end a film: what cannot be decoded is counted, and a lost frame stands in the film as a repetition of
the one before it, at its own time, so that picture and sound never drift apart.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av.error
from av.container import InputContainer
from av.video.frame import VideoFrame

from stylegan_tool.errors import InputError
from stylegan_tool.film.decoding import decoder_for
from stylegan_tool.film.deinterlace import Deinterlacer
from stylegan_tool.film.file_errors import input_errors
from stylegan_tool.film.image_reader import ImageReader
from stylegan_tool.film.look import INTERLACED, Look
from stylegan_tool.film.naming import is_sequence
from stylegan_tool.film.packets import MOST_FAILURES, AnyPacket
from stylegan_tool.film.plan import Window
from stylegan_tool.film.source import open_film
from stylegan_tool.image_files.picture import Plane
from stylegan_tool.pixels import Image

_CUT_SHORT_S = 0.5  # a film that ends this much before what its header says has lost its end
_RUN_UP_S = 5  # before the place looked for: some key frames need what comes before them


@dataclass(frozen=True)
class FilmFrame:
    """A picture of the film as displayed.

    Attributes:
        number: of the frame in the film (in its window), from 0.
        pts: in the film, in ticks of the source's time base, growing.
        duration: ticks; 0 if unknown.
        image, alpha: see ImageReader; a repeated frame has the very arrays of the one before.
        damage: damaged places met since the frame before, this one's own included.
    """

    number: int
    pts: int
    duration: int
    image: Image
    alpha: Plane | None
    damage: int = 0


@dataclass(frozen=True)
class Place:
    """Where to go on in a film: after so many frames, the last of which was shown at `last_pts` (in the film).

    `even`: all times up to there are the source's own, so that the place can be found by its time.
    """

    frames: int
    last_pts: int
    even: bool = True


class FilmReader:
    """The frames of a film inside a window, in the order of their times.

    Args:
        after: the place from which on frames are wanted. Frames before it are decoded as far as needed, and the last
            one of them is yielded, too: what follows may be compared with it.

    Attributes:
        damage: damaged places met after the last frame that was yielded; the missing end of a file is one.
        even: all times so far are the source's own.
        notes: what is known only on the way.
    """

    def __init__(
        self,
        path: Path,
        look: Look,
        window: Window,
        *,
        sequence_rate: Fraction | None = None,
        after: Place | None = None,
    ) -> None:
        self.damage = 0
        self.even = after.even if after is not None else True
        self.notes: list[str] = []
        self._path, self._look, self._window, self._rate = path, look, window, sequence_rate
        self._time_base = look.facts.time_base
        self._zero = round(window.zero_s / self._time_base)
        self._after = after
        self._open()
        try:
            if after is not None and after.even:
                self._found_by_time = self._seek((after.last_pts + self._zero) * self._time_base)
            elif after is None and window.start_s is not None:
                self._seek(window.start_s)
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    def _open(self) -> None:
        self._container, self._video = open_film(self._path, self._rate)
        self._decoder = decoder_for(self._video)
        self._lost: list[int] = []
        self._reached_s = 0.0
        self._found_by_time = self._has_arrived = False
        self._number = 0  # of the next frame
        self._last_pts: int | None = None

    def _seek(self, time_s: Fraction) -> bool:
        """Go to a key frame at least _RUN_UP_S before `time_s`; False (and at the start) where that cannot be."""
        ticks = round((time_s - _RUN_UP_S) / self._time_base)
        start = self._video.start_time or 0
        if ticks <= start or is_sequence(self._path):
            return False
        try:
            self._container.seek(ticks, stream=self._video, backward=True)
            arrived = self._peek_pts()
            if arrived is not None and arrived * self._time_base <= time_s:
                self._container.seek(ticks, stream=self._video, backward=True)
                self._decoder.flush_buffers()
                return True
        except (av.error.FFmpegError, OSError, InputError):
            pass
        self._container.close()
        self._open()
        return False

    def _peek_pts(self) -> int | None:
        """Return the first time stamp of a frame that can be decoded from here on."""
        for packet in self._container.demux(self._video):
            for frame in self._decoder.decode(packet if packet.size else None):
                self._decoder.flush_buffers()
                return frame.pts
        return None

    def __iter__(self) -> Iterator[FilmFrame]:
        """Yield the frames; once.

        Raises:
            InputError: the file cannot be read any further, or its pictures cannot be converted.
        """
        images: ImageReader | None = None
        shown: VideoFrame | None = None  # the last one
        last: FilmFrame | None = None
        for frame in self._shown():
            end_s = self._window.end_s
            if end_s is not None and frame.pts is not None and frame.pts * self._time_base >= end_s:
                self.damage, self._reached_s = 0, float("inf")
                break
            if images is None:
                images = ImageReader(frame, self._path, self._look.info.codec, self._look.info.size)
            pts = self._time_of(frame)
            if pts is None:
                continue
            for at, new in (*((lost, None) for lost in self._take_lost(before=pts)), (pts, frame)):
                if self._passes_over(at):
                    shown = new or shown
                    continue
                if last is None and self._after is not None and shown is not None:
                    last = FilmFrame(self._after.frames - 1, self._after.last_pts, 0, *images.read(shown))
                    yield last
                image, alpha = (last.image, last.alpha) if new is None and last is not None else images.read(frame)
                duration = (frame.duration or 0) if new is not None else 0
                last = FilmFrame(self._count(at), at, duration, image, alpha, self._take_damage())
                if images.was_resized:
                    self._note_once(
                        "the film changes its size on the way; later pictures are scaled to the first one's"
                    )
                yield last
        for lost in self._take_lost(before=None):
            if last is not None and not self._passes_over(lost):
                last = FilmFrame(self._count(lost), lost, 0, last.image, last.alpha, self._take_damage())
                yield last
        self._finish()

    def _passes_over(self, pts: int) -> bool:
        """Whether the frame at `pts` was made before."""
        after = self._after
        if after is None:
            return False
        if self._found_by_time:
            if pts > after.last_pts:
                if not self._has_arrived:
                    self._number, self._has_arrived = after.frames, True
                return False
        elif self._number >= after.frames:
            return False
        self._count(pts)
        self.damage = 0  # it was counted then
        return True

    def _count(self, pts: int) -> int:
        self._number, self._last_pts = self._number + 1, pts
        return self._number - 1

    def _take_damage(self) -> int:
        damage, self.damage = self.damage, 0
        return damage

    def _time_of(self, frame: VideoFrame) -> int | None:
        """Return the frame's pts in the film, made to grow; None if it lies before what is wanted."""
        step = max(1, round(1 / (self._look.info.frame_rate * self._time_base)))
        if frame.pts is None:
            self.even = False
            return self._last_pts + step if self._last_pts is not None else 0
        start_s = self._window.start_s
        pts = frame.pts - self._zero
        if start_s is not None and frame.pts * self._time_base < start_s:
            self.damage = 0
            self._lost = [lost for lost in self._lost if lost > pts]
            return None
        if self._last_pts is not None and pts <= self._last_pts:  # no container takes two frames at one time
            self.even = False
            self._note_once("time stamps that do not grow were moved by the least possible")
            return self._last_pts + 1
        return pts

    def _note_once(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def _shown(self) -> Iterator[VideoFrame]:
        """Yield decoded frames, whole ones from the first interlaced one on; it lets whole ones pass."""
        deinterlacer = Deinterlacer() if self._look.interlaced else None
        for frame in self._decoded():
            if deinterlacer is None and frame.interlaced_frame:
                deinterlacer = Deinterlacer()
                self._note_once(f"{INTERLACED}, from frame {self._number + 1} on")
            if deinterlacer is None:
                yield frame
            else:
                yield from deinterlacer.push(frame)
        if deinterlacer is not None:
            yield from deinterlacer.finish()

    def _decoded(self) -> Iterator[VideoFrame]:
        for packet in self._packets():
            yield from self._decode(packet)
        yield from self._decode(None)

    def _packets(self) -> Iterator[AnyPacket]:
        """Yield the packets of the picture track; go on after unreadable places, but not for ever."""
        failures = 0
        while failures < MOST_FAILURES:
            try:
                with input_errors(self._path):
                    # All streams: what is damaged in between shows only so, and FFmpeg reads them anyway.
                    for packet in self._container.demux():
                        if not packet.size:  # PyAV's signs of the end; inside a film they would end the decoder
                            continue
                        failures = 0
                        if packet.pts is not None:
                            end = packet.pts + (packet.duration or 0)
                            self._reached_s = max(self._reached_s, float(end * packet.time_base))
                        if packet.stream_index == self._video.index:
                            yield packet
                return
            except InputError as error:
                if not isinstance(error.__cause__, av.error.InvalidDataError):
                    raise
                self.damage += 1
                failures += 1

    def _decode(self, packet: AnyPacket | None) -> list[VideoFrame]:
        try:
            frames = self._decoder.decode(packet)
        except av.error.FFmpegError:
            self.damage += 1
            if packet is not None and packet.pts is not None and not packet.is_discard:
                self._lost.append(packet.pts - self._zero)
            return []
        self.damage += sum(frame.is_corrupt for frame in frames)
        return frames

    def _take_lost(self, *, before: int | None) -> list[int]:
        """Return, once, the pts of lost frames between the last one and `before` (None: the end), in order."""
        due = sorted(pts for pts in self._lost if before is None or pts <= before)
        self._lost = [pts for pts in self._lost if before is not None and pts > before]
        after = self._last_pts
        return [pts for pts in due if after is not None and pts > after and pts != before]

    def _finish(self) -> None:
        """Note what is known only at the end."""
        end_s = _promised_end_s(self._container)
        if end_s is not None and self._reached_s < end_s - _CUT_SHORT_S:
            self.damage += 1
            self._note_once(f"the file is cut short: it ends at {self._reached_s:.2f} s of {end_s:.2f} s")


def _promised_end_s(container: InputContainer) -> float | None:
    """Return when the film ends by its header, in s; None where FFmpeg would only estimate it."""
    stated = {"mov", "matroska"} & set(container.format.name.split(","))
    if not container.duration or not stated:
        return None
    return (max(container.start_time or 0, 0) + container.duration) / 1_000_000
