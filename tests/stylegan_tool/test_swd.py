import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from stylegan_tool import swd

Squares = list[NDArray[np.uint8]]


def textured(count: int, seed: int = 0) -> Squares:
    """Pictures with something at every size, little of it at the finest: noise, one octave after the other."""
    rng = np.random.default_rng(seed)
    squares = []
    for _ in range(count):
        total = np.full((swd.SIDE, swd.SIDE, 3), 128.0, np.float32)
        for side in (4, 8, 16, 32, 64, 128):
            octave = rng.standard_normal((side, side, 3)).astype(np.float32)
            total += 12 * cv2.resize(octave, (swd.SIDE, swd.SIDE), interpolation=cv2.INTER_CUBIC)
        squares.append(np.clip(total, 0, 255).astype(np.uint8))
    return squares


def distances(one: Squares, other: Squares, seed: int = 0) -> NDArray[np.float64]:
    patches = [swd.sample_patches(squares, np.random.default_rng([seed, i])) for i, squares in enumerate((one, other))]
    return swd.level_distances(patches[0], patches[1], np.random.default_rng(seed))


def test_the_pyramid_gives_the_picture_back() -> None:
    (square,) = textured(1)
    pyramid = swd.laplacian_pyramid(square)
    assert [level.shape[0] for level in pyramid] == list(swd.LEVELS)
    whole = pyramid[-1]
    for level in pyramid[-2::-1]:
        whole = level + swd.upsample(whole)
    np.testing.assert_allclose(whole, square, atol=1e-3)


def test_an_even_picture_is_in_the_last_level_alone() -> None:
    even = np.full((swd.SIDE, swd.SIDE, 3), 100, np.uint8)
    *bands, rest = swd.laplacian_pyramid(even)
    assert max(np.abs(band).max() for band in bands) < 1e-3
    np.testing.assert_allclose(rest, 100, atol=1e-3)


def test_patches_are_normalised_by_channel() -> None:
    patches = swd.sample_patches(textured(3), np.random.default_rng(0))
    for level in patches:
        assert level.shape == (3 * swd.PATCHES, 3 * swd.NEIGHBOURHOOD**2)
        channels = level.reshape(len(level), 3, -1)
        np.testing.assert_allclose(channels.mean(axis=(0, 2)), 0, atol=1e-4)
        np.testing.assert_allclose(channels.std(axis=(0, 2)), 1, atol=1e-4)


def test_the_same_patches_are_at_0() -> None:
    squares = textured(2)
    patches = [swd.sample_patches(squares, np.random.default_rng(1)) for _ in range(2)]
    assert swd.level_distances(patches[0], patches[1], np.random.default_rng(2)).max() == 0


def test_a_shift_of_a_normal_distribution_has_its_known_distance() -> None:
    # Projected on a direction u, N(0, 1) and N(m, 1) are |m.u| apart, whose mean over directions in D dimensions is
    # close to |m| sqrt(2 / (pi D)); 512 directions are within 4 % of it.
    dimensions, shift, seeds = 50, 3.0, 8
    estimates = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        one, other = (rng.standard_normal((4000, dimensions)).astype(np.float32) for _ in range(2))
        other[:, 0] += shift
        estimates.append(swd.sliced_wasserstein(one, other, rng))
    assert np.mean(estimates) == pytest.approx(shift * (2 / (np.pi * dimensions)) ** 0.5, rel=0.05)


def test_the_distance_falls_with_the_number_of_pictures() -> None:
    few, many = (distances(textured(n, 1), textured(n, 2)).mean() for n in (2, 16))
    assert many < few / 1.5


def test_the_seed_decides_all() -> None:
    one, other = textured(2, 1), textured(2, 2)
    np.testing.assert_array_equal(distances(one, other, 5), distances(one, other, 5))
    assert (distances(one, other, 5) != distances(one, other, 6)).all()


def _stripe(squares: Squares, period: int) -> Squares:
    wave = 30 * np.sin(2 * np.pi * np.arange(swd.SIDE) / period)[None, :, None]
    return [np.clip(square + wave, 0, 255).astype(np.uint8) for square in squares]


def _blur(squares: Squares) -> Squares:
    return [cv2.GaussianBlur(square, (0, 0), 1.5).astype(np.uint8) for square in squares]


def _noise(squares: Squares) -> Squares:
    rng = np.random.default_rng(9)
    grain = [rng.laplace(0, 25, square.shape) for square in squares]
    return [np.clip(square + one, 0, 255).astype(np.uint8) for square, one in zip(squares, grain, strict=True)]


def _tint_every_other(squares: Squares) -> Squares:
    tint = np.array([60, 0, -60])
    return [np.clip(s + tint * (1 if i % 2 else -1), 0, 255).astype(np.uint8) for i, s in enumerate(squares)]


@pytest.mark.parametrize(
    ("change", "raised", "kept"),
    [
        pytest.param(_blur, [256], [32, 16], id="blur: strokes"),
        pytest.param(_noise, [256], [32, 16], id="noise: strokes"),
        pytest.param(lambda squares: _stripe(squares, 4), [256], [32, 16], id="fine stripes"),
        pytest.param(lambda squares: _stripe(squares, 32), [32], [256], id="coarse stripes"),
        pytest.param(_tint_every_other, [16], [256, 128, 64], id="colour of whole pictures: the coarsest"),
    ],
)
def test_a_change_raises_its_own_levels(change, raised: list[int], kept: list[int]) -> None:  # type: ignore[no-untyped-def]  # a lambda or a function above
    reference, pictures = textured(8, 1), textured(8, 2)
    before, after = distances(pictures, reference), distances(change(pictures), reference)
    times = dict(zip(swd.LEVELS, after / before, strict=True))
    assert all(times[level] > 1.4 for level in raised), times
    assert all(times[level] < 1.3 for level in kept), times


def test_a_cast_of_all_pictures_is_not_in_the_distance_but_in_the_statistics() -> None:
    reference = textured(4, 1)
    cast = [np.clip(square.astype(int) + np.array([20, 0, -20]), 0, 255).astype(np.uint8) for square in reference]
    np.testing.assert_allclose(distances(cast, reference), distances(reference, reference), rtol=0.15)
    shift = swd.channel_statistics(cast)[0] - swd.channel_statistics(reference)[0]
    np.testing.assert_allclose(shift, [20, 0, -20], atol=0.5)


def test_sets_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="same size"):
        swd.sliced_wasserstein(np.zeros((4, 9), np.float32), np.zeros((5, 9), np.float32), np.random.default_rng(0))


@pytest.mark.parametrize("shape", [(256, 256, 3), (256, 300, 3), (700, 512, 3), (64, 90, 3)], ids=str)
def test_squares_are_the_middle(shape: tuple[int, int, int]) -> None:
    image = np.zeros(shape, np.uint8)
    side = min(shape[:2])
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    image[top : top + side, left : left + side] = 200
    square = swd.to_square(image)
    assert square.shape == (swd.SIDE, swd.SIDE, 3)
    assert (square == 200).all()


def test_squares_are_antialiased() -> None:
    checked = np.indices((1024, 1024)).sum(axis=0) % 2 * 255
    square = swd.to_square(np.repeat(checked[:, :, None], 3, axis=2).astype(np.uint8))
    assert abs(int(square.min()) - 127) <= 2
    assert abs(int(square.max()) - 127) <= 2


def test_16_bits_are_rounded() -> None:
    square = swd.to_square(np.full((256, 256, 3), 257 * 100 + 100, np.uint16))
    assert (square == 100).all()
