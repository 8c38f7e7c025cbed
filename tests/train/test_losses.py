import math

import pytest
import torch
from torch import Tensor

from stylegan_train.losses import draw_warp, gan_loss, l1_loss, warp

IDENTITY = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def _noise(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


def _shift(x: float, y: float) -> Tensor:
    """Look `x` and `y` (in [-1,1] a side) to the right and down."""
    affine = IDENTITY.clone()
    affine[:, 2] = torch.tensor([x, y])
    return affine


@pytest.mark.parametrize(
    ("real", "expected"),
    [
        pytest.param(True, (0 + 1 + 4 + 0.25) / 4, id="to 1"),
        pytest.param(False, (1 + 0 + 9 + 0.25) / 4, id="to 0"),
    ],
)
def test_gan_loss_is_the_mean_squared_error(real: bool, expected: float) -> None:
    assert gan_loss(torch.tensor([[[[1.0, 0.0], [3.0, 0.5]]]]), real=real).item() == pytest.approx(expected)


def test_l1_loss_is_the_mean_absolute_error() -> None:
    assert l1_loss(torch.tensor([1.0, -1.0, 0.5]), torch.tensor([0.0, 1.0, 0.5])).item() == pytest.approx(3 / 3)


def test_losses_are_summed_in_fp32_whatever_comes_in() -> None:
    """256 + 1 is 256 in bf16."""
    scores = torch.tensor([256.0, 1.0], dtype=torch.bfloat16).sqrt()
    assert gan_loss(scores, real=False).item() == pytest.approx(257 / 2)
    assert l1_loss(torch.tensor([256.0, 1.0], dtype=torch.bfloat16), torch.zeros(2)).item() == pytest.approx(257 / 2)


def test_the_identity_warp_returns_the_picture() -> None:
    batch = _noise(2, 3, 20, 30)
    torch.testing.assert_close(warp(batch, IDENTITY.repeat(2, 1, 1)), batch, rtol=0, atol=1e-5)


def test_a_shift_looks_to_the_right_and_down_by_whole_pixels() -> None:
    batch = _noise(2, 3, 20, 30)
    affine = torch.stack([_shift(2 * 6 / 30, 0), _shift(0, 2 * 5 / 20)])
    moved = warp(batch, affine)
    torch.testing.assert_close(moved[0, :, :, :-6], batch[0, :, :, 6:], rtol=0, atol=1e-4)
    torch.testing.assert_close(moved[1, :, :-5], batch[1, :, 5:], rtol=0, atol=1e-4)


def test_what_comes_in_at_the_border_is_reflected() -> None:
    batch = _noise(1, 3, 20, 30)
    moved = warp(batch, _shift(2 * 4 / 30, 0)[None])
    assert torch.allclose(moved[..., -4:], batch[..., -4:].flip(3), atol=1e-4)


def test_drawn_warps_use_their_limits_and_do_not_leave_them() -> None:
    affine = draw_warp(2000, torch.Generator().manual_seed(0))
    assert affine.shape == (2000, 2, 3)
    (cos, minus_sin, shift_x), (sin, cos_again, shift_y) = affine.permute(1, 2, 0)
    assert torch.equal(cos, cos_again)
    assert torch.equal(sin, -minus_sin)
    angle_deg, zoom = torch.rad2deg(torch.atan2(sin, cos)), torch.hypot(cos, sin)
    for drawn, limit in ((shift_x, 0.12), (shift_y, 0.12), (zoom - 1, 0.04), (angle_deg, 2.0)):
        assert 0.98 * limit < drawn.max() < 1.001 * limit
        assert -1.001 * limit < drawn.min() < -0.98 * limit
        assert abs(drawn.mean()) < 4 * limit / math.sqrt(3 * 2000)  # four standard errors
    correlations = torch.corrcoef(torch.stack([shift_x, shift_y, zoom, angle_deg])) - torch.eye(4)
    assert correlations.abs().max() < 0.1  # each is drawn for itself


def test_warps_depend_on_the_seed_alone() -> None:
    first, again, other = (draw_warp(3, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
