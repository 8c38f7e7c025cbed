"""Other projects' CycleGAN generators: recognised by their weights' names and shapes, and built to take them.

Projects share one plan (Johnson et al. 2016; Zhu et al. 2017): a 7x7 convolution, convolutions that halve the size,
residual blocks, layers that double it, a 7x7 convolution and tanh. They differ in traits, and lineages mix, so each
trait is read by itself: how blocks are called, how sizes are halved and doubled, what normalises, whether
convolutions have a bias. Numbers of filters, blocks and halvings are read from shapes, never assumed.

What no weight shows is taken as all known projects have it: ReLU, reflection around the 7x7 convolutions, zeros around
those that halve and double, nearest neighbour where sizes are doubled by no weights, no normalisation of the result.
Sources: the projects' papers, and the names and shapes of their published files.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan_tool.errors import ModelError

State: TypeAlias = dict[str, Tensor]
Doubling: TypeAlias = Literal["transposed", "nearest", "blurred"]

_KEY = re.compile(r"(?P<prefix>.*?)model\.(?P<layer>\d+)\.(?P<rest>.+)")
_IN_BLOCK = re.compile(r"(?:conv_block|block)\.(\d+)\.(?:conv\.)?(.+)")
# Of InstanceNorms in files of 2018; at that time, too, results were made with each picture's own statistics.
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_WHAT_IS_READ = "Name a generator of CycleGAN, CUT or FastCUT. docs/other_models.md says which networks are read."


@dataclass(frozen=True)
class Traits:
    """What tells one generator from another.

    Attributes:
        n_down: convolutions that halve the size; the size multiple is 2^n_down.
        blurred: they do not stride; a blur after them does.
        doubling: how sizes are doubled.
        norm: instance, or batch with the statistics of training.
        affine: normalisations have weights.
        bias: convolutions before a normalisation have a bias.
        zero_padded: blocks are padded with zeros instead of by reflection.
    """

    ngf: int
    n_blocks: int
    n_down: int
    blurred: bool
    doubling: Doubling
    norm: Literal["instance", "batch"]
    affine: bool
    bias: bool
    zero_padded: bool

    @property
    def size_multiple(self) -> int:
        """What height and width must be multiples of; pixels."""
        return int(2**self.n_down)

    @property
    def receptive_field_px(self) -> int:
        """How far, in input pixels to either side, an output pixel looks (statistics aside)."""
        reach = 3 + 3  # the two 7x7
        for level in range(self.n_down):
            reach += 2**level * (2 if self.blurred else 1)
        reach += 2 * self.size_multiple * self.n_blocks
        for level in range(self.n_down, 0, -1):
            half = 2 ** (level - 1)  # a pixel after doubling
            reach += {"transposed": half, "nearest": 2 * half, "blurred": 3 * half}[self.doubling]
        return reach

    def describe(self) -> str:
        """Return '64 filters, 9 blocks, transposed convolutions, affine instance norm'."""
        halving = "anti-aliased, " if self.blurred else ""
        doubling = {
            "transposed": "transposed convolutions",
            "nearest": "nearest upsampling",
            "blurred": "blurred upsampling",
        }
        affine = "affine " if self.affine and self.norm == "instance" else ""
        return (
            f"{self.ngf} filters, {self.n_blocks} blocks, {halving}{doubling[self.doubling]}, {affine}{self.norm} norm"
        )


@dataclass
class _Layer:
    """One numbered entry of a file: a convolution, a normalisation, a blur or a block, by its parts' names."""

    tensors: State = field(default_factory=dict)  # of the layer itself: weight, bias, running_mean, filt
    inner: dict[int, State] = field(default_factory=dict)  # of a block: its own layers

    @property
    def weight(self) -> Tensor | None:
        return self.tensors.get("weight")


