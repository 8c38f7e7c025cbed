"""Carry what a source holds beside its pictures into the finished film: sound (more to come)."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet

from stylegan_tool.film.file_errors import source_errors, target_errors, url_of
from stylegan_tool.film.plan import Encoding, Window

if TYPE_CHECKING:
    _AnyPacket: TypeAlias = Packet[Any]
else:
    _AnyPacket = Packet  # takes no parameters at run time


class OtherStreams:
    """All streams of a source but its pictures, on their way into a container."""

    def __init__(
        self, source: Path | None, target: OutputContainer, path: Path, encoding: Encoding, window: Window
    ) -> None:
        self._source = source
        self._container = target
        self._path = path
        self._window = window
        self._notes: list[str] = []
        self._input: InputContainer | None = None
        self._tracks: dict[int, AudioStream] = {}
        self._last: dict[int, int] = {}
        self._ahead: _AnyPacket | None = None
        self._packets: Iterator[_AnyPacket] = iter(())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._input is not None:
            self._input.close()

    def announce(self) -> None:
        """Open the source and add a stream for each that is carried over."""
        if self._source is None:
            return
        with source_errors(self._source):
            self._input = av.open(url_of(self._source), "r", metadata_errors="surrogateescape")
        for stream in self._input.streams.audio:
            if stream.codec_context is not None:
                with target_errors(self._path):
                    self._tracks[stream.index] = self._container.add_stream_from_template(stream)
        if self._tracks:
            self._packets = self._input.demux([self._input.streams[index] for index in self._tracks])

    def mux_until(self, time_s: Fraction | None) -> None:
        """Pass on what is due before `time_s` of the film; None: all that is left."""
        while True:
            packet = self._ahead or self._next()
            self._ahead = None
            if packet is None:
                return
            assert packet.dts is not None
            begin_s = packet.dts * packet.time_base
            if time_s is not None and begin_s - self._window.zero_s >= time_s:
                self._ahead = packet
                return
            if self._window.holds(begin_s):
                shift = round(self._window.zero_s / packet.time_base)
                packet.dts -= shift
                packet.pts = packet.dts if packet.pts is None else packet.pts - shift
                packet.stream = self._tracks[packet.stream_index]
                with target_errors(self._path):
                    self._container.mux(packet)

    def _next(self) -> _AnyPacket | None:
        assert self._source is not None or not self._tracks
        with source_errors(self._source or self._path):
            return next((packet for packet in self._packets if packet.size and packet.dts is not None), None)

    def notes(self) -> list[str]:
        """What was changed or left out, known when all is written."""
        return self._notes
