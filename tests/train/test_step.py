import copy
import itertools
import random
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import pytest
import torch
from torch import Tensor, nn

from stylegan_tool.errors import UsageError
from stylegan_train.config import PRESETS, TrainConfig
from stylegan_train.losses import draw_warp, warp
from stylegan_train.step import STABLE_NOISE, CycleGan, Trainer, choose_dtype

CPU = torch.device("cpu")
Optimizer: TypeAlias = Callable[[Any], torch.optim.Optimizer]


class Swapping(random.Random):
    """Dice that always swap, with the first place, then the second."""

    def __init__(self) -> None:
        super().__init__(0)
        self.places = itertools.cycle([0, 1])

    def random(self) -> float:
        return 0.0

    def randrange(self, *_: object) -> int:
        return next(self.places)


def _config(**fields: Any) -> TrainConfig:
    return TrainConfig(**{**PRESETS["tiny"], "batch_size": 2, "lambda_stable": 0.0, **fields})


def _trainer(config: TrainConfig) -> Trainer:
    """A trainer of which every part is at work, with networks past their first, nearly linear, steps."""
    trainer = Trainer(config, CPU)
    trainer.set_epoch(config.decay_from)
    with torch.no_grad():
        for param in trainer.networks.parameters():
            param.mul_(5)
    return trainer


def _batches(config: TrainConfig) -> tuple[Tensor, Tensor]:
    shape = (2, config.batch_size, 3, config.crop_size, config.crop_size)
    real_a, real_b = torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return real_a, real_b


def _written_out_objective(
    gans: CycleGan, real_a: Tensor, real_b: Tensor, moved: Callable[[Tensor], Tensor], grid: Tensor
) -> dict[str, Tensor]:
    """design.md's losses one by one: a pass for each term, nothing shared but the fakes."""
    fake_b, fake_a = gans.gen_ab(real_a), gans.gen_ba(real_b)
    rec_a, rec_b = gans.gen_ba(fake_b), gans.gen_ab(fake_a)
    idt_a, idt_b = gans.gen_ba(real_a), gans.gen_ab(real_b)
    stable_b = (gans.gen_ab(moved(real_a)) - warp(fake_b, grid)).abs().mean()
    stable_a = (gans.gen_ba(moved(real_b)) - warp(fake_a, grid)).abs().mean()
    return {
        "gan": ((gans.disc_b(fake_b) - 1) ** 2).mean() / 2 + ((gans.disc_a(fake_a) - 1) ** 2).mean() / 2,
        "cycle": (rec_a - real_a).abs().mean() / 2 + (rec_b - real_b).abs().mean() / 2,
        "identity": (idt_a - real_a).abs().mean() / 2 + (idt_b - real_b).abs().mean() / 2,
        "stable": stable_a / 2 + stable_b / 2,
    }


