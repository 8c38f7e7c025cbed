"""Make examples/clip.mp4: three seconds of a slow pan and zoom over one large photograph, with a soft tone.

    python docs/make_clip.py LARGE_PICTURE examples/clip.mp4

The camera path is known exactly, so the clip also serves to measure flicker. Each frame is drawn four times too
large with Lanczos, at positions between pixels, and averaged down: no jitter and no aliasing that shimmers.

Units: time in seconds, sizes in pixels, the window's place and width as shares of the picture's width and height.
"""

import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray

WIDTH, HEIGHT = 480, 270
FRAME_RATE = Fraction(24)
N_FRAMES = 72
OVERSAMPLING = 4
FROM = (0.60, 0.44, 0.64)  # middle of the window (x, y) and its width
TO = (0.36, 0.46, 0.48)

SAMPLE_RATE_HZ = 48_000
TONES_HZ = (220.0, 277.18, 329.63)  # A major
LOUDNESS = 0.06  # of full scale, each tone
FADE_S = 0.5

BT709 = 1  # primaries, transfer and matrix have the same number in ITU-T H.273
LIMITED_RANGE = 1


def window(share: float) -> tuple[float, float, float]:
    """Return middle and width of the window at `share` of the clip, 0 <= share <= 1, starting and ending at rest."""
    eased = 0.5 - 0.5 * np.cos(np.pi * share)
    x, y = (a + (b - a) * eased for a, b in zip(FROM[:2], TO[:2], strict=True))
    return float(x), float(y), float(FROM[2] * (TO[2] / FROM[2]) ** eased)  # a zoom is even if it multiplies


def draw(picture: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    """Return the frame at `share` of the clip, (HEIGHT,WIDTH,3) RGB."""
    x, y, relative_width = window(share)
    height, width = picture.shape[:2]
    scale = relative_width * width / (WIDTH * OVERSAMPLING)  # picture pixels for each drawn one
    left = x * width - scale * WIDTH * OVERSAMPLING / 2 + (scale - 1) / 2
    top = y * height - scale * HEIGHT * OVERSAMPLING / 2 + (scale - 1) / 2
    matrix = np.array([[scale, 0.0, left], [0.0, scale, top]])
    size = (WIDTH * OVERSAMPLING, HEIGHT * OVERSAMPLING)
    flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
    large = cv2.warpAffine(picture, matrix, size, flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(cv2.resize(large, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)


def tone() -> NDArray[np.float32]:
    """Return the sound of the whole clip, mono, in [-1,1]."""
    n_samples = int(SAMPLE_RATE_HZ * N_FRAMES / FRAME_RATE)
    time_s = np.arange(n_samples) / SAMPLE_RATE_HZ
    chord = LOUDNESS * np.sum([np.sin(2 * np.pi * hz * time_s) for hz in TONES_HZ], axis=0)
    from_ends_s = np.minimum(time_s, time_s[::-1])
    return np.asarray(chord * np.clip(from_ends_s / FADE_S, 0.0, 1.0), np.float32)


def main(source: Path, target: Path) -> None:
    """Read the picture `source` and write the clip `target`."""
    with PIL.Image.open(source) as opened:
        picture = np.asarray(opened.convert("RGB"))
    with av.open(str(target), "w", options={"movflags": "+faststart"}) as container:
        video = container.add_stream("libx264", rate=FRAME_RATE, options={"crf": "20", "preset": "slow"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        context = video.codec_context
        context.color_primaries = context.color_trc = context.colorspace = BT709
        context.color_range = LIMITED_RANGE
        audio = container.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono")
        audio.bit_rate = 64_000

        for index in range(N_FRAMES):
            drawn = av.VideoFrame.from_ndarray(draw(picture, index / (N_FRAMES - 1)), format="rgb24")
            frame = drawn.reformat(
                format="yuv420p", dst_colorspace=BT709, src_color_range=2, dst_color_range=LIMITED_RANGE
            )
            frame.pts, frame.time_base = index, 1 / FRAME_RATE
            container.mux(video.encode(frame))
        container.mux(video.encode(None))

        samples = tone()
        sound = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        sound.sample_rate, sound.pts, sound.time_base = SAMPLE_RATE_HZ, 0, Fraction(1, SAMPLE_RATE_HZ)
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE_HZ, frame_size=1024)
        for piece in [*resampler.resample(sound), *resampler.resample(None)]:
            container.mux(audio.encode(piece))
        container.mux(audio.encode(None))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python docs/make_clip.py LARGE_PICTURE examples/clip.mp4")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
