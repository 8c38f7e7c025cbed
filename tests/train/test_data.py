import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage
from PIL import ImageCms

from stylegan_tool.errors import InputError, UsageError
from stylegan_tool.image_files.picture import Picture
from stylegan_tool.image_files.reading import read_picture
from stylegan_tool.image_files.writing import write_picture
from stylegan_tool.pixels import Image
from stylegan_train.config import PRESETS, Recipe, TrainConfig, read_recipe
from stylegan_train.data import (
    COLOUR_LIMIT,
    DataSet,
    UnpairedBatches,
    center_crop,
    find_unreadable,
    load_image,
    locate_data_set,
    open_data_set,
    random_crop,
    scale_part,
    scaled_size,
    shift_colours,
)
from tests.models import BLUE, RED
from tests.train.sets import NAMES, make_pictures, make_set


@pytest.fixture
def recipe() -> Recipe:
    return read_recipe("photo2vangogh")


def _config(**fields: Any) -> TrainConfig:
    return TrainConfig(**{**PRESETS["tiny"], **fields})


def _colour(image: np.ndarray) -> str:
    """Which side of a made-up set a batch (N,3,H,W) comes from."""
    red, _, blue = image.mean(axis=(0, 2, 3))
    assert abs(red - blue) > 1
    return "red" if red > blue else "blue"


@pytest.mark.parametrize("layout", ["flat", "nested"])
def test_both_layouts_are_read(tmp_path: Path, layout: str) -> None:
    folder = make_set(tmp_path / "set", 3, 2, n_test=1, layout=layout)
    data_set = open_data_set(folder, exchanged=False)
    assert [len(side) for side in (data_set.train_a, data_set.train_b)] == [3, 2]
    assert [len(side) for side in (data_set.test_a, data_set.test_b)] == [1, 1]
    real_a, real_b = UnpairedBatches(data_set, _config()).batch(0, 0)
    assert (_colour(real_a), _colour(real_b)) == ("red", "blue")


@pytest.mark.parametrize("layout", ["flat", "nested"])
def test_an_exchanged_set_is_found_and_exchanged(recipe: Recipe, in_folder: Path, layout: str) -> None:
    make_set(Path("datasets") / "vangogh2photo", 3, 2, n_test=2, layout=layout)  # its A, red, is our B
    folder, exchanged = locate_data_set(recipe, None)
    assert (folder, exchanged) == (Path("datasets/vangogh2photo"), True)
    data_set = open_data_set(folder, exchanged=exchanged)
    real_a, real_b = UnpairedBatches(data_set, _config()).batch(0, 0)
    assert (_colour(real_a), _colour(real_b)) == ("blue", "red")
    assert [len(side) for side in (data_set.train_a, data_set.train_b)] == [2, 3]
    assert {path.parent for path in data_set.test_a} == {folder / NAMES[layout].format(part="test", side="B")}


@pytest.mark.parametrize(
    ("folder", "data", "exchanged"),
    [
        pytest.param("datasets/photo2vangogh", None, False, id="in datasets"),
        pytest.param("datasets/vangogh2photo", None, True, id="in datasets, exchanged"),
        pytest.param("my/photo2vangogh", "my", False, id="in a named folder"),
        pytest.param("my/vangogh2photo", "my", True, id="in a named folder, exchanged"),
        pytest.param("my/photo2vangogh", "my/photo2vangogh", False, id="the set itself"),
        pytest.param("my/vangogh2photo", "my/vangogh2photo", True, id="the set itself, exchanged"),
        pytest.param("my/pictures", "my/pictures", False, id="a set of any name"),
    ],
)
def test_where_a_set_is_looked_for(
    folder: str, data: str | None, exchanged: bool, recipe: Recipe, in_folder: Path
) -> None:
    make_set(in_folder / folder)
    place = None if data is None else Path(data)
    assert locate_data_set(recipe, place) == (Path(folder), exchanged)


def test_a_links_own_name_says_which_side_is_which(recipe: Recipe, in_folder: Path) -> None:
    make_set(in_folder / "elsewhere")
    (in_folder / "vangogh2photo").symlink_to(in_folder / "elsewhere")
    assert locate_data_set(recipe, Path("vangogh2photo"))[1] is True
    assert locate_data_set(recipe, Path("elsewhere"))[1] is False


