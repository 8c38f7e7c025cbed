"""The CycleGAN generator and PatchGAN discriminator, in the form that PyTorch-GAN made common.

Shapes: batches are float32 (N,3,H,W), RGB, in [-1,1].
Sources: Zhu et al. 2017, 'Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial
Networks', appendix 7.2; residual blocks without a ReLU after the sum (Johnson et al. 2016, suppl.);
nearest upsampling + convolution instead of a transposed convolution (Odena et al. 2016, 'Deconvolution
and Checkerboard Artifacts'); anti-aliasing, where it is asked for, after Zhang 2019, 'Making Convolutional
Networks Shift-Invariant Again'.
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIZE_MULTIPLE = 4  # two stride-2 convolutions
CLAMP = 5.0  # standard deviations of a feature map; what clear generators have beyond 5 is not seen in their results
SMALLEST_SIZE = 8  # reflection by 1 at a quarter of the resolution needs 2 pixels there


class InstanceNorm(nn.InstanceNorm2d):
    """InstanceNorm, which on the CPU keeps the layout of the convolutions around it (channels last).

    torch's own goes through a layout with the channels first, and half of the time went into copying to and fro.
    Batch normalisation of one picture is the same sum, and stays in its layout.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return `x`, each picture's feature maps with mean 0 and variance 1."""
        if self.training and x.device.type == "cpu":
            pictures = [F.batch_norm(picture, None, None, training=True, eps=self.eps) for picture in x.split(1)]
            return torch.cat(pictures)
        return super().forward(x)


class BlurredConv2d(nn.Conv2d):
    """A convolution of a picture that was blurred by (1,2,1)/4 on both axes, so that its stride takes no aliases.

    The order is Zhang's with blur and convolution exchanged: both are linear, and the convolution need not run at
    full resolution. The blur has no weights, so that a network with it takes the weights of one without.
    """

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        taps = torch.tensor([0.25, 0.5, 0.25], dtype=x.dtype, device=x.device)
        kernel = (taps[:, None] * taps).expand(channels, 1, 3, 3)
        return super().forward(F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), kernel, groups=channels))


def conv_block(
    channels_in: int, channels_out: int, kernel: int, *, stride: int = 1, antialias: bool = False, clamp: bool = False
) -> list[nn.Module]:
    """Convolution, InstanceNorm (no affine weights, no running statistics), ReLU (up to CLAMP, if that is asked)."""
    padding = kernel // 2 if kernel == 3 else 0  # the 7x7 convolutions are padded by reflection outside
    convolution = BlurredConv2d if antialias else nn.Conv2d
    return [
        convolution(channels_in, channels_out, kernel, stride=stride, padding=padding),
        InstanceNorm(channels_out),
        rectifier(clamp=clamp),
    ]


def rectifier(*, clamp: bool) -> nn.Module:
    """Return a ReLU, or one that ends at CLAMP."""
    return nn.Hardtanh(0.0, CLAMP, inplace=True) if clamp else nn.ReLU(inplace=True)


class ResidualBlock(nn.Module):
    """x + block(x), (N,C,H,W) -> (N,C,H,W), reflect-padded 3x3 convolutions."""

    def __init__(self, channels: int, *, clamp: bool = False) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            InstanceNorm(channels),
            rectifier(clamp=clamp),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            InstanceNorm(channels),
        )
        if clamp:
            self.block.append(nn.Hardtanh(-CLAMP, CLAMP, inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        """Return x + block(x)."""
        residual: Tensor = self.block(x)
        return x + residual


class Generator(nn.Module):
    """A picture of one domain in, a picture of the other out; (N,3,H,W) in [-1,1] both.

    The output's sides are SIZE_MULTIPLE * ceil(side / SIZE_MULTIPLE): pad before, crop after.

    Args:
        ngf: filters of the first layer, doubled by each of the two stride-2 convolutions.
        n_blocks: residual blocks.
        antialias: blur before each stride and interpolate when upsampling, so that the texture moves with the
            picture. It adds no weights.
        clamp: keep normalised values within CLAMP standard deviations. InstanceNorm takes away how bright a place
            is beside the others; a generator learns to tell it by a few huge values, whose size the norm cannot
            hide, and they show as black drops in dark flat places (Karras et al. 2020, 'Analyzing and Improving
            the Image Quality of StyleGAN', 2.1, have the same drops for the same reason). It adds no weights.
    """

    def __init__(self, ngf: int, n_blocks: int, *, antialias: bool = False, clamp: bool = False) -> None:
        super().__init__()
        upsampling = "bilinear" if antialias else "nearest"
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), *conv_block(3, ngf, 7, clamp=clamp)]
        layers += conv_block(ngf, 2 * ngf, 3, stride=2, antialias=antialias, clamp=clamp)
        layers += conv_block(2 * ngf, 4 * ngf, 3, stride=2, antialias=antialias, clamp=clamp)
        layers += [ResidualBlock(4 * ngf, clamp=clamp) for _ in range(n_blocks)]
        layers += [nn.Upsample(scale_factor=2, mode=upsampling), *conv_block(4 * ngf, 2 * ngf, 3, clamp=clamp)]
        layers += [nn.Upsample(scale_factor=2, mode=upsampling), *conv_block(2 * ngf, ngf, 3, clamp=clamp)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(ngf, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, batch: Tensor) -> Tensor:
        """Return the stylised batch."""
        stylized: Tensor = self.model(batch)
        return stylized


class Discriminator(nn.Module):
    """PatchGAN: (N,3,H,W) -> (N,1,H/2^n,W/2^n), a score for each cell (LSGAN: 1 is real, 0 is fake).

    Args:
        ndf: channels of the first layer; doubled with each of the `n_layers` stride-2 convolutions.
        n_layers: 4 in the reference (one score per 16x16 pixels of the input).
    """

    def __init__(self, ndf: int, n_layers: int) -> None:
        super().__init__()
        channels = [3, *(ndf * 2**i for i in range(n_layers))]
        layers: list[nn.Module] = []
        for i, (channels_in, channels_out) in enumerate(itertools.pairwise(channels)):
            layers.append(nn.Conv2d(channels_in, channels_out, 4, stride=2, padding=1))
            if i > 0:
                layers.append(InstanceNorm(channels_out))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
        # An even kernel keeps the size only with one more row and column on the left and top.
        layers += [nn.ZeroPad2d((1, 0, 1, 0)), nn.Conv2d(channels[-1], 1, 4, padding=1)]
        self.model = nn.Sequential(*layers)

    def forward(self, batch: Tensor) -> Tensor:
        """Return the score map."""
        scores: Tensor = self.model(batch)
        return scores


def init_weights(network: nn.Module, generator: torch.Generator) -> None:
    """Draw convolution weights from N(0, 0.02) and set their biases to 0 (Zhu et al. 2017, 7.2)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, 0.0, 0.02, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def receptive_field_px(n_blocks: int, *, antialias: bool = False) -> int:
    """How far, in input pixels to either side, an output pixel of `Generator` looks (statistics aside).

    7x7 at full resolution 3; the strided convolutions 1 and 2; two 3x3 a block at a quarter 8; the
    upsampling convolutions 4 and 2, upsampling reaching up to 3 to one side; the last 7x7 3. Anti-aliasing: the
    blurs 1 and 2, and bilinear upsampling 3 more.
    """
    return 3 + 1 + 2 + 8 * n_blocks + 4 + 2 + 3 + (6 if antialias else 0)
