"""How close stylised pictures are to their target, beside the two figures without which that says nothing.

    result  stylised source pictures        against the reference: all target pictures
    source  the same pictures as they were  against the reference: where a style that changes nothing stands
    floor   held-back target pictures       against the reference: where the painter himself stands

The distance falls with the number of pictures, so N is the same on both sides of each comparison and in all three: as
many as the smallest set has, unless fewer are asked for. Each draw takes N pictures of each set and new patches; the
three share the reference's, and source and result are the same pictures at the same places. What is drawn depends on
the seed and the sets' sizes alone.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from stylegan_tool import swd
from stylegan_tool.errors import InputError, UsageError
from stylegan_tool.image_files.naming import SUFFIXES, find_pictures
from stylegan_tool.image_files.reading import read_picture
from stylegan_tool.options import Half
from stylegan_tool.pixels import Image

Square: TypeAlias = NDArray[np.uint8]  # (swd.SIDE, swd.SIDE, 3)

Feature = TypeVar("Feature")

RESIZER = f"the middle square at {swd.SIDE} px (Pillow's bicubic, antialiased, where it is of another size)"


@dataclass(frozen=True)
class Sets:
    """The pictures to compare; `held_back` may be empty, the others are not."""

    source: tuple[Path, ...]
    target: tuple[Path, ...]
    held_back: tuple[Path, ...] = ()

    @property
    def smallest(self) -> int:
        """How many pictures the smallest set has."""
        return min(len(paths) for paths in (self.source, self.target, self.held_back) if paths)


@dataclass(frozen=True)
class Draw:
    """Which pictures one draw takes of each set: indices, N of each."""

    source: tuple[int, ...]
    target: tuple[int, ...]
    held_back: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Distances of one set to the reference, (draws, levels), times 1000."""

    distances: NDArray[np.float64]

    @property
    def levels(self) -> NDArray[np.float64]:
        """The mean over the draws at each of swd.LEVELS."""
        levels: NDArray[np.float64] = self.distances.mean(axis=0)
        return levels

    @property
    def draw_means(self) -> NDArray[np.float64]:
        """The mean over the levels in each draw."""
        means: NDArray[np.float64] = self.distances.mean(axis=1)
        return means

    @property
    def mean(self) -> float:
        """The mean over levels and draws: the figure."""
        return float(self.distances.mean())

    @property
    def spread(self) -> float:
        """The standard deviation of `draw_means`; 0 of a single draw."""
        return float(self.draw_means.std(ddof=1)) if len(self.distances) > 1 else 0.0


def open_sets(source: Path, target: Path, held_back: Path | None, half: Half | None) -> Sets:
    """List the pictures; `half` takes every other one of source and held-back, from the first or the second on.

    Raises:
        InputError: a folder is missing or has no pictures.
        UsageError: a picture of the reference is held back, too; or half of a set is nothing.
    """
    sets = Sets(
        _half(_pictures(source), half, source),
        _pictures(target),
        _half(_pictures(held_back), half, held_back) if held_back is not None else (),
    )
    shared = {path.resolve() for path in sets.target} & {path.resolve() for path in sets.held_back}
    if shared:
        raise UsageError(
            f"{min(shared)} is both in --target and in --held-back, which would make the floor too low",
            hint="Hold back pictures that are not in --target: trainB and testB, for example.",
        )
    return sets


def _pictures(folder: Path) -> tuple[Path, ...]:
    pictures = tuple(find_pictures(folder))
    if not pictures:
        raise InputError(
            f"no pictures in {folder}",
            hint=f"Name a folder that has some; looked for {', '.join(sorted(SUFFIXES))} there and below.",
        )
    return pictures


def _half(pictures: tuple[Path, ...], half: Half | None, folder: Path) -> tuple[Path, ...]:
    if half is None:
        return pictures
    chosen = pictures[{"first": 0, "second": 1}[half] :: 2]
    if not chosen:
        raise UsageError(f"{folder} has a single picture: no second half", hint="Leave --half out.")
    return chosen


