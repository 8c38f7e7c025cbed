import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_train.losses import LOCAL_LIMIT, draw_camera, draw_local, draw_warp, gan_loss, l1_loss, warp

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


def _grid(*affine: Tensor) -> Tensor:
    """The sampling grids of the maps for pictures of 20x30."""
    return F.affine_grid(torch.stack(affine), [len(affine), 1, 20, 30], align_corners=False)


def test_the_identity_warp_returns_the_picture() -> None:
    batch = _noise(2, 3, 20, 30)
    torch.testing.assert_close(warp(batch, _grid(IDENTITY, IDENTITY)), batch, rtol=0, atol=1e-5)


def test_a_shift_looks_to_the_right_and_down_by_whole_pixels() -> None:
    batch = _noise(2, 3, 20, 30)
    moved = warp(batch, _grid(_shift(2 * 6 / 30, 0), _shift(0, 2 * 5 / 20)))
    torch.testing.assert_close(moved[0, :, :, :-6], batch[0, :, :, 6:], rtol=0, atol=1e-4)
    torch.testing.assert_close(moved[1, :, :-5], batch[1, :, 5:], rtol=0, atol=1e-4)


def test_what_comes_in_at_the_border_is_reflected() -> None:
    batch = _noise(1, 3, 20, 30)
    moved = warp(batch, _grid(_shift(2 * 4 / 30, 0)))
    assert torch.allclose(moved[..., -4:], batch[..., -4:].flip(3), atol=1e-4)


def test_drawn_camera_motions_use_their_limits_and_do_not_leave_them() -> None:
    affine = draw_camera(2000, torch.Generator().manual_seed(0))
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


def test_local_motions_are_smooth_and_within_their_limit() -> None:
    fields = draw_local(50, 64, torch.Generator().manual_seed(0))
    assert fields.shape == (50, 64, 64, 2)
    assert 0.98 * LOCAL_LIMIT < fields.abs().max() <= LOCAL_LIMIT
    steps = torch.cat([fields.diff(dim=1).flatten(), fields.diff(dim=2).flatten()]).abs()
    assert steps.max() < 0.5 * 2 / 64  # less than half a pixel from one pixel to the next: nothing folds
    assert not torch.equal(fields[..., 0], fields[..., 1])


def test_a_warp_is_the_cameras_motion_and_the_local_one() -> None:
    dice, again = (torch.Generator().manual_seed(3) for _ in range(2))
    camera = F.affine_grid(draw_camera(2, again), [2, 1, 20, 20], align_corners=False)
    torch.testing.assert_close(draw_warp(2, 20, dice) - camera, draw_local(2, 20, again), rtol=0, atol=1e-6)


def test_warps_depend_on_the_seed_alone() -> None:
    first, again, other = (draw_warp(3, 32, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
