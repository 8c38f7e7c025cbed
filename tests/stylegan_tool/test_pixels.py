import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylegan_tool.pixels import to_batch, to_image


@pytest.mark.parametrize("dtype", [np.dtype(np.uint8), np.dtype(np.uint16)], ids=["8 bit", "16 bit"])
def test_every_value_comes_back(dtype: np.dtype[np.uint8]) -> None:
    values = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)
    image = np.repeat(values.reshape(16, -1, 1), 3, axis=2)
    assert np.array_equal(to_image(to_batch(image), dtype), image)


def test_ends_are_minus_one_and_one() -> None:
    image = np.array([[[0, 255, 0]]], np.uint8)
    assert to_batch(image).ravel().tolist() == [-1, 1, -1]


def test_channels_stay_rgb() -> None:
    image = np.array([[[10, 20, 30], [40, 50, 60]]], np.uint8)
    batch = to_batch(image)
    assert batch.shape == (1, 3, 1, 2)
    assert batch.flags.c_contiguous
    np.testing.assert_allclose(batch[0, :, 0, 1], np.array([40, 50, 60]) / 127.5 - 1, atol=1e-6)


@given(st.floats(-3, 3, width=32))
def test_values_are_rounded_and_clipped(value: float) -> None:
    batch = np.full((1, 3, 1, 1), value, np.float32)
    expected = min(255, max(0, round((np.float32(value) + np.float32(1)) * np.float32(127.5))))
    assert to_image(batch, np.dtype(np.uint8)).ravel().tolist() == [expected] * 3


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 1), (4, 4, 4), (1, 4, 4, 3)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="image"):
        to_batch(np.zeros(shape, np.uint8))


def test_floats_are_refused() -> None:
    with pytest.raises(ValueError, match="float64"):
        to_batch(np.zeros((4, 4, 3)))  # type: ignore[arg-type]  # the point of the test