def test_inside_a_set_dots_are_the_set(recipe: Recipe, in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_set(in_folder / "vangogh2photo")
    monkeypatch.chdir(folder)
    assert locate_data_set(recipe, Path()) == (folder, True)
    monkeypatch.chdir("trainA")
    assert locate_data_set(recipe, Path("..")) == (folder, True)


@pytest.mark.parametrize(
    ("name", "folders"),
    [
        pytest.param("photo2vangogh", ("photo2vangogh", "vangogh2photo"), id="both directions"),
        pytest.param("summer2winter", ("summer2winter", "summer2winter_yosemite"), id="a name and its alias"),
    ],
)
def test_two_sets_that_fit_are_not_chosen_between(name: str, folders: tuple[str, str], in_folder: Path) -> None:
    for folder in folders:
        make_set(in_folder / "datasets" / folder)
    with pytest.raises(UsageError) as caught:
        locate_data_set(read_recipe(name), None)
    assert all(str(Path("datasets") / folder) in caught.value.what for folder in folders)
    assert "--data" in caught.value.hint
    locate_data_set(read_recipe(name), Path("datasets") / folders[1])  # said, it is taken


@pytest.mark.parametrize("data", [None, Path("my")], ids=["in datasets", "in a named folder"])
def test_a_missing_set_says_what_was_looked_for_where_and_how_to_lay_one_out(
    data: Path | None, recipe: Recipe, in_folder: Path
) -> None:
    with pytest.raises(InputError) as caught:
        locate_data_set(recipe, data)
    place = data or Path("datasets")
    assert f"looked in {place}/" in caught.value.what
    assert "photo2vangogh" in caught.value.what
    assert "vangogh2photo" in caught.value.what
    for side, domain in (("trainA", "photo"), ("trainB", "vangogh")):
        assert f"{place}/photo2vangogh/{side} (pictures of {domain})" in caught.value.hint
    assert "--data FOLDER" in caught.value.hint


def test_a_set_needs_pictures_on_both_sides(tmp_path: Path) -> None:
    make_set(tmp_path / "set", 1, 0)
    (tmp_path / "set" / "trainB").mkdir()
    (tmp_path / "set" / "trainB" / "notes.txt").write_text("none yet")
    with pytest.raises(InputError, match=r"no pictures in .*trainB"):
        open_data_set(tmp_path / "set", exchanged=False)


def test_without_leaves_out_what_is_named(tmp_path: Path) -> None:
    data_set = open_data_set(make_set(tmp_path / "set", 3, 2, n_test=2), exchanged=False)
    left_out = {data_set.train_a[1], data_set.test_b[0]}
    kept = data_set.without(left_out)
    assert (len(kept.train_a), len(kept.train_b), len(kept.test_a), len(kept.test_b)) == (2, 2, 2, 1)
    assert left_out.isdisjoint([*kept.train_a, *kept.test_b])


# --- batches --------------------------------------------------------------------------------------


def _flat_set(folder: Path, n_a: int, n_b: int) -> DataSet:
    """Pictures of one grey value each, so that a batch says which picture it shows: 10, 20, ... and 15, 25, ..."""
    sides: list[tuple[Path, ...]] = []
    for side, n, first in (("A", n_a, 10), ("B", n_b, 15)):
        paths = tuple(folder / f"{side}{i}.png" for i in range(n))
        for i, path in enumerate(paths):
            PilImage.new("RGB", (36, 36), (first + 10 * i,) * 3).save(path)
        sides.append(paths)
    return DataSet(folder, False, sides[0], sides[1], (), ())


def _values(batch: np.ndarray) -> list[int]:
    """The grey value of each picture of a batch."""
    return [round((float(picture.mean()) + 1) * 127.5) for picture in batch]


@pytest.mark.parametrize(
    ("n_a", "n_b", "batch_size", "n_steps"),
    [
        pytest.param(5, 2, 1, 5, id="more of A"),
        pytest.param(2, 5, 1, 5, id="more of B"),
        pytest.param(5, 2, 2, 3, id="a last batch that is not full"),
        pytest.param(1, 1, 4, 1, id="fewer than a batch"),
    ],
)
def test_an_epoch_is_the_larger_sides_pictures(
    n_a: int, n_b: int, batch_size: int, n_steps: int, tmp_path: Path
) -> None:
    batches = UnpairedBatches(_flat_set(tmp_path, n_a, n_b), _config(batch_size=batch_size))
    drawn = list(batches.epoch(3))
    assert len(drawn) == batches.n_steps == n_steps
    assert {batch.shape for pair in drawn for batch in pair} == {(batch_size, 3, 32, 32)}
    assert {batch.dtype for pair in drawn for batch in pair} == {np.dtype(np.float32)}
    seen_a = Counter(value for real_a, _ in drawn for value in _values(real_a))
    assert set(seen_a) == {10 + 10 * i for i in range(n_a)}
    assert max(seen_a.values()) - min(seen_a.values()) <= 1 + (n_steps * batch_size - max(n_a, n_b))
    assert {value for _, real_b in drawn for value in _values(real_b)} <= {15 + 10 * i for i in range(n_b)}


def test_a_is_shuffled_anew_each_epoch_and_b_drawn_for_itself(tmp_path: Path) -> None:
    batches = UnpairedBatches(_flat_set(tmp_path, 6, 6), _config())
    orders, partners = [], []
    for epoch in range(4):
        drawn = list(batches.epoch(epoch))
        orders.append([_values(real_a)[0] for real_a, _ in drawn])
        partners.append([_values(real_b)[0] for _, real_b in drawn])
    assert all(sorted(order) == [10, 20, 30, 40, 50, 60] for order in orders)
    assert len(set(map(tuple, orders))) == 4
    assert len(set(map(tuple, partners))) == 4
    assert any(len(set(drawn)) < 6 for drawn in partners)  # with replacement
    assert set(itertools.chain(*partners)) == {15, 25, 35, 45, 55, 65}


def test_a_batch_depends_only_on_seed_epoch_and_step(tmp_path: Path) -> None:
    data_set = open_data_set(make_set(tmp_path / "set", 4, 3), exchanged=False)
    config = _config(load_size=(36, 60))
    fresh, used = (UnpairedBatches(data_set, config) for _ in range(2))
    for other in ((0, 0), (2, 3), (1, 1)):
        used.batch(*other)
    expected = fresh.batch(2, 1)
    assert all(map(np.array_equal, used.batch(2, 1), expected))
    others = [fresh.batch(2, 2), fresh.batch(1, 1)]
    others.append(UnpairedBatches(data_set, _config(load_size=(36, 60), seed=1)).batch(2, 1))
    for batch in others:
        assert not np.array_equal(batch[0], expected[0])
        assert not np.array_equal(batch[1], expected[1])


@pytest.mark.parametrize("parts", [(2, 2), (1, 3), (1, 1, 1, 1)])
def test_the_parts_of_a_batch_are_the_whole_batch(parts: tuple[int, ...], tmp_path: Path) -> None:
    """However many share a batch, and whatever each draws for its pictures."""
    data_set = open_data_set(make_set(tmp_path / "set", 5, 3), exchanged=False)
    config = _config(batch_size=4, load_size=(36, 60), augment=("flip", "scale", "colour"))
    ends = [sum(parts[: i + 1]) for i in range(len(parts))]
    shares = [UnpairedBatches(data_set, config, range(end - n, end)) for n, end in zip(parts, ends, strict=True)]
    assert {share.n_steps for share in shares} == {2}
    whole = UnpairedBatches(data_set, config).batch(1, 1)
    for side in (0, 1):
        assert np.array_equal(np.concatenate([share.batch(1, 1)[side] for share in shares]), whole[side])


@pytest.mark.parametrize("first_step", [0, 2, 4])
def test_an_epoch_may_be_taken_up_at_any_step(first_step: int, tmp_path: Path) -> None:
    data_set = open_data_set(make_set(tmp_path / "set", 4, 3), exchanged=False)
    batches = UnpairedBatches(data_set, _config())
    drawn = list(batches.epoch(1, first_step))
    assert len(drawn) == 4 - first_step
    for step, pair in enumerate(drawn, first_step):
        assert all(map(np.array_equal, pair, batches.batch(1, step)))


# --- pictures -------------------------------------------------------------------------------------


def _ruler(height: int, width: int) -> Image:
    """A picture whose red is its column and whose green is its row."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns, rows, 0 * rows], axis=2).astype(np.uint8)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        pytest.param(50, 100, (36, 72), id="wide, smaller"),
        pytest.param(99, 33, (108, 36), id="tall, larger"),
        pytest.param(36, 80, (36, 80), id="as it is"),
        pytest.param(500, 501, (36, 36), id="nearly square"),
    ],
)
def test_scaling_keeps_the_aspect(height: int, width: int, expected: tuple[int, int]) -> None:
    assert scaled_size(np.zeros((height, width, 3), np.uint8), 36) == expected


@pytest.mark.parametrize("shorter_side", [30, 100, 170], ids=["down", "as it is", "up"])
def test_a_part_is_what_the_whole_scaled_picture_has_there(shorter_side: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (25, 50, 3), np.uint8).repeat(4, axis=0).repeat(4, axis=1)
    size = scaled_size(image, shorter_side)
    whole = PilImage.fromarray(image).resize((size[1], size[0]), PilImage.Resampling.BICUBIC)
    part = scale_part(image, size, 5, 11, 20)
    assert part.shape == (20, 20, 3)
    difference = np.abs(part.astype(int) - np.asarray(whole)[5:25, 11:31])
    assert difference[3:-3, 3:-3].max() <= 1  # at its border a part knows nothing of what is beside it


def test_scaling_keeps_left_left_and_smooths_what_is_too_fine() -> None:
    columns = scale_part(_ruler(100, 200), (50, 100), 0, 0, 50)[20, :, 0].tolist()
    assert columns == sorted(set(columns))
    stripes = np.zeros((80, 80, 3), np.uint8)
    stripes[:, ::3] = 255
    assert np.abs(scale_part(stripes, (20, 20), 0, 0, 20)[:, 2:-2] - 85.0).max() < 20


def test_crops_are_drawn_from_the_whole_picture_and_flipped_half_of_the_time() -> None:
    config = _config()
    rng = np.random.default_rng(0)
    places, flips = set(), 0
    for _ in range(400):
        crop = random_crop(_ruler(36, 44), (36, 36), config, rng).astype(int)
        assert crop.shape == (32, 32, 3)
        step = crop[0, 1, 0] - crop[0, 0, 0]
        assert (np.diff(crop[:, :, 0], axis=1) == step).all()
        assert (np.diff(crop[:, :, 1], axis=0) == 1).all()
        places.add((int(crop[:, :, 0].min()), int(crop[:, :, 1].min())))
        flips += step == -1
    assert places == {(left, top) for left in range(13) for top in range(5)}
    assert abs(flips - 200) < 4 * 10  # four standard deviations


def test_the_load_size_is_drawn_from_its_range() -> None:
    """A crop out of a larger picture shows less of it: the ruler's steps are finer."""
    rng = np.random.default_rng(0)
    spans = [int(np.ptp(random_crop(_ruler(64, 64), (32, 64), _config(), rng)[..., 0])) for _ in range(200)]
    assert 31 <= min(spans) <= 33
    assert max(spans) >= 59


def test_scale_shows_half_of_the_pictures_up_to_twice_as_large() -> None:
    rng = np.random.default_rng(0)
    config = _config(augment=("scale",))
    spans = [int(np.ptp(random_crop(_ruler(64, 64), (64, 64), config, rng)[..., 0])) for _ in range(400)]
    unscaled = sum(span == 31 for span in spans)
    assert abs(unscaled - 200) < 4 * 10 + 10  # four standard deviations; factors near 1 look like 1
    assert 15 <= min(spans) <= 17
    assert max(spans) == 31


def test_without_augmentation_nothing_is_mirrored() -> None:
    rng = np.random.default_rng(0)
    crops = [random_crop(_ruler(32, 32), (32, 32), _config(augment=()), rng) for _ in range(20)]
    assert all(np.array_equal(crop, _ruler(32, 32)) for crop in crops)


def test_colours_are_shifted_within_their_limits() -> None:
    image = np.full((8, 8, 3), (120, 100, 80), np.uint8)
    image[:, 4:] = (60, 90, 140)
    shifted = np.stack([shift_colours(image, np.random.default_rng(i)).astype(float) for i in range(300)])
    brightness = shifted.mean((1, 2, 3)) / image.mean()
    assert 1 - COLOUR_LIMIT - 0.02 < brightness.min() < 0.88
    assert 1.12 < brightness.max() < 1 + COLOUR_LIMIT + 0.02
    assert (shifted[:, :, :4, 0] > shifted[:, :, :4, 2]).all()  # what is reddish stays reddish
    assert (shifted[:, :, 4:, 0] < shifted[:, :, 4:, 2]).all()
    black = np.zeros((4, 4, 3), np.uint8)
    assert (shift_colours(black, np.random.default_rng(0)) == 0).all()


def test_each_domain_may_have_its_own_load_size(tmp_path: Path) -> None:
    """A crop of 32 out of 64 pixels, magnified, shows smooth noise; out of 32 pixels it shows all of it."""
    data_set = open_data_set(make_set(tmp_path / "set", 2, 2), exchanged=False)
    coarse, fine = UnpairedBatches(data_set, _config(load_size=(160, 160), load_size_b=(40, 40))).batch(0, 0)
    roughness = [float(np.abs(np.diff(batch, axis=3)).mean()) for batch in (coarse, fine)]
    assert roughness[0] < 0.5 * roughness[1]


@pytest.mark.parametrize("workers", [0, 1, 5])
def test_the_batches_are_the_same_whoever_reads_them(workers: int, tmp_path: Path) -> None:
    data_set = open_data_set(make_set(tmp_path / "set", 4, 3), exchanged=False)
    batches = UnpairedBatches(data_set, _config(workers=workers))
    drawn = list(batches.epoch(1))
    assert len(drawn) == 4
    for step, pair in enumerate(drawn):
        assert all(map(np.array_equal, pair, batches.batch(1, step)))


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="plain"),
        pytest.param({"progressive": True, "subsampling": 0}, id="progressive"),
        pytest.param({"exif": 6}, id="turned"),
        pytest.param({"icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()}, id="profile"),
        pytest.param({"mode": "L"}, id="grey"),
        pytest.param({"mode": "CMYK"}, id="cmyk"),
    ],
)
def test_a_jpeg_loads_as_it_is_read_for_styling(options: dict[str, Any], tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 10, 3), np.uint8)
    picture = PilImage.fromarray(image).resize((50, 40)).convert(options.pop("mode", "RGB"))
    if orientation := options.pop("exif", 0):
        options["exif"] = PilImage.Exif()
        options["exif"][0x0112] = orientation
    picture.save(tmp_path / "a.jpg", **options)
    assert np.array_equal(load_image(tmp_path / "a.jpg"), read_picture(tmp_path / "a.jpg").image)


