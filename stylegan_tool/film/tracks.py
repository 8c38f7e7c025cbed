"""Tracks beside the pictures on their way into another container: copied, or decoded and encoded anew.

A track takes the source's packets one after the other and gives those that the new film holds instead, at the film's
times and cut to the window.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Protocol

import av.error
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.filter import Graph
from av.stream import Stream
from av.subtitles.stream import SubtitleStream

from stylegan_tool.film.packets import AnyPacket
from stylegan_tool.film.plan import Window

# Decoders of sound need a little of what came before a cut (Opus: 0.08 s). Edit lists hide it. Matroska has none, and
# sound begins there with the first packet that lies behind the cut.
_LEAD_S = Fraction(2, 25)
_HAVE_EDIT_LISTS = frozenset({"mp4", "mov"})

_NO_TEXT = b"\0\0"  # what fills the gaps between MP4's subtitles; FFmpeg writes it by itself

_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)  # of AAC, samples a second
_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}  # what every player knows
_UNSAID_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_BIT_RATE = 96_000  # for each channel
_MOST_CHANNELS = max(_LAYOUTS)
_GAP_S = 0.03  # sound is moved to its own time from here on; Matroska's times are only good to 0.001 s


@dataclass(frozen=True)
class Span:
    """When a packet is to be seen or heard, in the source's time, in seconds; `end_s` is `begin_s` if unknown."""

    begin_s: Fraction
    end_s: Fraction


class Track(Protocol):
    """A track of the new film. `damage` counts what could not be decoded."""

    damage: int

    def take(self, packet: AnyPacket) -> Iterable[AnyPacket]:
        """Yield what the source's next packet becomes, if anything."""

    def finish(self) -> Iterable[AnyPacket]:
        """Yield what is left."""


class _Timing:
    """Times of one track, from the source's ticks to those of the new film.

    Where the source counts more coarsely than samples (Matroska: 0.001 s), sound in packets of one length is put end
    to end as it was, as long as that is what the source could have meant.
    """

    def __init__(self, target: Stream, window: Window, samples: int = 0, rate: int = 0) -> None:
        self._target = target
        self._zero_s = window.zero_s
        self._length_s = Fraction(samples, rate) if samples > 1 and rate else None
        self._next_s: Fraction | None = None
        self._last: int | None = None
        # Subtitles may begin together; what is heard may not, but for Matroska.
        self._may_repeat = target.type != "audio" or target.container.format.name in {"matroska", "webm"}

    def place(self, packet: AnyPacket, span: Span) -> AnyPacket:
        """Return `packet` as one of the new film, in which nothing is decoded before what came earlier."""
        tick = self._target.time_base
        assert tick is not None  # the header is written
        begin_s, length_s = span.begin_s - self._zero_s, span.end_s - span.begin_s
        if self._length_s is not None and packet.time_base > tick:
            if self._next_s is not None and abs(begin_s - self._next_s) <= packet.time_base:
                begin_s = self._next_s
            if abs(length_s - self._length_s) <= packet.time_base:
                length_s = self._length_s
            self._next_s = begin_s + self._length_s
        stamp = round(begin_s / tick)
        if self._last is not None:
            stamp = max(stamp, self._last + (0 if self._may_repeat else 1))  # damaged or cut files
        self._last = stamp
        packet.time_base, packet.stream = tick, self._target
        packet.pts = packet.dts = stamp
        packet.duration = round(length_s / tick)
        return packet


class _Clock:
    """When packets begin and end; one without a time begins where the one before it ended."""

    def __init__(self) -> None:
        self._end_s: Fraction | None = None

    def span(self, packet: AnyPacket) -> Span | None:
        """Return None for what comes before anything that says when."""
        stamp = packet.pts if packet.pts is not None else packet.dts
        begin_s = stamp * packet.time_base if stamp is not None else self._end_s
        if begin_s is None:
            return None
        self._end_s = begin_s + max(0, packet.duration or 0) * packet.time_base
        return Span(begin_s, self._end_s)


