"""Flicker, sharpness and time of steady film, against the goals: part of `make bench`.

Films with known motion are drawn from photographs: a camera path, drawn from a picture four times as fine, so that
the true way back is known for every pixel. Real films are measured with tracked points (stylegan_tool.flicker).
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from bench.figures import Figure
from stylegan_tool.demo_files import examples_folder
from stylegan_tool.flicker import Flicker, FlickerMeter
from stylegan_tool.image_files.reading import read_picture
from stylegan_tool.models import choose_model
from stylegan_tool.options import TileOption
from stylegan_tool.pixels import Image
from stylegan_tool.session import Session
from stylegan_tool.steady import AUTO_STRENGTH, Steadier, shrink
from stylegan_tool.stylize import Stylizer

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
WIDTH, HEIGHT = 320, 180
N_FRAMES = 28
OVERSAMPLING = 4
EDGE = 3  # pixels along the border that are not measured

MOST_EXCESS, LEAST_SHARPNESS, MOST_DISTANCE = 0.30, 0.85, 3.0
MOST_TIME_SHARE, MOST_MS = 0.15, 60.0  # of a 720p frame by itself; anywhere

REAL_FILMS = ("h264_aac_51_720p_bunny.mp4", "h264_444_mp3_720p_cockatoo.mp4", "h264_aac_240p_realshort.mp4")


@dataclass(frozen=True)
class Camera:
    """A path: the window's middle as shares of the picture, its width likewise, and all changes per frame."""

    picture: str
    middle: tuple[float, float]
    width: float
    step: tuple[float, float] = (0.0, 0.0)  # window widths a frame
    zoom: float = 1.0
    turn_degrees: float = 0.0


PATHS = {
    "slow pan": Camera("mountain.jpg", (0.45, 0.5), 0.5, step=(0.0022, 0.001)),
    "fast pan": Camera("meadow.jpg", (0.3, 0.5), 0.4, step=(0.02, 0.0)),
    "zoom": Camera("stream.jpg", (0.5, 0.5), 0.9, zoom=0.985),
    "turn": Camera("sunset.jpg", (0.5, 0.5), 0.5, turn_degrees=0.8),
}
THING = "coffee.jpg"  # moves in front of the camera of a fifth film
Motion = tuple[NDArray[np.float32], NDArray[np.bool_]]


def _picture(name: str) -> Any:
    return read_picture(examples_folder() / "pictures" / name).image


def _matrix(camera: Camera, size: tuple[int, int], number: int) -> NDArray[np.float64]:
    """Return the 3x3 matrix from a frame's pixels to the picture's, for frame `number`."""
    height, width = size
    first = camera.width * width / WIDTH
    scale = first * camera.zoom**number
    angle = np.deg2rad(camera.turn_degrees * number)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([camera.middle[0] * width, camera.middle[1] * height])
    middle = middle + number * first * WIDTH * np.array(camera.step)
    matrix = np.eye(3)
    matrix[:2, :2] = turn
    matrix[:2, 2] = middle - turn @ np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    return matrix


