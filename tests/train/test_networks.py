import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan_train.networks import (
    SIZE_MULTIPLE,
    SMALLEST_SIZE,
    Discriminator,
    Generator,
    InstanceNorm,
    init_weights,
    receptive_field_px,
)


def _seeded(network: nn.Module, std: float = 0.3) -> nn.Module:
    """Weights and biases large enough that every part of the network shows in its output."""
    generator = torch.Generator().manual_seed(0)
    for param in network.parameters():
        nn.init.normal_(param, 0.0, std, generator=generator)
    return network


def _noise(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


def _pairs(network: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of each convolution, from the picture's end on."""
    params = list(network.parameters())
    return list(zip(params[::2], params[1::2], strict=True))


def _reflect(x: Tensor, by: int) -> Tensor:
    return F.pad(x, (by, by, by, by), mode="reflect")


def _norm(x: Tensor) -> Tensor:
    mean = x.mean((2, 3), keepdim=True)
    variance = (x - mean).square().mean((2, 3), keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt()


def _blurred(x: Tensor) -> Tensor:
    x = _reflect(x, 1)
    x = (x[:, :, :-2] + 2 * x[:, :, 1:-1] + x[:, :, 2:]) / 4
    return (x[..., :-2] + 2 * x[..., 1:-1] + x[..., 2:]) / 4


def _written_out_generator(generator: Generator, x: Tensor, *, antialias: bool, clamp: float = math.inf) -> Tensor:
    """design.md's sentence about the generator, word by word; with anti-aliasing, blurs around each change of size."""
    convs = _pairs(generator)

    def normalise(x: Tensor) -> Tensor:
        return _norm(x).clamp(-clamp, clamp)

    x = F.relu(normalise(F.conv2d(_reflect(x, 3), *convs[0])))
    for conv in convs[1:3]:
        x = F.relu(normalise(F.conv2d(_blurred(x) if antialias else x, *conv, stride=2, padding=1)))
    for first, second in zip(convs[3:-3:2], convs[4:-3:2], strict=True):
        inner = F.relu(normalise(F.conv2d(_reflect(x, 1), *first)))
        x = x + normalise(F.conv2d(_reflect(inner, 1), *second))
    for conv in convs[-3:-1]:
        doubled = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        if antialias:  # bilinear interpolation is that blur of the doubled pixels, but for the border's
            doubled = F.pad(doubled, (1, 1, 1, 1), mode="replicate")
            doubled = _blurred(doubled)[:, :, 1:-1, 1:-1]
        x = F.relu(normalise(F.conv2d(doubled, *conv, padding=1)))
    return torch.tanh(F.conv2d(_reflect(x, 3), *convs[-1]))


def _written_out_discriminator(discriminator: Discriminator, x: Tensor) -> Tensor:
    """design.md's sentence about the discriminator, word by word."""
    convs = _pairs(discriminator)
    for i, conv in enumerate(convs[:-1]):
        x = F.conv2d(x, *conv, stride=2, padding=1)
        x = F.leaky_relu(x if i == 0 else _norm(x), 0.2)
    return F.conv2d(F.pad(x, (1, 0, 1, 0)), *convs[-1], padding=1)


def test_the_reference_generator_has_the_papers_size() -> None:
    generator = Generator(64, 9)
    assert sum(param.numel() for param in generator.parameters()) == 11_378_179
    assert len(generator.state_dict()) == 48


def test_the_reference_discriminator_has_its_size_and_a_score_for_each_16_pixels() -> None:
    discriminator = Discriminator(64, 4)
    assert sum(param.numel() for param in discriminator.parameters()) == 2_764_737
    with torch.inference_mode():
        assert discriminator(_noise(1, 3, 256, 256)).shape == (1, 1, 16, 16)


@pytest.mark.parametrize("antialias", [False, True])
@torch.inference_mode()
def test_the_generator_is_the_one_that_the_design_describes(antialias: bool) -> None:
    generator = Generator(3, 2, antialias=antialias)
    _seeded(generator)
    batch = _noise(2, 3, 24, 37)
    expected = _written_out_generator(generator, batch, antialias=antialias)
    torch.testing.assert_close(generator(batch), expected, rtol=0, atol=1e-4)


@torch.inference_mode()
def test_a_clamped_generator_keeps_its_normalised_values_within_5_standard_deviations() -> None:
    """On a black picture with a white dot, which is far from the rest in every feature map."""
    generator, plain = Generator(3, 2, clamp=True), Generator(3, 2)
    _seeded(generator)
    plain.load_state_dict(generator.state_dict())
    batch = torch.full((1, 3, 64, 64), -1.0)
    batch[..., 30:33, 30:33] = 1.0
    expected = _written_out_generator(generator, batch, antialias=False, clamp=5.0)
    torch.testing.assert_close(generator(batch), expected, rtol=0, atol=1e-4)
    assert (plain(batch) - expected).abs().max() > 0.1


def test_anti_aliasing_adds_no_weights() -> None:
    assert Generator(3, 2, antialias=True).state_dict().keys() == Generator(3, 2).state_dict().keys()


@torch.inference_mode()
def test_anti_aliased_texture_moves_with_the_picture() -> None:
    """Of the change that a shift by one pixel makes, less is left once the result is shifted back."""
    batch = F.interpolate(_noise(1, 3, 24, 24), (96, 96), mode="bicubic")
    left = []
    for antialias in (False, True):
        generator = Generator(8, 2, antialias=antialias)
        _seeded(generator, 0.1)
        result, moved = generator(batch[..., :-4]), generator(batch[..., 1:-3])
        inner = (..., slice(24, -24), slice(24, -24))
        left.append(((moved[..., :-1] - result[..., 1:])[inner].abs().mean() / result[inner].std()).item())
    assert left[1] < 0.6 * left[0]


@pytest.mark.parametrize("shape", [(2, 5, 12, 9), (1, 3, 7, 1)])
def test_norms_that_keep_their_layout_are_torchs(shape: tuple[int, int, int, int]) -> None:
    norm, theirs = InstanceNorm(shape[1]), nn.InstanceNorm2d(shape[1])
    batch = (3 * _noise(*shape) + 1).contiguous(memory_format=torch.channels_last).requires_grad_()
    result, expected = norm(batch), theirs(batch)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-5)
    assert result.is_contiguous(memory_format=torch.channels_last)
    slopes = [torch.autograd.grad((out**3).sum(), batch)[0] for out in (result, expected)]
    torch.testing.assert_close(*slopes, rtol=0, atol=1e-4)
    torch.testing.assert_close(norm.eval()(batch), expected, rtol=0, atol=1e-5)


@torch.inference_mode()
def test_the_discriminator_is_the_one_that_the_design_describes() -> None:
    discriminator = Discriminator(3, 4)
    _seeded(discriminator)
    batch = _noise(2, 3, 64, 96)
    expected = _written_out_discriminator(discriminator, batch)
    torch.testing.assert_close(discriminator(batch), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 13), (33, 47), (50, 31), (64, 40)])