def count_pictures(sets: Sets, wanted: int | None) -> int:
    """Return N: `wanted`, or as many as the smallest set has.

    Raises:
        UsageError: more are wanted than that.
    """
    if wanted is not None and wanted > sets.smallest:
        raise UsageError(
            f"--pictures {wanted} are more than the smallest set has, which is {sets.smallest}",
            hint=f"Type at most --pictures {sets.smallest}, or leave it out.",
        )
    return sets.smallest if wanted is None else wanted


def draw_pictures(sets: Sets, n: int, draws: int, seed: int) -> list[Draw]:
    """Return which `n` pictures each draw takes, in the folders' order."""
    drawn = []
    for draw in range(draws):
        picked = [
            tuple(sorted(int(i) for i in _rng(seed, draw, role).permutation(len(paths))[:n]))
            for role, paths in enumerate((sets.source, sets.target, sets.held_back))
        ]
        drawn.append(Draw(*picked))
    return drawn


def _rng(seed: int, draw: int, role: int) -> np.random.Generator:
    """Return a generator of its own for each use, so that a set more or less changes nothing in the others."""
    return np.random.default_rng([seed, draw, role])


def read_squares(
    paths: Sequence[Path], indices: Iterable[int], done: Callable[[], None] = lambda: None
) -> dict[int, Square]:
    """Read the pictures of those indices as squares (RESIZER); `done` is called after each."""
    squares = {}
    for index in sorted(set(indices)):
        squares[index] = swd.to_square(read_picture(paths[index]).image)
        done()
    return squares


def stylize_squares(
    squares: Mapping[int, Square], stylize: Callable[[Image], Image], done: Callable[[], None] = lambda: None
) -> dict[int, Square]:
    """Stylise each square at its size; `done` is called after each."""
    results = {}
    for index, square in squares.items():
        results[index] = swd.to_square(stylize(square))
        done()
    return results


def compare(
    draws: Sequence[Draw],
    seed: int,
    squares: Mapping[str, Mapping[int, Square]],
    done: Callable[[], None] = lambda: None,
) -> dict[str, Comparison]:
    """Return the distances of result, source and, where pictures are held back, floor; `done` is called a draw.

    Args:
        squares: result, source, target and held_back, by index.
    """
    distances: dict[str, list[NDArray[np.float64]]] = {}
    for number, draw in enumerate(draws):
        reference = swd.sample_patches([squares["target"][i] for i in draw.target], _rng(seed, number, 3))
        for name, role, indices in _compared(draw):
            # Source and result: the same places.
            rng = _rng(seed, number, 5 if name == "floor" else 4)
            patches = swd.sample_patches([squares[role][i] for i in indices], rng)
            apart = swd.level_distances(patches, reference, _rng(seed, number, 6))
            distances.setdefault(name, []).append(apart)
        done()
    return {name: Comparison(np.stack(rows)) for name, rows in distances.items()}


def _compared(draw: Draw) -> list[tuple[str, str, tuple[int, ...]]]:
    """Return what is compared with the reference: its name, whose pictures, and which."""
    compared = [("result", "result", draw.source), ("source", "source", draw.source)]
    return [*compared, ("floor", "held_back", draw.held_back)] if draw.held_back else compared


def compare_features(
    draws: Sequence[Draw],
    features: Mapping[str, Mapping[int, Feature]],
    measures: Callable[[Sequence[Feature], Sequence[Feature]], Sequence[float]],
    done: Callable[[], None] = lambda: None,
) -> dict[str, NDArray[np.float64]]:
    """Return each `measures` of result, source and floor to the reference, (draws, measures).

    Args:
        features: of result, source, target and held_back, by index.
        measures: takes a set's features and the reference's.
    """
    rows: dict[str, list[Sequence[float]]] = {}
    for draw in draws:
        reference = [features["target"][i] for i in draw.target]
        for name, role, indices in _compared(draw):
            rows.setdefault(name, []).append(measures([features[role][i] for i in indices], reference))
        done()
    return {name: np.array(row, np.float64) for name, row in rows.items()}


