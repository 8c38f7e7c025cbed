"""What a source is, as far as its encoding goes by it; an HDR film's light included."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from av.video.frame import VideoFrame

from stylegan_tool.film.colours import side_data_of
from stylegan_tool.film.plan import Colours


@dataclass(frozen=True)
class Facts:
    """What a source is, as far as its encoding goes by it.

    Attributes:
        width, height: of the pictures as displayed.
        frame_rate: nominal, frames a second.
        time_base: of the pts, in s.
        colours: see `colours_of`.
        pixel_shape: width : height of one pixel as displayed; None is square.
        bits: a channel.
        has_alpha: its pixels have transparency.
        light: what an HDR film says of the display it was made on, if anything.
    """

    width: int
    height: int
    frame_rate: Fraction
    time_base: Fraction
    colours: Colours
    pixel_shape: Fraction | None = None
    bits: int = 8
    has_alpha: bool = False
    light: "Light | None" = None


@dataclass(frozen=True)
class Light:
    """Mastering display (SMPTE ST 2086) and content light level (CTA-861.3) of an HDR film; None: not said.

    Attributes:
        primaries: x and y in CIE 1931 of red, green, blue and white.
        luminance: least and most of the display, in cd/m2.
        content: brightest pixel and brightest frame average (MaxCLL, MaxFALL), in cd/m2.
    """

    primaries: tuple[tuple[Fraction, Fraction], ...] | None = None
    luminance: tuple[Fraction, Fraction] | None = None
    content: tuple[int, int] | None = None


def light_of(frame: VideoFrame) -> Light | None:
    """Read what the frame carries about HDR mastering, or None."""
    primaries = luminance = content = None
    display = side_data_of(frame, "MASTERING_DISPLAY_METADATA")
    if display is not None:
        # FFmpeg's struct: ten rationals (red x, red y, green, blue, white, least, most light), two flags.
        numbers = np.frombuffer(display, np.int32, 22)
        values = [Fraction(int(numbers[2 * n]), int(numbers[2 * n + 1]) or 1) for n in range(10)]
        if numbers[20]:
            primaries = tuple((values[2 * n], values[2 * n + 1]) for n in range(4))
        if numbers[21]:
            luminance = (values[8], values[9])
    level = side_data_of(frame, "CONTENT_LIGHT_LEVEL")
    if level is not None:
        brightest, average = np.frombuffer(level, np.uint32, 2)
        content = (int(brightest), int(average))
    if primaries is None and luminance is None and content is None:
        return None
    return Light(primaries, luminance, content)
