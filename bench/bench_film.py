"""Where the time of a film goes: wall time against the bare model, and each step by itself; and its memory.

Part of `make bench`; by itself: `python -m bench.bench_film`. The steps run at the same time, so that the wall time is
less than their sum; on a CPU they share its cores with the model, and what they take is what the film loses.
"""

import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bench.bench_others import Cost, measure, write_clip
from bench.figures import Figure
from stylegan_tool.film.convert import convert_film, plan_encoding, plan_window
from stylegan_tool.film.look import look_at
from stylegan_tool.film.making import Stylize
from stylegan_tool.film.reader import FilmReader
from stylegan_tool.film.segment_writer import SegmentWriter
from stylegan_tool.models import choose_model
from stylegan_tool.options import FilmOptions, TileOption
from stylegan_tool.pixels import Image, to_batch
from stylegan_tool.session import Session
from stylegan_tool.steady import SourceMotion, Steadier
from stylegan_tool.stylize import Stylizer

FRAMES = 24
SIZE = 1280, 720
RUNS = 3  # in turn
GOAL = 1.05
SHORT, LONG = 240, 2400  # frames of the clips whose memory is compared
MOST_GROWTH = 1.05


def _seconds(items: Iterable[Any]) -> float:
    started = time.perf_counter()
    for _ in items:
        pass
    return time.perf_counter() - started


def _frames(clip: Path) -> Iterator[Image]:
    look = look_at(clip)
    with FilmReader(clip, look, plan_window(look, FilmOptions(), clip)) as reader:
        for frame in reader:
            yield frame.image


def _write(images: list[Image], clip: Path, target: Path) -> Iterator[None]:
    encoding, _ = plan_encoding(look_at(clip), FilmOptions(), target)
    with SegmentWriter(target.with_suffix(".mkv"), encoding) as writer:
        for image in images:
            writer.write(image)
            yield


def _steps(clip: Path, folder: Path, stylizer: Stylizer) -> dict[str, float]:
    """Return the seconds a frame that each step takes by itself."""
    images = list(_frames(clip))
    some = images[:8]
    motion = SourceMotion()
    steps = [motion(image) for image in some]
    steadier = Steadier(1.0)
    return {
        "decode": _seconds(_frames(clip)) / len(images),
        "find cuts": _seconds(map(SourceMotion(cuts_only=True), images)) / len(images),
        "motion": _seconds(map(SourceMotion(), some)) / len(some),
        "stylise": _seconds(map(stylizer, some)) / len(some),
        "steady": _seconds(map(steadier, some, some, steps)) / len(some),
        "encode": _seconds(_write(images, clip, folder / "step.mp4")) / len(images),
    }


def bench_film(session: Session) -> Iterator[Figure]:
    """Wall time of a film against the bare model on as many frames of that size, and its parts."""
    stylizer = Stylizer(session, TileOption("auto"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = write_clip(folder / "in.mp4", *SIZE, FRAMES)
        batch = to_batch(next(_frames(clip)))
        walls: dict[float, list[float]] = {0.0: [], 1.0: []}
        for _ in range(RUNS):  # in turn, and against the model just before and just after
            before = _seconds(session.run(batch) for _ in range(FRAMES // 3))
            films = {steady: _film(clip, folder / "out.mp4", stylizer, steady) for steady in walls}
            after = _seconds(session.run(batch) for _ in range(FRAMES // 3))
            for steady, seconds in films.items():
                walls[steady].append(seconds / (before + after) * (2 * (FRAMES // 3) / FRAMES))
        size = f"film {SIZE[0]}x{SIZE[1]}"
        yield Figure(
            f"{size}, --steady off: wall time against the bare model", sorted(walls[0.0])[RUNS // 2], goal=GOAL
        )
        yield Figure(f"{size}, --steady auto: wall time against the bare model", sorted(walls[1.0])[RUNS // 2])
        for step, taken in _steps(clip, folder, stylizer).items():
            yield Figure(f"{size}: {step}, by itself", 1000 * taken, "ms")
        yield _memory(folder)


def _film(clip: Path, target: Path, stylize: Stylize, steady: float) -> float:
    started = time.perf_counter()
    convert_film(clip, target, stylize, steady=steady, overwrite=True)
    return time.perf_counter() - started


def _memory(folder: Path) -> Figure:
    """Compare the most memory of a clip and of one ten times as long, made by the whole command."""
    model, costs = choose_model("vangogh", direction="A2B").path, dict[int, Cost]()
    for frames in (SHORT, LONG):
        clip = write_clip(folder / f"{frames}.mp4", 64, 64, frames)
        target = folder / f"{frames}-out.mp4"
        costs[frames] = measure(["-m", "stylegan_tool", "video", clip, target, "--model", model])
    growth = costs[LONG].memory_bytes / costs[SHORT].memory_bytes
    note = f"{costs[SHORT].memory_bytes / 1e6:.0f} MB and {costs[LONG].memory_bytes / 1e6:.0f} MB"
    return Figure(f"memory of {LONG} frames against {SHORT}", growth, goal=MOST_GROWTH, note=note)


if __name__ == "__main__":
    for figure in bench_film(Session(choose_model("vangogh", direction="A2B").path, provider="cpu")):
        print(figure.line(), flush=True)
