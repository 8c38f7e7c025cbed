"""Unpaired pictures: where a data set lies, which side is which, and the batches drawn from it.

A data set is a folder with trainA/ trainB/ (testA/ testB/), or train/A train/B (test/A test/B).
Batches: float32 (N,3,crop,crop) in [-1,1], one of each domain, independently drawn. No torch here, so that
a wrong folder is answered at once.
"""

import os
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PilImage

from stylegan_tool.errors import InputError, SgtError, UsageError
from stylegan_tool.image_files import check_readable, find_pictures, read_picture
from stylegan_tool.pixels import Batch, Image, to_batch
from stylegan_tool.progress import Progress
from stylegan_train.config import Recipe, TrainConfig


@dataclass(frozen=True)
class DataSet:
    """The pictures of both domains, exchanged where the folder has them the other way round."""

    folder: Path
    exchanged: bool
    train_a: tuple[Path, ...]
    train_b: tuple[Path, ...]
    test_a: tuple[Path, ...]
    test_b: tuple[Path, ...]

    def without(self, left_out: Collection[Path]) -> "DataSet":
        """Return the set without these pictures."""

        def keep(pictures: tuple[Path, ...]) -> tuple[Path, ...]:
            return tuple(path for path in pictures if path not in left_out)

        sides = (keep(self.train_a), keep(self.train_b), keep(self.test_a), keep(self.test_b))
        return DataSet(self.folder, self.exchanged, *sides)


def side_folder(folder: Path, part: str, side: str) -> Path:
    """Return the folder of `part` (train or test) and `side` (A or B) in either layout."""
    flat = folder / f"{part}{side}"
    return flat if flat.is_dir() else folder / part / side


def is_data_set(folder: Path) -> bool:
    """Whether `folder` has pictures of two domains in one of the two layouts."""
    return all(side_folder(folder, "train", side).is_dir() for side in "AB")


def locate_data_set(recipe: Recipe, data: Path | None) -> tuple[Path, bool]:
    """Find the recipe's data set: (folder, whether its sides are exchanged).

    `data` is the set itself or the folder that holds it; without it, ./datasets holds it.

    Raises:
        UsageError: both X2Y and Y2X are there.
        InputError: nothing is; the message says what was looked for, where, and how to lay one out.
    """
    if data is not None and data.name in ("", ".."):
        data = data.resolve()  # other paths not: a link's own name says which side is which
    if data is not None and is_data_set(data):
        return data, data.name in recipe.exchanged_folders
    place = data if data is not None else Path("datasets")
    found = [(place / name, False) for name in recipe.folders if is_data_set(place / name)]
    found += [(place / name, True) for name in recipe.exchanged_folders if is_data_set(place / name)]
    if len(found) > 1:
        names = " and ".join(str(folder) for folder, _ in found)
        raise UsageError(
            f"Two data sets fit {recipe.name}: {names}",
            hint=f"Say which one: sgt train {recipe.name} --data {found[0][0]}",
        )
    if not found:
        wanted = ", ".join([*recipe.folders, *recipe.exchanged_folders])
        raise InputError(
            f"No data set for {recipe.name}: looked in {place}{os.sep} for a folder {wanted}"
            + (f", and for trainA and trainB in {place} itself" if data is not None else ""),
            hint=f"Lay one out as {place / recipe.folders[0]}/trainA (pictures of {recipe.domain_a}) and "
            f"{place / recipe.folders[0]}/trainB (pictures of {recipe.domain_b}), testA and testB beside "
            "them if you like, or say where it is with --data DIR.",
        )
    return found[0]


def open_data_set(folder: Path, *, exchanged: bool) -> DataSet:
    """List the pictures of a data set.

    Raises:
        InputError: a side has no pictures.
    """
    a, b = ("B", "A") if exchanged else ("A", "B")
    sides: dict[str, tuple[Path, ...]] = {}
    for part in ("train", "test"):
        for ours, theirs in (("a", a), ("b", b)):
            place = side_folder(folder, part, theirs)
            pictures = tuple(find_pictures(place)) if place.is_dir() else ()
            if part == "train" and not pictures:
                raise InputError(
                    f"No pictures in {place}", hint="Put JPEG, PNG, WebP or TIFF files there, or see --data."
                )
            sides[f"{part}_{ours}"] = pictures
    return DataSet(folder, exchanged, **sides)