def find_generators(content: Mapping[str, object]) -> dict[str, State]:
    """Return the networks in a checkpoint: what stands before 'model.N' in their names -> their weights.

    Wrappers ({'state_dict': ...}) and the prefixes of DataParallel and torch.compile vanish in the names.
    """
    found: dict[str, State] = {}
    for name, value in _flatten(content):
        match = _KEY.fullmatch(name.replace("_orig_mod.", "").replace("module.", ""))
        if match is not None:
            prefix = match["prefix"].rstrip(".")
            found.setdefault(prefix, {})[f"{match['layer']}.{match['rest']}"] = value
    return found


def _flatten(content: Mapping[str, object], prefix: str = "") -> list[tuple[str, Tensor]]:
    flat: list[tuple[str, Tensor]] = []
    for key, value in content.items():
        if isinstance(value, Tensor):
            flat.append((f"{prefix}{key}", value))
        elif isinstance(value, Mapping):
            flat += _flatten(value, f"{prefix}{key}.")
    return flat


def recognise(state: State) -> tuple[Traits, State]:
    """Return the traits of the generator in `state`, and its weights under the names of `ForeignGenerator`.

    Raises:
        ModelError: it is none; the text says what it is instead, without naming a file.
    """
    layers = _read_layers(state)
    convolutions = [i for i, layer in layers.items() if layer.weight is not None and layer.weight.ndim == 4]
    blocks = [i for i, layer in layers.items() if layer.inner]
    _refuse_others(state, layers, convolutions)
    down = [i for i in convolutions[1:] if blocks and i < blocks[0]]
    up = [i for i in convolutions[:-1] if blocks and i > blocks[-1]]
    first, last = layers[convolutions[0]].weight, layers[convolutions[-1]].weight
    assert first is not None  # they are in `convolutions`
    assert last is not None
    if not blocks or len(down) != len(up) or not down or first.shape[1:] != (3, 7, 7) or last.shape[2:] != (7, 7):
        raise ModelError(
            "it has other layers than a CycleGAN generator of residual blocks for RGB pictures", hint=_WHAT_IS_READ
        )
    order = [convolutions[0], *down, *blocks, *up, convolutions[-1]]
    renamed = _rename(layers, order, blocks)
    blurs = {i for i, layer in layers.items() if "filt" in layer.tensors}
    sample = layers[down[0]]
    inner = sorted(layers[blocks[0]].inner)
    has_norm_weights = any(".norm.weight" in name for name in renamed)
    traits = Traits(
        ngf=first.shape[0],
        n_blocks=len(blocks),
        n_down=len(down),
        blurred=any(i < blocks[0] for i in blurs),
        doubling=_doubling(layers, up, blurs),
        norm="batch" if has_norm_weights and any("running_mean" in name for name in renamed) else "instance",
        affine=has_norm_weights,
        bias="bias" in sample.tensors,
        zero_padded=inner[0] == 0 and not any(".conv." in name for name in state),
    )
    if traits.norm == "instance":
        renamed = {name: value for name, value in renamed.items() if not name.endswith(_STATISTICS)}
    return traits, renamed


def _read_layers(state: State) -> dict[int, _Layer]:
    layers: dict[int, _Layer] = {}
    for name, value in state.items():
        number, _, rest = name.partition(".")
        layer = layers.setdefault(int(number), _Layer())
        block = _IN_BLOCK.fullmatch(rest)
        if block is not None:
            layer.inner.setdefault(int(block[1]), {})[block[2]] = value
        else:
            layer.tensors[rest.removeprefix("conv.")] = value
    return dict(sorted(layers.items()))


def _refuse_others(state: State, layers: dict[int, _Layer], convolutions: list[int]) -> None:
    if any("model." in name for name in state):
        raise ModelError(
            "it is a U-Net generator, as pix2pix trains it, and no CycleGAN generator of residual blocks",
            hint=_WHAT_IS_READ,
        )
    kernels = {tuple(weight.shape[2:]) for i in convolutions if (weight := layers[i].weight) is not None}
    if convolutions and kernels == {(4, 4)}:
        raise ModelError(
            "it is a discriminator, which judges pictures and makes none",
            hint="Name the generator, mostly beside it: latest_net_G_A.pth, or netG_A2B.pth.",
        )
    if len(convolutions) < 4:
        raise ModelError("its layers are not those of a CycleGAN generator", hint=_WHAT_IS_READ)