def _draw(picture: Any, matrix: NDArray[np.float64], *, border: int = cv2.BORDER_REFLECT_101) -> Any:
    finer = np.diag([1 / OVERSAMPLING, 1 / OVERSAMPLING, 1.0])
    finer[:2, 2] = 0.5 / OVERSAMPLING - 0.5
    large = cv2.warpAffine(
        picture,
        (matrix @ finer)[:2],
        (WIDTH * OVERSAMPLING, HEIGHT * OVERSAMPLING),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=border,
    )
    return cv2.resize(large, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def _way_back(matrix: NDArray[np.float64], before: NDArray[np.float64]) -> NDArray[np.float32]:
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    here = np.stack([x, y, np.ones_like(x)], -1)
    there = here @ (np.linalg.inv(before) @ matrix).T
    return (there - here)[..., :2].astype(np.float32)


def _inside(back: NDArray[np.float32]) -> NDArray[np.bool_]:
    x, y = np.arange(WIDTH) + back[..., 0], np.arange(HEIGHT)[:, None] + back[..., 1]
    return (x >= EDGE) & (x <= WIDTH - 1 - EDGE) & (y >= EDGE) & (y <= HEIGHT - 1 - EDGE)


def known_film(camera: Camera) -> Iterator[tuple[Image, Motion | None]]:
    """Yield frames of a camera over a photograph, each with the true way back to the one before."""
    picture = _picture(camera.picture)
    before: NDArray[np.float64] | None = None
    for number in range(N_FRAMES):
        matrix = _matrix(camera, picture.shape[:2], number)
        motion = None
        if before is not None:
            back = _way_back(matrix, before)
            motion = back, _inside(back)
        yield _draw(picture, matrix), motion
        before = matrix


def occlusion_film() -> Iterator[tuple[Image, Motion | None]]:
    """Yield frames of a slow pan with a round thing crossing it; where one hides the other nothing is measured."""
    thing = _picture(THING)
    height, width = thing.shape[:2]
    disc = np.zeros((height, width), np.uint8)
    cv2.circle(disc, (width // 2, height // 2), height // 3, 255, -1)
    path = Camera(THING, (0.5, 0.5), WIDTH / 90)  # a thing of about 60 pixels
    cover_before, matrix_before = np.zeros((HEIGHT, WIDTH), np.float32), np.eye(3)
    for number, (frame, motion) in enumerate(known_film(PATHS["slow pan"])):
        place = np.eye(3)
        place[:2, 2] = (WIDTH - 1) / 2 - 50 - 6 * number, (HEIGHT - 1) / 2 - 90
        matrix = _matrix(path, (height, width), 0) @ place
        cover = _draw(disc, matrix, border=cv2.BORDER_CONSTANT).astype(np.float32) / 255
        mixed = frame + cover[..., None] * (_draw(thing, matrix).astype(np.float32) - frame)
        if motion is not None:
            back = np.where(cover[..., None] > 0.5, _way_back(matrix, matrix_before), motion[0]).astype(np.float32)
            there = np.stack(np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT)), -1).astype(np.float32) + back
            was = cv2.remap(cover_before, there[..., 0], there[..., 1], cv2.INTER_LINEAR)
            pure = ((cover > 0.999) & (was > 0.999)) | ((cover < 0.001) & (was < 0.001))
            motion = back, _inside(back) & pure
        yield np.rint(mixed).astype(np.uint8), motion
        cover_before, matrix_before = cover, matrix


def real_film(path: Path) -> Iterator[tuple[Image, None]]:
    """Yield N_FRAMES frames from the middle of a film, scaled down."""
    with av.open(str(path)) as container:
        for frame in islice(container.decode(video=0), 20, 20 + N_FRAMES):
            picture: Any = frame.to_ndarray(format="rgb24")
            yield shrink(picture, 2 * WIDTH), None


def measure(frames: Iterator[tuple[Image, Motion | None]], stylize: Callable[[Image], Image]) -> Flicker:
    """Stylise and steady a film, and measure it."""
    steadier, meter = Steadier(AUTO_STRENGTH), FlickerMeter()
    for source, motion in frames:
        own = stylize(source)
        meter.add(source, own, steadier(source, own), motion=motion)
    return meter.flicker


def _figures(name: str, flicker: Flicker) -> list[Figure]:
    error = flicker.warp_error
    assert error is not None
    note = f"warp error: source {error.source:.1f}, per frame {error.per_frame:.1f}, steady {error.steady:.1f}"
    lost = 1 - (flicker.sharpness_kept or 0)
    figures = [
        Figure(f"steady, {name}: sharpness lost", lost, goal=1 - LEAST_SHARPNESS),
        Figure(f"steady, {name}: distance in colour and form", flicker.distance, "/255", goal=MOST_DISTANCE),
    ]
    if flicker.excess is not None:
        figures.insert(
            0, Figure(f"steady, {name}: excess of flicker left", flicker.excess, goal=MOST_EXCESS, note=note)
        )
    return figures


def _time_720p(stylize: Callable[[Image], Image]) -> list[Figure]:
    """What steadying a 720p frame takes, against stylising it."""
    picture: Any = cv2.resize(_picture("mountain.jpg"), (1400, 720), interpolation=cv2.INTER_CUBIC)
    film = [np.ascontiguousarray(picture[:, left : left + 1280]) for left in range(2, 50, 4)]
    started = time.perf_counter()
    own = [stylize(frame) for frame in film[:2]]
    model_s = (time.perf_counter() - started) / 2
    steadier = Steadier(AUTO_STRENGTH)
    seconds = []
    for number, frame in enumerate(film):
        started = time.perf_counter()
        steadier(frame, own[number % 2])
        seconds.append(time.perf_counter() - started)
    steady_s = float(np.median(seconds[1:]))
    return [
        Figure("steady, 1280x720: ms a frame", 1000 * steady_s, "ms", goal=MOST_MS),
        Figure("steady, 1280x720: time over frame by frame", steady_s / model_s, goal=MOST_TIME_SHARE),
    ]


def bench_steady() -> list[Figure]:
    """Flicker left, sharpness lost, distance and time with the bundled style."""
    session = Session(choose_model("vangogh", direction="A2B").path, provider="cpu")
    stylize = Stylizer(session, TileOption("off"))
    films = {name: known_film(camera) for name, camera in PATHS.items()}
    films["a thing in front"] = occlusion_film()
    films["examples/clip.mp4"] = real_film(examples_folder() / "clip.mp4")
    folder = SHARED_DATA / "videos"
    films.update({name: real_film(folder / name) for name in REAL_FILMS if (folder / name).exists()})
    figures = []
    for name, frames in films.items():
        figures += _figures(name, measure(frames, stylize))
    return figures + _time_720p(stylize)


if __name__ == "__main__":
    for figure in bench_steady():
        print(figure.line(), flush=True)
