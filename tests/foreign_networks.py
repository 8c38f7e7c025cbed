"""Other projects' generators, written out after the lists of their layers: what imports are held to.

Nothing here is shared with stylegan_train.foreign; each network is a plain sequence under the names that its
project's files have.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Norm = Callable[[int], nn.Module]


def plain_norm(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels)


def affine_norm(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels, affine=True)


class _Sum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = x + self.body()(x)
        return made

    def body(self) -> nn.Module:
        raise NotImplementedError


class ConvBlock(_Sum):
    """JZ's and CUT's block."""

    def __init__(self, channels: int, norm: Norm, *, dropout: bool, bias: bool, padding: str) -> None:
        super().__init__()
        inside = 1 if padding == "zero" else 0
        pad: list[nn.Module] = [] if padding == "zero" else [nn.ReflectionPad2d(1)]
        layers: list[nn.Module] = [*pad, nn.Conv2d(channels, channels, 3, padding=inside, bias=bias)]
        layers += [norm(channels), nn.ReLU()]
        if dropout:
            layers.append(nn.Dropout(0.5))
        layers += [*pad, nn.Conv2d(channels, channels, 3, padding=inside, bias=bias), norm(channels)]
        self.conv_block = nn.Sequential(*layers)

    def body(self) -> nn.Module:
        return self.conv_block


class PgBlock(_Sum):
    """PyTorch-GAN's block."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            norm(channels),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            norm(channels),
        )

    def body(self) -> nn.Module:
        return self.block


class Model(nn.Module):
    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.model(x)
        return made


