"""What the steps of making a film tell each other: colours, the encoding asked for, the segments made, the window.

Numbers called `matrix`, `range`, `primaries` and `transfer` are those of ITU-T H.273, which are FFmpeg's AVCOL_* and
what the files carry. pts are presentation time stamps in ticks of a `time_base` of seconds.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

BT709, UNTAGGED, BT601, BT2020 = 1, 2, 6, 9
LIMITED, FULL = 1, 2
HDR = {16: "PQ", 18: "HLG"}  # transfer -> the name people know it by


@dataclass(frozen=True)
class Colours:
    """How YUV and RGB belong together; 2 is 'not said' (range: 1 limited, 2 full)."""

    matrix: int
    range: int
    primaries: int = UNTAGGED
    transfer: int = UNTAGGED


@dataclass(frozen=True)
class Encoding:
    """How the pictures of a film are encoded, the same in all of its segments.

    Attributes:
        container: FFmpeg's name of the finished film's: mp4, mov, matroska, webm, gif, image2.
        encoder: FFmpeg's name of what encodes the segments; lossless (ffv1) where the finished film is made of
            pictures again (gif, image2).
        pixel_format: what the encoder takes.
        width, height: of the pictures as they come.
        padded_width, padded_height: as encoded: larger by a repeated row or column where the codec needs even sides.
        frame_rate: nominal, frames a second, what the rate control goes by.
        time_base: of the finished film's pts.
        pixel_shape: width : height of one pixel; None is square.
        options: of the encoder.
        has_alpha, is_deep: pictures come with transparency; with 16 bits.
    """

    container: str
    encoder: str
    pixel_format: str
    width: int
    height: int
    padded_width: int
    padded_height: int
    frame_rate: Fraction
    time_base: Fraction
    colours: Colours
    pixel_shape: Fraction | None = None
    options: tuple[tuple[str, str], ...] = ()
    has_alpha: bool = False
    is_deep: bool = False


@dataclass(frozen=True)
class Segment:
    """A part of a film, encoded by itself: a Matroska file of one video track that begins with a key frame.

    The file's own time stamps say only the order: the frame with the n-th smallest one is shown at pts[n].

    Attributes:
        pts: of its frames in the finished film, growing, in ticks of the encoding's time_base.
        delay: frames by which decoding is ahead of showing: the most that a packet's place in the file is beyond its
            frame's place in `pts` (0 without B-frames).
    """

    path: Path
    pts: tuple[int, ...]
    delay: int


@dataclass(frozen=True)
class Window:
    """What of the source becomes the film: start_s <= time < end_s, as the source's time stamps count, in seconds.

    The source's time `zero_s` is 0 in the film: `start_s` where a start was asked for, else where the clock of a
    broadcast begins, else 0.
    """

    start_s: Fraction | None = None
    end_s: Fraction | None = None
    zero_s: Fraction = Fraction(0)

    def holds(self, time_s: Fraction) -> bool:
        """Whether something shown from `time_s` on begins inside."""
        return (self.start_s is None or time_s >= self.start_s) and (self.end_s is None or time_s < self.end_s)