def _doubling(layers: dict[int, _Layer], up: list[int], blurs: set[int]) -> Doubling:
    weight = layers[up[0]].weight
    assert weight is not None
    if weight.shape[0] > weight.shape[1]:  # [in,out]: a transposed convolution
        return "transposed"
    return "blurred" if any(i > min(up) - 2 for i in blurs) else "nearest"


def _rename(layers: dict[int, _Layer], order: list[int], blocks: list[int]) -> State:
    """Give each weight the name that it has in `ForeignGenerator`; a normalisation belongs to the layer before it."""
    renamed: State = {}
    place = -1
    for i, layer in layers.items():
        if i in order:
            place = order.index(i)
        if i in blocks:
            convolution = -1
            for _, tensors in sorted(layer.inner.items()):
                is_convolution = tensors.get("weight", torch.empty(0)).ndim == 4
                convolution += is_convolution
                part = "conv" if is_convolution else "norm"
                renamed |= _under(f"layers.{place}.{convolution}", part, tensors)
            continue
        part = "conv" if i in order else "norm"
        if "filt" in layer.tensors:  # a blur stands after what halves, and before what doubles
            before = i > blocks[-1]
            renamed[f"layers.{place + before}.blur.filt"] = layer.tensors["filt"]
            continue
        renamed |= _under(f"layers.{place}", part, layer.tensors)
    return renamed


def _under(place: str, part: str, tensors: State) -> State:
    """Return the names in a layer; a normalisation may be written inside its convolution, as norm, bn or in."""
    renamed = {}
    for name, value in tensors.items():
        inside = re.fullmatch(r"(?:norm|bn|in)\.(.+)", name)
        renamed[f"{place}.norm.{inside[1]}" if inside is not None else f"{place}.{part}.{name}"] = value
    return renamed


# The network -----------------------------------------------------------------------------------------------


def _norm(traits: Traits, channels: int) -> nn.Module:
    if traits.norm == "batch":
        return nn.BatchNorm2d(channels)
    return nn.InstanceNorm2d(channels, affine=traits.affine)


class _Blur(nn.Module):
    """A blur with the file's own kernel, (C,1,k,k), that halves sizes or doubles them (Zhang 2019).

    Doubling by (1,3,3,1), borders repeated, is linear interpolation, which runtimes do much faster.
    """

    filt: Tensor

    def __init__(self, channels: int, taps: int, *, doubles: bool) -> None:
        super().__init__()
        self.doubles = doubles
        self.is_linear = False
        self.register_buffer("filt", torch.zeros(channels, 1, taps, taps))

    def settle(self) -> None:
        """Look, once the weights are there, whether the kernel is that of linear interpolation."""
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
        kernel = torch.outer(taps, taps)
        self.is_linear = self.filt.shape[2:] == kernel.shape and torch.allclose(self.filt, kernel, atol=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        if self.doubles and self.is_linear:
            return F.interpolate(x, scale_factor=2, mode="bilinear")
        if self.doubles:
            wide = F.pad(x, (1, 1, 1, 1), mode="replicate")
            return F.conv_transpose2d(wide, self.filt, stride=2, padding=3, groups=x.shape[1])
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), self.filt, stride=2, groups=x.shape[1])