@torch.inference_mode()
def test_the_sides_are_rounded_up_to_multiples_of_four(height: int, width: int) -> None:
    result = Generator(2, 1)(_noise(1, 3, height, width))
    assert result.shape == (1, 3, 4 * math.ceil(height / 4), 4 * math.ceil(width / 4))


@torch.inference_mode()
def test_the_smallest_size_runs_and_the_multiple_is_kept() -> None:
    shape = (1, 3, SMALLEST_SIZE, 3 * SIZE_MULTIPLE)
    assert Generator(2, 1)(_noise(*shape)).shape == shape


@pytest.mark.parametrize("network", [Generator(2, 2), Discriminator(2, 4)], ids=["generator", "discriminator"])
def test_norms_have_no_weights_and_no_running_statistics(network: nn.Module) -> None:
    norms = [module for module in network.modules() if isinstance(module, nn.InstanceNorm2d)]
    assert norms
    assert all(not norm.affine and not norm.track_running_stats for norm in norms)
    assert list(network.buffers()) == []


@torch.inference_mode()
def test_the_pictures_of_a_batch_are_kept_apart() -> None:
    generator = Generator(4, 1)
    _seeded(generator)
    one, other = _noise(2, 3, 32, 32).split(1)
    together = generator(torch.cat([one, other]))
    torch.testing.assert_close(together, torch.cat([generator(one), generator(other)]), rtol=0, atol=1e-5)


def test_weights_are_drawn_from_a_narrow_normal_distribution() -> None:
    generator = Generator(16, 2)
    init_weights(generator, torch.Generator().manual_seed(0))
    for weight, bias in _pairs(generator):
        error = 4 / math.sqrt(weight.numel())  # four standard errors
        assert abs(weight.mean().item()) < 0.02 * error
        assert abs(weight.std().item() / 0.02 - 1) < error
        assert (bias == 0).all()


def test_weights_depend_on_the_seed_alone() -> None:
    drawn = []
    for seed in (0, 0, 1):
        network = Generator(2, 1)
        init_weights(network, torch.Generator().manual_seed(seed))
        drawn.append(_pairs(network)[3][0])
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def _without_statistics(network: nn.Module) -> nn.Module:
    """A network of positive weights, and nothing but its convolutions, paddings and ReLUs: no term can vanish."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.InstanceNorm2d | nn.Tanh):
                setattr(parent, name, nn.Identity())
    for param in network.parameters():
        nn.init.constant_(param, 1 / param[0].numel() if param.ndim > 1 else 0.0)
    return network.double()


def _reach(n_blocks: int, antialias: bool) -> int:
    """How far from a pixel of the output the farthest pixel of the input is that changes it."""
    network = _without_statistics(Generator(1, n_blocks, antialias=antialias))
    side = 4 * (2 * n_blocks + 8) * 2
    batch = torch.ones(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    result = network(batch)
    farthest = 0
    for place in range(side // 2, side // 2 + SIZE_MULTIPLE):  # each phase of the stride, both axes at once
        (slope,) = torch.autograd.grad(result[0, :, place, place].sum(), batch, retain_graph=True)
        seen = slope[0].abs().sum(0).nonzero()
        assert seen.min() > 0  # the picture's border did not cut it off
        assert seen.max() < side - 1
        farthest = max(farthest, int((seen - place).abs().max()))
    return farthest


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("n_blocks", [1, 2, 5])
def test_the_stated_receptive_field_is_the_true_one(n_blocks: int, antialias: bool) -> None:
    reach = _reach(n_blocks, antialias)
    assert reach <= receptive_field_px(n_blocks, antialias=antialias) <= reach + 8