def _written_out_judgement(judge: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    value: Tensor = ((judge(real) - 1) ** 2).mean() / 2 + (judge(fake) ** 2).mean() / 2
    return value


def _written_out_step(
    trainer: Trainer, real_a: Tensor, real_b: Tensor, optimizer: Optimizer
) -> tuple[CycleGan, dict[str, float]]:
    """The networks and losses after one plain step of `trainer`, which itself stays as it is."""
    config, gans = trainer.config, copy.deepcopy(trainer.networks)
    dice = torch.Generator()
    dice.set_state(trainer.warp_rng.get_state())
    grid = draw_warp(len(real_a), config.crop_size, dice)

    def moved(source: Tensor) -> Tensor:
        return warp(source, grid) + STABLE_NOISE * torch.randn(source.shape, generator=dice)

    of_generators = optimizer([*gans.gen_ab.parameters(), *gans.gen_ba.parameters()])
    of_discriminators = optimizer([*gans.disc_a.parameters(), *gans.disc_b.parameters()])
    with torch.no_grad():
        fake_b, fake_a = gans.gen_ab(real_a), gans.gen_ba(real_b)
    terms = _written_out_objective(gans, real_a, real_b, moved, grid)
    weights = {"gan": 1, "cycle": 10, "identity": 5, "stable": config.lambda_stable}
    torch.stack([weights[name] * term for name, term in terms.items()]).sum().backward()
    of_generators.step()
    of_discriminators.zero_grad()
    judgements = {
        "disc_a": _written_out_judgement(gans.disc_a, real_a, fake_a),
        "disc_b": _written_out_judgement(gans.disc_b, real_b, fake_b),
    }
    judgements["disc_a"].backward()
    judgements["disc_b"].backward()
    of_discriminators.step()
    terms = {name: term for name, term in terms.items() if weights[name] > 0}
    return gans, {name: term.item() for name, term in {**terms, **judgements}.items()}


def _without_effect(network: nn.Module) -> set[str]:
    """Biases that the norm behind them takes away: their gradient is rounding, and Adam steps by its sign."""
    names = set()
    for path, module in network.named_modules():
        if isinstance(module, nn.Sequential):
            for (name, layer), (_, after) in itertools.pairwise(module.named_children()):
                if isinstance(layer, nn.Conv2d) and isinstance(after, nn.InstanceNorm2d):
                    names.add(f"{path}.{name}.bias")
    return names


def _weights(networks: nn.Module) -> dict[str, Tensor]:
    cancelled = _without_effect(networks)
    return {name: value.detach().clone() for name, value in networks.state_dict().items() if name not in cancelled}


def _assert_weights(networks: nn.Module, expected: nn.Module) -> None:
    wanted = _weights(expected)
    differences = {name: (value - wanted[name]).abs().max().item() for name, value in _weights(networks).items()}
    assert {name: value for name, value in differences.items() if value > 1e-6} == {}


@pytest.mark.parametrize(
    "weights",
    [
        pytest.param({}, id="the paper's objective"),
        pytest.param({"lambda_stable": 3.0}, id="with the consistency term"),
    ],
)
@pytest.mark.parametrize("plain", [False, True], ids=["by Adam", "by the plain gradient, whose size counts too"])
def test_a_step_is_the_objective_written_out(weights: dict[str, float], plain: bool) -> None:
    trainer = _trainer(_config(**weights))
    optimizer: Optimizer = partial(torch.optim.Adam, lr=2e-4, betas=(0.5, 0.999))
    if plain:
        optimizer = partial(torch.optim.SGD, lr=5e-3)
        trainer.gen_optimizer = optimizer(trainer.gen_params)  # type: ignore[assignment]  # for this test alone
        trainer.disc_optimizer = optimizer(trainer.disc_params)  # type: ignore[assignment]
    batches = _batches(trainer.config)
    before = _weights(trainer.networks)
    expected_networks, expected_terms = _written_out_step(trainer, *batches, optimizer)
    assert trainer.step(*batches) == pytest.approx(expected_terms, abs=1e-6)
    _assert_weights(trainer.networks, expected_networks)
    after = _weights(trainer.networks)
    assert all(not torch.equal(before[name], after[name]) for name in before)


def test_the_generators_step_leaves_the_discriminators_alone() -> None:
    trainer = _trainer(_config())
    judges = copy.deepcopy([param.detach() for param in trainer.disc_params])
    trainer._generator_step(*_batches(trainer.config))
    assert all(map(torch.equal, judges, trainer.disc_params))
    assert all(param.grad is None and param.requires_grad for param in trainer.disc_params)


def test_the_discriminators_step_leaves_the_generators_alone() -> None:
    trainer = _trainer(_config())
    batches = _batches(trainer.config)
    painters = copy.deepcopy([param.detach() for param in trainer.gen_params])
    trainer._discriminator_step(*batches, *(batch.flip(3) for batch in batches))
    assert all(map(torch.equal, painters, trainer.gen_params))
    assert all(param.grad is None for param in trainer.gen_params)
    assert all(param.grad is not None for param in trainer.disc_params)


def test_the_discriminators_are_shown_what_the_history_gives() -> None:
    config = _config(pool_size=2)
    trainer = _trainer(config)
    real_a, real_b = _batches(config)
    old_a, old_b = (torch.roll(real, 5, dims=3) for real in (real_a, real_b))
    for pool, old in ((trainer.pool_a, old_a), (trainer.pool_b, old_b)):
        pool.images = list(old)
        pool.rng = Swapping()
    judges = copy.deepcopy(trainer.networks)
    terms = trainer.step(real_a, real_b)
    assert terms["disc_a"] == pytest.approx(_written_out_judgement(judges.disc_a, real_a, old_a).item(), abs=1e-6)
    assert terms["disc_b"] == pytest.approx(_written_out_judgement(judges.disc_b, real_b, old_b).item(), abs=1e-6)
    assert not torch.equal(trainer.pool_a.images[0], old_a[0])


def test_the_optimisers_are_adam_and_follow_the_schedule() -> None:
    trainer = Trainer(_config(epochs=10, decay_from=5, lr=1e-3, betas=(0.4, 0.9)), CPU)
    assert len(trainer.gen_params) == 2 * len(list(trainer.networks.gen_ab.parameters()))
    groups = []
    for optimizer in (trainer.gen_optimizer, trainer.disc_optimizer):
        assert isinstance(optimizer, torch.optim.Adam)
        groups += optimizer.param_groups
    assert [(group["lr"], group["betas"], group["weight_decay"]) for group in groups] == [(1e-3, (0.4, 0.9), 0)] * 2
    for epoch, lr in ((5, 1e-3), (7, 6e-4), (9, 2e-4)):
        trainer.set_epoch(epoch)
        assert [group["lr"] for group in groups] == pytest.approx([lr, lr])


def test_the_consistency_term_comes_in_when_the_rate_begins_to_fall() -> None:
    trainer = Trainer(_config(epochs=4, decay_from=2, lambda_stable=3.0), CPU)
    batches = _batches(trainer.config)
    for epoch, weight in ((0, 0.0), (1, 0.0), (2, 3.0), (3, 3.0)):
        trainer.set_epoch(epoch)
        assert trainer.lambda_stable == weight
        assert ("stable" in trainer.step(*batches)) == (weight > 0)


def test_the_running_mean_follows_and_is_what_is_kept() -> None:
    trainer = Trainer(_config(average=0.9), CPU)
    batches = _batches(trainer.config)
    expected = [param.detach().clone() for param in trainer.gen_params]
    for step in range(1, 4):
        trainer.step(*batches)
        kept = min(0.9, step / (step + 10))
        expected = [kept * mean + (1 - kept) * param for mean, param in zip(expected, trainer.gen_params, strict=True)]
    averages = [param for generator in trainer.generators() for param in generator.parameters()]
    for average, mean, param in zip(averages, expected, trainer.gen_params, strict=True):
        torch.testing.assert_close(average, mean, rtol=0, atol=1e-7)
        assert not torch.equal(average, param)


def test_without_a_mean_the_networks_themselves_are_kept() -> None:
    trainer = Trainer(_config(), CPU)
    assert trainer.generators() == (trainer.networks.gen_ab, trainer.networks.gen_ba)


def test_a_state_goes_on_as_if_never_stopped() -> None:
    config = _config(average=0.9, lambda_stable=3.0, decay_from=0, pool_size=3)
    first = _trainer(config)
    batches = _batches(config)
    for _ in range(3):
        first.step(*batches)
    second = Trainer(config, CPU)
    second.load_state(copy.deepcopy(first.state()))
    second.set_epoch(config.decay_from)
    first.step(*batches)
    second.step(*batches)
    for one, two in ((first.networks, second.networks), *zip(first.generators(), second.generators(), strict=True)):
        assert all(map(torch.equal, one.state_dict().values(), two.state_dict().values()))


def test_fp16_needs_a_gpu() -> None:
    with pytest.raises(UsageError, match="fp16"):
        Trainer(_config(precision="fp16"), CPU)


def test_the_four_networks_start_different_and_by_the_seed() -> None:
    first, again, other = (CycleGan(_config(seed=seed)) for seed in (0, 0, 1))
    assert all(map(torch.equal, first.state_dict().values(), again.state_dict().values()))
    drawn = [*(next(network.parameters()) for network in first.children()), next(other.gen_ab.parameters())]
    for one, two in itertools.combinations(drawn, 2):
        assert one.shape != two.shape or not torch.equal(one, two)


def test_bf16_computes_short_and_keeps_its_weights_long() -> None:
    trainer = _trainer(_config(precision="bf16"))
    batches = _batches(trainer.config)
    _, expected = _written_out_step(trainer, *batches, torch.optim.Adam)
    terms = trainer.step(*batches)
    assert terms == pytest.approx(expected, abs=0.05)
    assert terms != pytest.approx(expected, abs=1e-6)
    assert {value.dtype for value in trainer.networks.state_dict().values()} == {torch.float32}


@pytest.mark.parametrize(
    ("precision", "fast", "expected"),
    [
        pytest.param("fp32", True, torch.float32, id="fp32 stays"),
        pytest.param("bf16", False, torch.bfloat16, id="bf16 where it is slow too"),
        pytest.param("auto", True, torch.bfloat16, id="auto where it is fast"),
        pytest.param("auto", False, torch.float32, id="auto where it is slow"),
    ],
)
def test_precision(precision: str, fast: bool, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: fast)
    assert choose_dtype(precision, CPU) is expected
