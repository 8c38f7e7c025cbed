"""The objective's terms, as equations, beside the names that the papers give them.

    L(G, F, D_X, D_Y) = L_GAN(G, D_Y, X, Y) + L_GAN(F, D_X, Y, X) + lambda L_cyc(G, F)      Zhu et al. 2017, (3)
    L_GAN   = E[(D_Y(G(x)) - 1)^2]            least squares instead of the log likelihood    Mao et al. 2017, (9)
    L_cyc   = E|F(G(x)) - x| + E|G(F(y)) - y|                                               Zhu et al. 2017, (2)
    L_idt   = E|G(y) - y| + E|F(x) - x|                                                     Zhu et al. 2017, 5.2
    L_stable = E|G(W(x) + n) - W(G(x))|       W a small warp, n noise                       Wang et al. 2020, (7)

    paper   code            paper   code
    x, y    real_a, real_b  G(x)    fake_b
    G, F    gen_ab, gen_ba  F(G(x)) rec_a
    D_Y     disc_b          G(y)    idt_b

Each term here is of one direction; `step.py` takes the mean of the two directions (so our totals are half
of pytorch-CycleGAN-and-pix2pix's, with the same ratios) and the weights from the config.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LOCAL_KNOTS = 5  # of the local motion, along a side
LOCAL_LIMIT = 0.03  # in [-1,1] a side


def gan_loss(scores: Tensor, *, real: bool) -> Tensor:
    """Mean squared error of a score map to 1 (`real`) or 0."""
    return (scores.float() - float(real)).square().mean()


def l1_loss(result: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error: the cycle and the identity term."""
    return F.l1_loss(result.float(), target.float())


def _uniform(*shape: int, limit: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(*shape, generator=generator) * 2 - 1) * limit


def draw_camera(n: int, generator: torch.Generator) -> Tensor:
    """Draw `n` small camera motions as affine maps (n,2,3) in grid_sample's coordinates ([-1,1] a side).

    Shifts up to 6 % of the side, zoom up to 4 %, rotation up to 2 degrees: what a hand-held frame does.
    """
    shift = _uniform(n, 2, limit=0.12, generator=generator)
    zoom = 1 + _uniform(n, limit=0.04, generator=generator)
    angle = _uniform(n, limit=math.radians(2.0), generator=generator)
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    return torch.stack([cos, -sin, shift[:, 0], sin, cos, shift[:, 1]], 1).reshape(n, 2, 3)


def draw_local(n: int, size: int, generator: torch.Generator) -> Tensor:
    """Draw `n` smooth fields of displacements (n,size,size,2) of up to 1.5 % of the side: leaves, water, faces."""
    knots = _uniform(n, 2, LOCAL_KNOTS, LOCAL_KNOTS, limit=LOCAL_LIMIT, generator=generator)
    fields = F.interpolate(knots, (size, size), mode="bicubic", align_corners=True)
    return fields.clamp(-LOCAL_LIMIT, LOCAL_LIMIT).permute(0, 2, 3, 1)  # NCHW -> NHWC


def draw_warp(n: int, size: int, generator: torch.Generator) -> Tensor:
    """Draw `n` small motions for pictures of size x size, camera and local, as sampling grids (n,size,size,2)."""
    camera = F.affine_grid(draw_camera(n, generator), [n, 1, size, size], align_corners=False)
    return camera + draw_local(n, size, generator)


def warp(batch: Tensor, grid: Tensor) -> Tensor:
    """Resample `batch` (N,C,H,W) at `grid` (N,H,W,2).

    Bicubic, since bilinear resampling would teach the generator to blur; reflected at the border.
    """
    grid = grid.to(batch.device)
    return F.grid_sample(batch.float(), grid, mode="bicubic", padding_mode="reflection", align_corners=False)