def jz(
    ngf: int,
    n_blocks: int,
    *,
    norm: Norm = plain_norm,
    dropout: bool = False,
    bias: bool = True,
    padding: str = "reflect",
    n_down: int = 2,
) -> Model:
    """pytorch-CycleGAN-and-pix2pix; with 3 or 4 halvings, pix2pixHD's global generator."""
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, ngf, 7, bias=bias), norm(ngf), nn.ReLU()]
    for i in range(n_down):
        n = ngf * 2**i
        layers += [nn.Conv2d(n, 2 * n, 3, stride=2, padding=1, bias=bias), norm(2 * n), nn.ReLU()]
    wide = ngf * 2**n_down
    layers += [ConvBlock(wide, norm, dropout=dropout, bias=bias, padding=padding) for _ in range(n_blocks)]
    for i in range(n_down, 0, -1):
        n = ngf * 2**i
        layers += [
            nn.ConvTranspose2d(n, n // 2, 3, stride=2, padding=1, output_padding=1, bias=bias),
            norm(n // 2),
            nn.ReLU(),
        ]
    return Model([*layers, nn.ReflectionPad2d(3), nn.Conv2d(ngf, 3, 7), nn.Tanh()])


def pg(ngf: int, n_blocks: int, *, norm: Norm = plain_norm) -> Model:
    """PyTorch-GAN."""
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, ngf, 7), norm(ngf), nn.ReLU()]
    for n in (ngf, 2 * ngf):
        layers += [nn.Conv2d(n, 2 * n, 3, stride=2, padding=1), norm(2 * n), nn.ReLU()]
    layers += [PgBlock(4 * ngf, norm) for _ in range(n_blocks)]
    for n in (4 * ngf, 2 * ngf):
        layers += [nn.Upsample(scale_factor=2), nn.Conv2d(n, n // 2, 3, padding=1), norm(n // 2), nn.ReLU()]
    return Model([*layers, nn.ReflectionPad2d(3), nn.Conv2d(ngf, 3, 7), nn.Tanh()])


def mixed(ngf: int, n_blocks: int) -> Model:
    """A mixture that exists: PyTorch-GAN's blocks, JZ's transposed convolutions, norms with weights."""
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, ngf, 7), affine_norm(ngf), nn.ReLU()]
    for n in (ngf, 2 * ngf):
        layers += [nn.Conv2d(n, 2 * n, 3, stride=2, padding=1), affine_norm(2 * n), nn.ReLU()]
    layers += [PgBlock(4 * ngf, affine_norm) for _ in range(n_blocks)]
    for n in (4 * ngf, 2 * ngf):
        layers += [nn.ConvTranspose2d(n, n // 2, 3, stride=2, padding=1, output_padding=1), affine_norm(n // 2)]
        layers += [nn.ReLU()]
    return Model([*layers, nn.ReflectionPad2d(3), nn.Conv2d(ngf, 3, 7), nn.Tanh()])


class _Downsample(nn.Module):
    """CUT: blurred by (1,2,1), every second value kept."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("filt", torch.outer(taps, taps).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
        full = F.conv2d(padded, self.filt, groups=x.shape[1])
        return full[:, :, ::2, ::2]


class _Upsample(nn.Module):
    """CUT: zeros between the values, borders repeated, blurred by (1,3,3,1) of sum 4."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("filt", 4 * torch.outer(taps, taps).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        wide = F.pad(x, (1, 1, 1, 1), mode="replicate")
        spread = x.new_zeros(n, channels, 2 * height + 4, 2 * width + 4)
        spread[:, :, ::2, ::2] = wide
        blurred = F.conv2d(F.pad(spread, (3, 3, 3, 3)), self.filt.flip(2, 3), groups=channels)
        return blurred[:, :, 3 : 3 + 2 * height, 3 : 3 + 2 * width]


def cut(ngf: int, n_blocks: int) -> Model:
    """CUT and FastCUT with anti-aliasing, their default."""
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, ngf, 7), plain_norm(ngf), nn.ReLU()]
    for n in (ngf, 2 * ngf):
        layers += [nn.Conv2d(n, 2 * n, 3, padding=1), plain_norm(2 * n), nn.ReLU(), _Downsample(2 * n)]
    layers += [ConvBlock(4 * ngf, plain_norm, dropout=False, bias=True, padding="reflect") for _ in range(n_blocks)]
    for n in (4 * ngf, 2 * ngf):
        layers += [_Upsample(n), nn.Conv2d(n, n // 2, 3, padding=1), plain_norm(n // 2), nn.ReLU()]
    return Model([*layers, nn.ReflectionPad2d(3), nn.Conv2d(ngf, 3, 7), nn.Tanh()])


class _ConvModule(nn.Module):
    """mmcv's: a convolution under the name conv, a norm without weights, an activation."""

    def __init__(self, conv: nn.Module, norm: nn.Module | None, active: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self._norm, self._active = conv, norm or nn.Identity(), active

    def forward(self, x: Tensor) -> Tensor:
        return self._active(self._norm(self.conv(x)))


class _MmBlock(_Sum):
    def __init__(self, channels: int) -> None:
        super().__init__()
        convs = [nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect") for _ in range(2)]
        self.block = nn.Sequential(
            _ConvModule(convs[0], plain_norm(channels), F.relu), _ConvModule(convs[1], plain_norm(channels), _same)
        )

    def body(self) -> nn.Module:
        return self.block


def _same(x: Tensor) -> Tensor:
    return x


def mmagic(ngf: int, n_blocks: int) -> Model:
    """mmagic's CycleGAN generator; it takes and makes BGR."""
    layers: list[nn.Module] = [
        _ConvModule(nn.Conv2d(3, ngf, 7, padding=3, padding_mode="reflect"), plain_norm(ngf), F.relu)
    ]
    layers += [
        _ConvModule(nn.Conv2d(n, 2 * n, 3, stride=2, padding=1), plain_norm(2 * n), F.relu) for n in (ngf, 2 * ngf)
    ]
    layers += [_MmBlock(4 * ngf) for _ in range(n_blocks)]
    layers += [
        _ConvModule(nn.ConvTranspose2d(n, n // 2, 3, stride=2, padding=1, output_padding=1), plain_norm(n // 2), F.relu)
        for n in (4 * ngf, 2 * ngf)
    ]
    layers += [_ConvModule(nn.Conv2d(ngf, 3, 7, padding=3, padding_mode="reflect"), None, torch.tanh)]
    return Model(layers)


def patch_discriminator() -> Model:
    """JZ's 70x70 PatchGAN, narrow."""
    layers: list[nn.Module] = [nn.Conv2d(3, 4, 4, 2, 1), nn.LeakyReLU(0.2)]
    for taken, made, stride in ((4, 8, 2), (8, 16, 2), (16, 32, 1)):
        layers += [nn.Conv2d(taken, made, 4, stride, 1), plain_norm(made), nn.LeakyReLU(0.2)]
    return Model([*layers, nn.Conv2d(32, 1, 4, 1, 1)])


class _UnetLevel(nn.Module):
    def __init__(self, inner: nn.Module | None) -> None:
        super().__init__()
        middle = [inner] if inner is not None else []
        self.model = nn.Sequential(nn.Conv2d(3, 4, 4, 2, 1), *middle, nn.ConvTranspose2d(4, 3, 4, 2, 1))


def unet() -> nn.Module:
    """pix2pix's generator by its names: levels inside levels."""
    net = nn.Module()
    net.model = _UnetLevel(_UnetLevel(_UnetLevel(None)))
    return net


def randomise(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give every weight and statistic a value that would be missed, and return the network in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in network.state_dict().items():
        if name.endswith("filt") or not value.is_floating_point():
            continue
        if value.ndim == 4:
            fan = value[0].numel()
            value.copy_(torch.randn(value.shape, generator=generator) * (2 / fan) ** 0.5)
        else:
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))
    return network.eval()