def find_unreadable(pictures: Sequence[Path]) -> list[tuple[Path, str]]:
    """Decode every picture once and return the unreadable ones, each with the reason."""
    bad = []
    with Progress("checking", len(pictures), "pictures") as progress:
        for path in pictures:
            try:
                check_readable(path)
            except SgtError as error:
                bad.append((path, error.what))
            progress.advance()
    return bad


def load_image(path: Path) -> Image:
    """Read a picture as uint8 (H,W,3); 16 bit is rounded to 8, alpha is left out."""
    image = read_picture(path).image
    return image if image.dtype == np.uint8 else np.rint(image / 257.0).astype(np.uint8)


def scale_image(image: Image, shorter_side: int) -> Image:
    """Scale so that the shorter side is `shorter_side` (bicubic, antialiased); the aspect is kept."""
    height, width = image.shape[:2]
    factor = shorter_side / min(height, width)
    size = (max(shorter_side, round(width * factor)), max(shorter_side, round(height * factor)))
    if size == (width, height):
        return image
    scaled = PilImage.fromarray(image).resize(size, PilImage.Resampling.BICUBIC)
    return np.asarray(scaled)


def random_crop(image: Image, config: TrainConfig, rng: np.random.Generator) -> Image:
    """Scale to a size drawn from `load_size`, cut a random square of `crop_size`, flip half of the time."""
    low, high = config.load_size
    scaled = scale_image(image, int(rng.integers(low, high + 1)))
    crop = config.crop_size
    top = int(rng.integers(0, scaled.shape[0] - crop + 1))
    left = int(rng.integers(0, scaled.shape[1] - crop + 1))
    square = scaled[top : top + crop, left : left + crop]
    return square[:, ::-1] if rng.random() < 0.5 else square


def center_crop(image: Image, size: int) -> Image:
    """Scale the shorter side to `size` and cut the middle square: the fixed pictures of the sample grids."""
    scaled = scale_image(image, size)
    top, left = (scaled.shape[0] - size) // 2, (scaled.shape[1] - size) // 2
    return scaled[top : top + size, left : left + size]


class UnpairedBatches:
    """The batches of an epoch: max(|A|,|B|) pictures, A in a shuffled order, B drawn at random.

    A batch depends only on (seed, epoch, step), not on what was drawn before, so that a run can go on in
    the middle of an epoch.
    """

    def __init__(self, data_set: DataSet, config: TrainConfig) -> None:
        self.data_set = data_set
        self.config = config
        self.n_pictures = max(len(data_set.train_a), len(data_set.train_b))
        self.n_steps = -(-self.n_pictures // config.batch_size)

    def batch(self, epoch: int, step: int) -> tuple[Batch, Batch]:
        """Return (real_a, real_b) of 0-based `step` in `epoch`."""
        order = np.random.default_rng([self.config.seed, epoch]).permutation(self.n_pictures)
        size = self.config.batch_size
        rng = np.random.default_rng([self.config.seed, epoch, 1 + step])  # a last 0 would repeat the stream above
        side_a, side_b = [], []
        for place in range(step * size, (step + 1) * size):
            path_a = self.data_set.train_a[order[place % self.n_pictures] % len(self.data_set.train_a)]
            path_b = self.data_set.train_b[int(rng.integers(len(self.data_set.train_b)))]
            side_a.append(to_batch(random_crop(load_image(path_a), self.config, rng)))
            side_b.append(to_batch(random_crop(load_image(path_b), self.config, rng)))
        return np.concatenate(side_a), np.concatenate(side_b)

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Batch, Batch]]:
        """Yield the batches of `epoch` from `first_step` on, each read while the one before is trained on."""
        with ThreadPoolExecutor(max_workers=1) as reader:
            ahead = [reader.submit(self.batch, epoch, first_step)] if first_step < self.n_steps else []
            for step in range(first_step, self.n_steps):
                current = ahead.pop()
                if step + 1 < self.n_steps:
                    ahead.append(reader.submit(self.batch, epoch, step + 1))
                yield current.result()