class _Outer(nn.Module):
    """A 7x7 convolution, padded by reflection; the first is normalised and rectified, the last ends in tanh."""

    def __init__(self, traits: Traits, taken: int, made: int, *, last: bool, bias: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(taken, made, 7, padding=3, padding_mode="reflect", bias=bias)
        if not last:
            self.norm = _norm(traits, made)
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.conv(x)
        return torch.tanh(made) if self.last else torch.relu(self.norm(made))


class _Halving(nn.Module):
    def __init__(self, traits: Traits, taken: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(taken, 2 * taken, 3, stride=1 if traits.blurred else 2, padding=1, bias=traits.bias)
        self.norm = _norm(traits, 2 * taken)
        if traits.blurred:
            self.blur = _Blur(2 * taken, 3, doubles=False)
        self.blurred = traits.blurred

    def forward(self, x: Tensor) -> Tensor:
        made = torch.relu(self.norm(self.conv(x)))
        return self.blur(made) if self.blurred else made


class _Doubling(nn.Module):
    def __init__(self, traits: Traits, taken: int) -> None:
        super().__init__()
        made = taken // 2
        self.kind = traits.doubling
        if traits.doubling == "blurred":
            self.blur = _Blur(taken, 4, doubles=True)
        self.conv = (
            nn.ConvTranspose2d(taken, made, 3, stride=2, padding=1, output_padding=1, bias=traits.bias)
            if traits.doubling == "transposed"
            else nn.Conv2d(taken, made, 3, padding=1, bias=traits.bias)
        )
        self.norm = _norm(traits, made)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "blurred":
            x = self.blur(x)
        elif self.kind == "nearest":
            x = F.interpolate(x, scale_factor=2, mode="nearest")
        return torch.relu(self.norm(self.conv(x)))


class _NormedConv(nn.Module):
    def __init__(self, traits: Traits, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            channels,
            channels,
            3,
            padding=1,
            padding_mode="zeros" if traits.zero_padded else "reflect",
            bias=traits.bias,
        )
        self.norm = _norm(traits, channels)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.norm(self.conv(x))
        return made


class _Block(nn.ModuleList):
    """x + norm(conv(relu(norm(conv(x))))); dropout, where it was trained with, does nothing afterwards."""

    def forward(self, x: Tensor) -> Tensor:
        first, second = self
        made: Tensor = x + second(torch.relu(first(x)))
        return made


class ForeignGenerator(nn.Module):
    """A generator as `Traits` describe it; (N,3,H,W) in [-1,1] both, sides rounded up to the size multiple."""

    def __init__(self, traits: Traits, *, outer_bias: tuple[bool, bool] = (True, True)) -> None:
        """Build it.

        Args:
            outer_bias: whether the first and the last convolution have a bias.
        """
        super().__init__()
        ngf, widest = traits.ngf, traits.ngf * traits.size_multiple
        layers: list[nn.Module] = [_Outer(traits, 3, ngf, last=False, bias=outer_bias[0])]
        layers += [_Halving(traits, ngf * 2**level) for level in range(traits.n_down)]
        layers += [_Block([_NormedConv(traits, widest), _NormedConv(traits, widest)]) for _ in range(traits.n_blocks)]
        layers += [_Doubling(traits, ngf * 2**level) for level in range(traits.n_down, 0, -1)]
        layers += [_Outer(traits, ngf, 3, last=True, bias=outer_bias[1])]
        self.layers = nn.Sequential(*layers)

    def forward(self, batch: Tensor) -> Tensor:
        """Return the stylised batch."""
        stylized: Tensor = self.layers(batch)
        return stylized


def build_foreign(state: State, *, bgr: bool = False) -> tuple[ForeignGenerator, Traits]:
    """Return the generator in `state`, in eval mode and fp32.

    Args:
        bgr: it was trained on pictures with their channels in that order; what is returned takes RGB.

    Raises:
        ModelError: it is none, or holds weights that the recognised network has no place for.
    """
    traits, renamed = recognise(state)
    last = traits.n_blocks + 2 * traits.n_down + 1
    generator = ForeignGenerator(
        traits, outer_bias=("layers.0.conv.bias" in renamed, f"layers.{last}.conv.bias" in renamed)
    )
    if bgr:
        renamed["layers.0.conv.weight"] = renamed["layers.0.conv.weight"].flip(1)
        for name in ("weight", "bias"):
            renamed[f"layers.{last}.conv.{name}"] = renamed[f"layers.{last}.conv.{name}"].flip(0)
    try:
        generator.load_state_dict({name: value.float() for name, value in renamed.items()}, strict=True)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:3]]
        raise ModelError(
            f"its weights do not fit a generator of {traits.describe()}: {' '.join(lines)}", hint=_WHAT_IS_READ
        ) from error
    for module in generator.modules():
        if isinstance(module, _Blur):
            module.settle()
    return generator.eval(), traits