def identity_weight(model: Path) -> float | None:
    """Return lambda_identity of the run that `model` lies in, by its config.json; None where it does not say."""
    try:
        config: Any = json.loads((model.parent / "config.json").read_text(encoding="utf-8"))
        return float(config["lambda_identity"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def ratio(one: Comparison, floor: Comparison) -> tuple[float, float]:
    """Return how many times the floor `one` is, by the means over all draws, and the spread of that over the draws."""
    spread = Comparison(_over(one.draw_means, floor.draw_means)[:, None]).spread
    return float(_over(np.array(one.mean), np.array(floor.mean))), spread


def _over(one: NDArray[np.float64], floor: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ratios; NaN over a floor of 0, which pictures of one colour have."""
    return np.divide(one, floor, out=np.full_like(one, np.nan), where=floor > 0)


def table(comparisons: Mapping[str, Comparison]) -> list[str]:
    """Return the figures as lines: a row a comparison, then how many times the floor each is."""
    rows = [["SWD x1e3", *(f"{level} px" for level in swd.LEVELS), "mean", "spread"]]
    for name, one in comparisons.items():
        rows.append([name, *(f"{value:.2f}" for value in (*one.levels, one.mean, one.spread))])
    floor = comparisons.get("floor")
    for name, one in comparisons.items():
        if floor is not None and one is not floor:
            values = (*_over(one.levels, floor.levels), *ratio(one, floor))
            rows.append([f"{name} / floor", *(f"{value:.2f}" for value in values)])
    return _aligned(rows)


COLOURS = {"result": "result", "source": "source", "reference": "target", "floor": "held_back"}


def colour_table(squares: Mapping[str, Mapping[int, Square]]) -> list[str]:
    """Return mean and deviation of R, G and B of all pictures drawn, in 8-bit steps: what the distance does not see."""
    rows = [["colour", *(f"{what} {channel}" for what in ("mean", "dev.") for channel in "RGB")]]
    for name, role in COLOURS.items():
        if squares[role]:
            statistics = swd.channel_statistics(list(squares[role].values()))
            rows.append([name, *(f"{value:.0f}" for value in statistics.ravel())])
    return _aligned(rows)


def colour_figures(squares: Mapping[str, Mapping[int, Square]]) -> dict[str, Any]:
    """Return the same as it stands in the JSON."""
    found = {}
    for name, role in COLOURS.items():
        if squares[role]:
            mean, deviation = swd.channel_statistics(list(squares[role].values()))
            found[name] = {"mean": _plain(mean), "deviation": _plain(deviation)}
    return found


def inception_table(measured: Mapping[str, NDArray[np.float64]]) -> list[str]:
    """Return KID and FID, the columns of `measured`, as lines; no ratios: a good KID is near 0."""
    rows = [["", "KID x1e3", "spread", "FID", "spread"]]
    for name, values in measured.items():
        kid, fid = Comparison(values[:, :1]), Comparison(values[:, 1:])
        rows.append([name, *(f"{value:.2f}" for value in (kid.mean, kid.spread, fid.mean, fid.spread))])
    return _aligned(rows)


def inception_figures(measured: Mapping[str, NDArray[np.float64]]) -> dict[str, Any]:
    """Return KID and FID as they stand in the JSON."""
    return {
        measure: {
            name: {"mean": one.mean, "spread": one.spread, "draws": _plain(one.draw_means)}
            for name, values in measured.items()
            for one in [Comparison(values[:, column : column + 1])]
        }
        for column, measure in enumerate(("kid_x1e3", "fid"))
    }


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a line a row: names to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = [[cell.rjust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return ["  ".join([row[0].ljust(widths[0]), *cells[1:]]) for row, cells in zip(rows, padded, strict=True)]


def figures(comparisons: Mapping[str, Comparison]) -> dict[str, Any]:
    """Return the figures as they stand in the JSON; null over a floor of 0."""
    floor = comparisons.get("floor")
    fields: dict[str, Any] = {}
    for name, one in comparisons.items():
        fields[name] = {
            "levels": dict(zip(map(str, swd.LEVELS), _plain(one.levels), strict=True)),
            "mean": one.mean,
            "spread": one.spread,
            "draws": _plain(one.draw_means),
        }
        if floor is not None and one is not floor:
            fields[name]["over_floor"], fields[name]["over_floor_spread"] = _plain(np.array(ratio(one, floor)))
    return fields


def _plain(values: NDArray[np.float64]) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
