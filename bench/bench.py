"""Speed and memory of what exists, as ratios within one run: `make bench`.

A machine's seconds say little about another's, so each line compares two things that ran in turn here, or
a figure with the limit that the code assumes. Prints a table and writes bench.json.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from bench.bench_film import bench_film
from bench.bench_others import bench_others
from bench.bench_precision import bench_precision
from bench.bench_steady import bench_steady
from bench.bench_tiles import bench_tiles, photo
from bench.bench_training import bench_training
from bench.figures import Figure, run_python, time_in_turn
from stylegan_tool.models import choose_model
from stylegan_tool.options import TileOption
from stylegan_tool.pixels import to_batch
from stylegan_tool.session import Session
from stylegan_tool.stylize import Stylizer

REPORT = Path("bench.json")


def bench_help() -> list[Figure]:
    """How much slower `sgt --help` is than Python itself."""
    python, help_ = time_in_turn(
        lambda: run_python(["-c", "pass"]), lambda: run_python(["-m", "stylegan_tool", "--help"])
    )
    return [Figure("sgt --help, seconds beyond Python's own start", help_ - python, "s", goal=0.3)]


def bench_pictures(session: Session) -> list[Figure]:
    """Padding and conversion against the bare model."""
    small = photo(512, 512)
    batch = to_batch(small)
    stylizer = Stylizer(session, TileOption("auto"))
    bare_s, whole_s = time_in_turn(lambda: session.run(batch), lambda: stylizer(small))
    return [
        Figure("512x512: stylise, uint8 to uint8, against the bare model", whole_s / bare_s, goal=1.1),
        Figure("512x512: megapixels a second", 0.512**2 / bare_s, "MP/s"),
    ]


def main() -> None:
    """Measure all of it."""
    session = Session(choose_model("vangogh", direction="A2B").path, provider="cpu")
    benches: list[Callable[[], Iterable[Figure]]] = [
        bench_help,
        lambda: bench_pictures(session),
        lambda: bench_tiles(session),
        lambda: bench_film(session),
        bench_others,
        bench_precision,
        bench_steady,
        bench_training,
    ]
    figures: list[Figure] = []
    for bench in benches:
        for figure in bench():
            print(figure.line(), flush=True)
            figures.append(figure)
    REPORT.write_text(
        json.dumps([{**asdict(figure), "met": figure.met} for figure in figures], indent=2) + "\n", encoding="utf-8"
    )
    print(f"written to {REPORT}")


if __name__ == "__main__":
    main()
