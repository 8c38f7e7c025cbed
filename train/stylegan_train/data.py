"""Unpaired pictures: where a data set lies, which side is which, and the batches drawn from it.

A data set is a folder with trainA/ trainB/ (testA/ testB/), or train/A train/B (test/A test/B).
Batches: float32 (N,3,crop,crop) in [-1,1], one of each domain, independently drawn. No torch here, so that
a wrong folder is answered at once.
"""

import os
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PilImage

from stylegan_tool.errors import InputError, SgtError, UsageError, typed
from stylegan_tool.image_files.naming import find_pictures
from stylegan_tool.image_files.reading import check_readable, read_picture
from stylegan_tool.pixels import Batch, Image, in_8_bits, to_batch
from stylegan_tool.progress import Progress
from stylegan_train.config import Recipe, TrainConfig

LARGEST_SCALE = 2.0
COLOUR_LIMIT = 0.15


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
            f"two data sets fit {recipe.name}: {names}",
            hint=f"Say which one: sgt train {recipe.name} --data {typed(found[0][0])}",
        )
    if not found:
        wanted = ", ".join([*recipe.folders, *recipe.exchanged_folders])
        raise InputError(
            f"no data set for {recipe.name}: looked in {place}{os.sep} for a folder {wanted}"
            + (f", and for trainA and trainB in {place} itself" if data is not None else ""),
            hint=f"Lay one out as {place / recipe.folders[0]}/trainA (pictures of {recipe.domain_a}) and "
            f"{place / recipe.folders[0]}/trainB (pictures of {recipe.domain_b}), testA and testB beside "
            "them if you like, or say where it is: --data FOLDER",
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
                    f"no pictures in {place}",
                    hint="Put JPEG, PNG, WebP or TIFF files there, or say where they are: --data FOLDER",
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
    plain = _decode_plain(path)
    if plain is not None:
        return plain
    return in_8_bits(read_picture(path).image)


def _decode_plain(path: Path) -> Image | None:
    """An ordinary JPEG by OpenCV, which lets several threads decode at once; None for what it might get wrong.

    The pixels are those of `read_picture`; colour profiles, CMYK and whatever is no JPEG are left to it.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror or error}",
            hint="Put it back, or look at its disk, then type the same command with --resume",
        ) from error
    whole_jpeg = content.startswith(b"\xff\xd8\xff") and content.endswith(b"\xff\xd9")
    if not whole_jpeg or b"ICC_PROFILE" in content or b"Adobe\x00" in content[:4096]:
        return None
    flags = cv2.IMREAD_COLOR_RGB  # which follows EXIF's orientation
    return cv2.imdecode(np.frombuffer(content, np.uint8), flags)  # type: ignore[return-value]  # OpenCV's types


def scaled_size(image: Image, shorter_side: int) -> tuple[int, int]:
    """Return (height, width) of `image` scaled to that shorter side with its aspect kept."""
    height, width = image.shape[:2]
    factor = shorter_side / min(height, width)
    return max(shorter_side, round(height * factor)), max(shorter_side, round(width * factor))


def scale_part(image: Image, size: tuple[int, int], top: int, left: int, side: int) -> Image:
    """Return the square at (top, left) of `image` scaled to `size` (height, width), and scale nothing else.

    Bicubic and antialiased; what is far too large is averaged over whole pixels before that.
    """
    height, width = image.shape[:2]
    if size == (height, width):
        return image[top : top + side, left : left + side]
    tall, wide = height / size[0], width / size[1]  # a scaled pixel in pixels of the picture
    box = (left * wide, top * tall, min(width, (left + side) * wide), min(height, (top + side) * tall))
    bicubic = PilImage.Resampling.BICUBIC
    return np.asarray(PilImage.fromarray(image).resize((side, side), bicubic, box=box, reducing_gap=3.0))


def random_crop(image: Image, load_size: tuple[int, int], config: TrainConfig, rng: np.random.Generator) -> Image:
    """Scale to a size drawn from `load_size`, cut a random square of `crop_size`, and augment.

    flip: mirrored half of the time. scale: half of the pictures are shown up to twice as large as `load_size` says
    (log-uniform), which is how a generator learns what a small part of a large picture looks like. colour:
    brightness, contrast and saturation by up to 15 % each.
    """
    low, high = load_size
    shorter_side = int(rng.integers(low, high + 1))
    if "scale" in config.augment and rng.random() < 0.5:
        shorter_side = round(shorter_side * LARGEST_SCALE ** rng.random())
    size, crop = scaled_size(image, shorter_side), config.crop_size
    top, left = (int(rng.integers(0, length - crop + 1)) for length in size)
    square = scale_part(image, size, top, left, crop)
    if "flip" in config.augment and rng.random() < 0.5:
        square = square[:, ::-1]
    return shift_colours(square, rng) if "colour" in config.augment else square


def shift_colours(image: Image, rng: np.random.Generator) -> Image:
    """Change brightness, contrast and saturation by factors drawn from 1 +- COLOUR_LIMIT."""
    brightness, contrast, saturation = rng.uniform(1 - COLOUR_LIMIT, 1 + COLOUR_LIMIT, 3)
    colours = image * np.float32(brightness)
    grey = (colours @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]  # ITU-R BT.601 luma
    colours = grey + (colours - grey) * np.float32(saturation)
    colours = grey.mean() + (colours - grey.mean()) * np.float32(contrast)
    shifted: Image = np.rint(np.clip(colours, 0, 255)).astype(np.uint8)
    return shifted


def center_crop(image: Image, size: int) -> Image:
    """Scale the shorter side to `size` and cut the middle square: the fixed pictures of the sample grids."""
    scaled = scaled_size(image, size)
    top, left = ((length - size) // 2 for length in scaled)
    return scale_part(image, scaled, top, left, size)


class UnpairedBatches:
    """The batches of an epoch: max(|A|,|B|) pictures, A in a shuffled order, B drawn at random.

    A picture depends only on (seed, epoch, its place in the epoch), not on what was drawn before, so that a run can
    go on in the middle of an epoch, and so that processes which share a run each read their own part of a batch.

    Args:
        data_set: the pictures.
        config: of the run.
        places: the pictures of each batch that are read here, 0 <= place < batch_size; all of them by default.
    """

    def __init__(self, data_set: DataSet, config: TrainConfig, places: range | None = None) -> None:
        self.data_set = data_set
        self.config = config
        self.places = range(config.batch_size) if places is None else places
        self.n_pictures = max(len(data_set.train_a), len(data_set.train_b))
        self.n_steps = -(-self.n_pictures // config.batch_size)

    def batch(self, epoch: int, step: int) -> tuple[Batch, Batch]:
        """Return (real_a, real_b) of 0-based `step` in `epoch`, the pictures at `places`."""
        order = np.random.default_rng([self.config.seed, epoch]).permutation(self.n_pictures)
        load_size_b = self.config.load_size_b or self.config.load_size
        side_a, side_b = [], []
        for place in (step * self.config.batch_size + place for place in self.places):
            rng = np.random.default_rng([self.config.seed, epoch, 1 + place])  # a last 0 would repeat the stream above
            path_a = self.data_set.train_a[order[place % self.n_pictures] % len(self.data_set.train_a)]
            path_b = self.data_set.train_b[int(rng.integers(len(self.data_set.train_b)))]
            side_a.append(to_batch(random_crop(load_image(path_a), self.config.load_size, self.config, rng)))
            side_b.append(to_batch(random_crop(load_image(path_b), load_size_b, self.config, rng)))
        return np.concatenate(side_a), np.concatenate(side_b)

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Batch, Batch]]:
        """Yield the batches of `epoch` from `first_step` on, read by `workers` threads while others are trained on.

        Threads, since decoding and scaling let go of Python's lock: nothing to start, to copy or to break.
        """
        steps = range(first_step, self.n_steps)
        workers = self.config.workers
        if workers == 0:
            yield from (self.batch(epoch, step) for step in steps)
            return
        readers = ThreadPoolExecutor(max_workers=workers)
        try:
            ahead = deque(readers.submit(self.batch, epoch, step) for step in steps[: 2 * workers])
            for step in steps:
                yield ahead.popleft().result()
                if step + 2 * workers < self.n_steps:
                    ahead.append(readers.submit(self.batch, epoch, step + 2 * workers))
        finally:
            readers.shutdown(cancel_futures=True)  # a run that is stopped does not wait for what nobody will see
