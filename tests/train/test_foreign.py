from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from stylegan_tool.errors import ModelError
from stylegan_train.foreign import Traits, build_foreign, find_generators
from tests import foreign_networks as nets

SIZES = ((32, 32), (33, 47), (40, 35), (61, 64))


def batch_norm(channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels)


def _close(found: nn.Module, network: nn.Module, *, bgr: bool = False) -> None:
    """Compare on several sizes, odd ones too, each side rounded up alike, and cropped to what went in."""
    generator = torch.Generator().manual_seed(1)
    with torch.inference_mode():
        for height, width in SIZES:
            batch = torch.rand((2, 3, height, width), generator=generator) * 2 - 1
            made = found(batch)
            expected = network(batch.flip(1)).flip(1) if bgr else network(batch)
            assert made.shape == expected.shape
            apart = (made - expected)[:, :, :height, :width].abs().max()
            assert apart <= 1e-5
            assert expected.std() > 0.1


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        pytest.param(lambda: nets.jz(4, 3), {"ngf": 4, "n_blocks": 3, "doubling": "transposed"}, id="JZ"),
        pytest.param(lambda: nets.jz(6, 1, dropout=True), {"ngf": 6, "n_blocks": 1}, id="JZ with dropout"),
        pytest.param(
            lambda: nets.jz(4, 2, norm=batch_norm, bias=False),
            {"norm": "batch", "bias": False, "affine": True},
            id="JZ with batch norm",
        ),
        pytest.param(lambda: nets.jz(4, 2, padding="zero"), {"zero_padded": True}, id="JZ padded with zeros"),
        pytest.param(lambda: nets.jz(2, 2, n_down=4), {"n_down": 4, "ngf": 2}, id="pix2pixHD"),
        pytest.param(lambda: nets.pg(4, 3), {"doubling": "nearest", "n_blocks": 3}, id="PyTorch-GAN"),
        pytest.param(lambda: nets.mixed(4, 2), {"affine": True, "norm": "instance"}, id="mixed, affine"),
        pytest.param(lambda: nets.cut(4, 2), {"blurred": True, "doubling": "blurred"}, id="CUT, anti-aliased"),
    ],
)
def test_it_computes_what_the_network_computes(build: Callable[[], nn.Module], expected: dict[str, object]) -> None:
    network = nets.randomise(build())
    found, traits = build_foreign(find_generators(network.state_dict())[""])
    assert {name: getattr(traits, name) for name in expected} == expected
    _close(found, network)


def test_mmagic_takes_bgr() -> None:
    network = nets.randomise(nets.mmagic(4, 2))
    found, _ = build_foreign(find_generators(network.state_dict())[""], bgr=True)
    _close(found, network, bgr=True)


def test_statistics_of_2018_are_not_used() -> None:
    network = nets.randomise(nets.jz(4, 2))
    state = network.state_dict()
    old = nets.randomise(nets.jz(4, 2, norm=lambda n: nn.InstanceNorm2d(n, track_running_stats=True)), seed=5)
    state |= {name: value for name, value in old.state_dict().items() if "running" in name or "batches" in name}
    found, traits = build_foreign(find_generators(state)[""])
    assert traits.norm == "instance"
    _close(found, network)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module."])
def test_prefixes_of_wrappers_vanish(prefix: str) -> None:
    network = nets.randomise(nets.jz(4, 1))
    state = {f"{prefix}{name}": value for name, value in network.state_dict().items()}
    assert list(find_generators(state)) == [""]
    _close(build_foreign(find_generators(state)[""])[0], network)


def test_networks_in_wrappers_are_found() -> None:
    a, b = nets.randomise(nets.jz(4, 1)), nets.randomise(nets.jz(4, 1), seed=2)
    content = {"epoch": 3, "G_A": a.state_dict(), "nets": {"G_B": b.state_dict()}, "lr": torch.tensor(1.0)}
    found = find_generators(content)
    assert list(found) == ["G_A", "nets.G_B"]
    _close(build_foreign(found["nets.G_B"])[0], b)


def test_half_precision_is_widened() -> None:
    network = nets.randomise(nets.mixed(4, 1)).half().float()
    state = {name: value.half() for name, value in network.state_dict().items()}
    _close(build_foreign(find_generators(state)[""])[0], network)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        pytest.param(nets.patch_discriminator, "a discriminator", id="discriminator"),
        pytest.param(nets.unet, "a U-Net generator", id="U-Net"),
        pytest.param(
            lambda: nets.Model([nn.Conv2d(1, 4, 7), nn.Conv2d(4, 8, 3), nn.Conv2d(8, 4, 3), nn.Conv2d(4, 1, 7)]),
            "other layers",
            id="grey",
        ),
        pytest.param(lambda: nets.Model([nn.Linear(3, 4), nn.Linear(4, 5)]), "not those of", id="no pictures"),
    ],
)
def test_others_are_named_and_refused(build: Callable[[], nn.Module], message: str) -> None:
    (state,) = find_generators(build().state_dict()).values()
    with pytest.raises(ModelError, match=message):
        build_foreign(state)


def test_weights_without_a_place_are_refused() -> None:
    state = find_generators(nets.jz(4, 2).state_dict())[""]
    del state["10.conv_block.5.bias"]
    with pytest.raises(ModelError, match="do not fit a generator of 4 filters, 2 blocks"):
        build_foreign(state)


def _reach_px(network: nn.Module) -> int:
    """How far a change of one input pixel is seen, to the further side; norms are taken out."""
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.InstanceNorm2d):
                setattr(module, name, nn.Identity())
            if isinstance(child, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.constant_(child.weight, 1 / child.weight[0].numel())
                nn.init.constant_(child.bias if child.bias is not None else torch.zeros(1), 0.0)
    side = 192
    reach = 0
    for offset in range(4):
        image = torch.zeros(1, 3, side, side, dtype=torch.float64)
        middle = side // 2 + offset
        image[:, :, middle, middle] = 1
        with torch.inference_mode():
            changed: Tensor = network.double().eval()(image)[0].abs().amax((0, 1)) > 0
        seen = changed.nonzero().flatten()
        reach = max(reach, middle - int(seen.min()), int(seen.max()) - middle)
    return reach


@pytest.mark.parametrize("build", [nets.jz, nets.pg, nets.cut], ids=["JZ", "PyTorch-GAN", "CUT"])
def test_the_receptive_field_is_what_is_seen(build: Callable[[int, int], nn.Module]) -> None:
    network = build(2, 2)
    _, traits = build_foreign(find_generators(network.state_dict())[""])
    assert _reach_px(network) <= traits.receptive_field_px <= _reach_px(network) + 3


@pytest.mark.parametrize(
    ("doubling", "blurred", "n_blocks", "reach"),
    [("transposed", False, 9, 84), ("transposed", False, 6, 60), ("nearest", False, 9, 87), ("blurred", True, 9, 93)],
)
def test_receptive_fields_known_of_full_networks(doubling: str, blurred: bool, n_blocks: int, reach: int) -> None:
    traits = Traits(64, n_blocks, 2, blurred, doubling, "instance", False, True, False)  # type: ignore[arg-type]  # one of the three
    assert traits.receptive_field_px == reach