class CopiedSound:
    """Sound that goes into the new film byte for byte."""

    def __init__(self, source: AudioStream, target: AudioStream, window: Window) -> None:
        self.damage = 0
        self._clock = _Clock()
        self._timing = _Timing(target, window, source.codec_context.frame_size, source.codec_context.sample_rate)
        self._window = window
        self._hides = target.container.format.name in _HAVE_EDIT_LISTS

    def take(self, packet: AnyPacket) -> Iterator[AnyPacket]:
        span = self._clock.span(packet)
        if span is not None and self._is_wanted(span):
            yield self._timing.place(packet, span)

    def _is_wanted(self, span: Span) -> bool:
        start_s, end_s = self._window.start_s, self._window.end_s
        if start_s is not None and span.begin_s < start_s and not (self._hides and span.end_s > start_s - _LEAD_S):
            return False
        return end_s is None or span.begin_s < end_s

    def finish(self) -> Iterable[AnyPacket]:
        return ()


class CopiedText:
    """Subtitles and data that go into the new film byte for byte; those that lie across a cut are shown up to it."""

    def __init__(self, target: Stream, window: Window) -> None:
        self.damage = 0
        self._clock = _Clock()
        self._timing = _Timing(target, window)
        self._window = window
        context = target.codec_context
        self._fills_gaps = context is not None and context.codec.canonical_name == "mov_text"

    def span(self, packet: AnyPacket) -> Span | None:
        """Return when the packet is shown, None if never."""
        whole = self._clock.span(packet)
        if whole is None:
            return None
        window, span = self._window, whole
        if window.start_s is not None and span.begin_s < window.start_s:
            span = replace(span, begin_s=window.start_s)
        if window.end_s is not None and span.end_s > window.end_s:
            span = replace(span, end_s=window.end_s)
        return span if span.begin_s < span.end_s or (span == whole and window.holds(span.begin_s)) else None

    def take(self, packet: AnyPacket) -> Iterator[AnyPacket]:
        span = self.span(packet)
        if span is not None and not (self._fills_gaps and bytes(packet) == _NO_TEXT):
            yield self.place(packet, span)

    def place(self, packet: AnyPacket, span: Span) -> AnyPacket:
        """Return `packet` as one of the new film."""
        return self._timing.place(packet, span)

    def finish(self) -> Iterable[AnyPacket]:
        return ()


class ConvertedText:
    """Subtitles of text in the words of another format."""

    def __init__(self, source: SubtitleStream, target: SubtitleStream, window: Window) -> None:
        self.damage = 0
        self._source, self._target = source, target
        self._copied = CopiedText(target, window)

    def take(self, packet: AnyPacket) -> Iterator[AnyPacket]:
        span = self._copied.span(packet)
        if span is None:
            return
        try:
            shown = self._source.decode2(packet)
            if shown is None or not len(shown):  # MP4's signs that nothing is shown
                return
            text = self._target.codec_context.encode_subtitle(shown)
        except av.error.FFmpegError:
            self.damage += 1
            return
        if text.size:
            text.time_base = packet.time_base
            yield self._copied.place(text, span)

    def finish(self) -> Iterable[AnyPacket]:
        return ()


def can_recode(source: AudioStream) -> bool:
    """Whether a `RecodedSound` can be made of it: sixteen channels that nobody names cannot be mixed."""
    return 1 <= source.codec_context.layout.nb_channels <= _MOST_CHANNELS and source.codec_context.sample_rate > 0