def test_a_truncated_jpeg_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    PilImage.fromarray(noise).save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:2000])
    with pytest.raises(InputError, match=r"a\.jpg"):
        load_image(tmp_path / "a.jpg")


def test_a_picture_that_vanished_says_how_to_go_on(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*gone\.jpg: No such file") as caught:
        load_image(tmp_path / "gone.jpg")
    assert caught.value.hint.endswith("--resume")


def test_the_middle_of_a_picture_is_its_sample() -> None:
    sample = center_crop(_ruler(36, 50), 36)
    assert sample.shape == (36, 36, 3)
    assert (sample[0, 0, 0], sample[0, -1, 0]) == (7, 42)


def test_16_bit_pictures_are_rounded_to_8(tmp_path: Path) -> None:
    values = np.array([0, 128, 129, 257 * 100, 257 * 100 + 128, 65535], np.uint16)
    image = np.repeat(values.reshape(1, -1, 1), 3, axis=2)
    write_picture(tmp_path / "deep.png", Picture(image), overwrite=False)
    loaded = load_image(tmp_path / "deep.png")
    assert loaded.dtype == np.uint8
    assert loaded[0, :, 1].tolist() == [0, 0, 1, 100, 100, 255]


@pytest.mark.parametrize("values", [np.uint8(40), np.uint16(40 * 257)], ids=["8 bit", "16 bit"])
def test_grey_pictures_load_as_rgb(values: np.uint8 | np.uint16, tmp_path: Path) -> None:
    PilImage.fromarray(np.full((4, 5), values)).save(tmp_path / "grey.png")
    loaded = load_image(tmp_path / "grey.png")
    assert loaded.shape == (4, 5, 3)
    assert (loaded == 40).all()


def test_alpha_is_left_out_and_orientation_applied(tmp_path: Path) -> None:
    exif = PilImage.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    PilImage.new("RGBA", (30, 20), (*RED, 0)).save(tmp_path / "turned.png", exif=exif)
    loaded = load_image(tmp_path / "turned.png")
    assert loaded.shape == (30, 20, 3)
    assert (loaded == RED).all()


def test_unreadable_pictures_are_found_and_named(tmp_path: Path) -> None:
    make_pictures(tmp_path / "set", 3, BLUE)
    cut, garbage = tmp_path / "set" / "1.png", tmp_path / "set" / "garbage.jpg"
    cut.write_bytes(cut.read_bytes()[:-2000])
    garbage.write_bytes(b"no picture")
    found = find_unreadable(sorted((tmp_path / "set").iterdir()))
    assert [path for path, _ in found] == [cut, garbage]
    assert all(path.name in why for path, why in found)
