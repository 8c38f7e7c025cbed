import random

import pytest
import torch
from torch import Tensor

from stylegan_train.image_pool import ImagePool


class Scripted(random.Random):
    """Dice that fall as told."""

    def __init__(self, throws: list[float], places: list[int]) -> None:
        super().__init__(0)
        self.throws, self.places = throws, places

    def random(self) -> float:
        return self.throws.pop(0)

    def randrange(self, *_: object) -> int:
        return self.places.pop(0)


def _pictures(*values: float) -> Tensor:
    """A batch of 1x1 pictures, told apart by their value."""
    return torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1, 1).repeat(1, 3, 1, 1)


def _values(batch: Tensor) -> list[float]:
    assert batch.shape[1:] == (3, 1, 1)
    return batch[:, 0, 0, 0].tolist()


def test_it_fills_first_then_swaps_when_the_dice_say_so() -> None:
    pool = ImagePool(3, Scripted([0.49, 0.5, 0.1], [1, 1]))
    assert _values(pool.query(_pictures(1, 2))) == [1, 2]
    assert _values(pool.query(_pictures(3, 4))) == [3, 2]  # full with 3; 4 takes the place of 2
    assert _values(pool.query(_pictures(5))) == [5]  # not swapped, and not kept
    assert _values(pool.query(_pictures(6))) == [4]
    assert _values(torch.stack(pool.images)) == [1, 6, 3]


def test_half_of_the_time_an_old_picture_comes_back() -> None:
    pool = ImagePool(50, random.Random(0))
    seen: set[float] = set()
    swapped = 0
    for number in range(4050):
        (returned,) = _values(pool.query(_pictures(number)))
        seen.add(number)
        assert returned in seen
        assert len(pool.images) == min(number + 1, 50)
        if number < 50:
            assert returned == number
        swapped += returned != number
    assert abs(swapped - 2000) < 4 * 32  # four standard deviations of 4000 throws


def test_every_place_is_used() -> None:
    pool = ImagePool(5, random.Random(0))
    for number in range(200):
        pool.query(_pictures(number))
    assert min(_values(torch.stack(pool.images))) >= 5


def test_size_0_passes_through() -> None:
    pool = ImagePool(0, Scripted([], []))
    batch = _pictures(1, 2)
    assert torch.equal(pool.query(batch), batch)
    assert pool.images == []


@pytest.mark.parametrize("size", [1, 4])
def test_what_is_kept_is_a_copy_without_gradient(size: int) -> None:
    pool = ImagePool(size, random.Random(0))
    batch = _pictures(1).requires_grad_()
    assert not pool.query(batch).requires_grad
    with torch.no_grad():
        batch.fill_(9)
    assert _values(torch.stack(pool.images)) == [1]
    assert not pool.images[0].requires_grad