def add_sound(container: OutputContainer, encoder: str, source: AudioStream) -> AudioStream:
    """Add a track for sound that is encoded anew: PCM as the source is, all else in rates and layouts that play."""
    context = source.codec_context
    lossless = encoder.startswith("pcm_")
    target = container.add_stream(encoder, rate=context.sample_rate if lossless else _rate_for(encoder, source))
    assert isinstance(target, AudioStream)
    layout = context.layout
    if lossless:
        target.codec_context.layout = _name_layout(layout)
        return target
    kept = min(count for count in _LAYOUTS if count >= layout.nb_channels)
    target.codec_context.layout = _LAYOUTS[kept]
    target.codec_context.bit_rate = _BIT_RATE * min(kept, layout.nb_channels)
    return target


def _rate_for(encoder: str, source: AudioStream) -> int:
    """Return the samples a second that `encoder` is given: the source's, else the next that it takes."""
    if encoder == "libopus":
        return 48000
    rate = source.codec_context.sample_rate
    return next((known for known in _RATES if known >= rate), 48000)


def _name_layout(layout: AudioLayout) -> str:
    """Return FFmpeg's name of the layout, the usual one where the source only counts its channels."""
    return _UNSAID_LAYOUTS[layout.nb_channels] if layout.name.endswith(" channels") else layout.name


class RecodedSound:
    """Sound in a codec that the container does not take: decoded, cut to the sample, and encoded.

    Gaps become silence, so that sound and pictures stay together whatever a player makes of times.
    """

    def __init__(self, source: AudioStream, target: AudioStream, window: Window) -> None:
        self.damage = 0
        self._source, self._target, self._window = source, target, window
        self._graph: Graph | None = None
        self._kind: tuple[str, str, int] | None = None
        self._heard = False

    def take(self, packet: AnyPacket) -> Iterator[AnyPacket]:
        yield from self._decode(packet)

    def finish(self) -> Iterator[AnyPacket]:
        yield from self._decode(None)
        yield from self._flush_graph()
        if self._heard:
            yield from self._target.encode(None)

    def _decode(self, packet: AnyPacket | None) -> Iterator[AnyPacket]:
        try:
            frames = self._source.decode(packet)
        except av.error.FFmpegError:
            self.damage += 1
            return
        for frame in frames:
            kind = (frame.format.name, frame.layout.name, frame.sample_rate)
            if self._graph is None or kind != self._kind:
                yield from self._flush_graph()
                self._graph, self._kind = self._build(frame), kind
            if frame.pts is not None and frame.time_base:
                time_s = frame.pts * frame.time_base - self._window.zero_s
                frame.pts = round(time_s * frame.sample_rate)
            frame.time_base = Fraction(1, frame.sample_rate)
            with suppress(av.error.EOFError):  # the end of the window lies behind
                self._graph.push(frame)
            yield from self._encode(self._graph)

    def _encode(self, graph: Graph) -> Iterator[AnyPacket]:
        while True:
            try:
                frame = graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            assert isinstance(frame, AudioFrame)
            self._heard = True
            yield from self._target.encode(frame)

    def _flush_graph(self) -> Iterator[AnyPacket]:
        if self._graph is not None:
            with suppress(av.error.EOFError):
                self._graph.push(None)
            yield from self._encode(self._graph)
        self._graph = None

    def _build(self, frame: AudioFrame) -> Graph:
        goal, window = self._target.codec_context, self._window
        graph = Graph()
        chain = [
            graph.add_abuffer(
                sample_rate=frame.sample_rate,
                format=frame.format.name,
                layout=_name_layout(frame.layout),
                time_base=Fraction(1, frame.sample_rate),
            ),
            graph.add("aresample", f"{goal.sample_rate}:async=1:min_hard_comp={_GAP_S}"),
        ]
        cuts = ["start=0"] if window.start_s is not None else []
        if window.end_s is not None:
            cuts.append(f"end={float(window.end_s - window.zero_s)}")
        if cuts:
            chain.append(graph.add("atrim", ":".join(cuts)))
        chain.append(graph.add("aformat", f"sample_fmts={goal.format.name}:channel_layouts={goal.layout.name}"))
        chain.append(graph.add("abuffersink"))
        graph.link_nodes(*chain)
        graph.configure()
        return graph
