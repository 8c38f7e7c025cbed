"""Training against the loop that everybody writes first: part of `make bench`.

That loop is written out here: batch 1, fp32, torch's own InstanceNorm and layout, each term with its own pass, the
discriminators' weights given gradients in the generators' step that nobody needs.
"""

import itertools
import shutil
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.figures import Figure, time_in_turn
from stylegan_tool.demo_files import examples_folder
from stylegan_train.config import PRESETS, TrainConfig
from stylegan_train.data import UnpairedBatches, open_data_set
from stylegan_train.networks import InstanceNorm
from stylegan_train.step import CycleGan, Trainer, choose_dtype
from stylegan_train.waits import Waits

CPU = torch.device("cpu")
RUNS = 2  # a step of the reference networks takes many seconds
BF16_GOAL = 1.7
MOST_WAITED = 0.02
WAIT_STEPS = 40


def _with_torchs_norm(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, InstanceNorm):
            setattr(module, name, nn.InstanceNorm2d(child.num_features))
        else:
            _with_torchs_norm(child)


def literal_step(config: TrainConfig) -> Callable[[Tensor, Tensor], float]:
    """Return a step of the plain loop, which returns the generators' loss."""
    gans = CycleGan(config)
    _with_torchs_norm(gans)
    gen_params = itertools.chain(gans.gen_ab.parameters(), gans.gen_ba.parameters())
    gen_optimizer = torch.optim.Adam(gen_params, lr=config.lr, betas=config.betas)
    optimizers = [
        torch.optim.Adam(d.parameters(), lr=config.lr, betas=config.betas) for d in (gans.disc_a, gans.disc_b)
    ]
    mse, l1 = nn.MSELoss(), nn.L1Loss()

    def judge(scores: Tensor, target: float) -> Tensor:
        loss: Tensor = mse(scores, torch.full_like(scores, target))
        return loss

    def step(real_a: Tensor, real_b: Tensor) -> float:
        gen_optimizer.zero_grad()
        identity = (l1(gans.gen_ba(real_a), real_a) + l1(gans.gen_ab(real_b), real_b)) / 2
        fake_b, fake_a = gans.gen_ab(real_a), gans.gen_ba(real_b)
        gan = (judge(gans.disc_b(fake_b), 1.0) + judge(gans.disc_a(fake_a), 1.0)) / 2
        cycle = (l1(gans.gen_ba(fake_b), real_a) + l1(gans.gen_ab(fake_a), real_b)) / 2
        loss: Tensor = gan + config.lambda_cycle * cycle + config.lambda_identity * identity
        loss.backward()
        gen_optimizer.step()
        both = ((gans.disc_a, real_a, fake_a), (gans.disc_b, real_b, fake_b))
        for optimizer, (discriminator, real, fake) in zip(optimizers, both, strict=True):
            optimizer.zero_grad()
            ((judge(discriminator(real), 1.0) + judge(discriminator(fake.detach()), 0.0)) / 2).backward()
            optimizer.step()
        return loss.item()

    return step


def _against_the_literal_loop() -> list[Figure]:
    """The reference networks: fp32, bf16, and two pictures a step."""
    config = TrainConfig()
    literal = literal_step(config)
    fp32, bf16 = Trainer(config, CPU), Trainer(TrainConfig(precision="bf16"), CPU)
    pair = Trainer(TrainConfig(batch_size=2), CPU)
    two = torch.rand(2, 3, config.crop_size, config.crop_size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    one = two[:1]
    literal_s, fp32_s, bf16_s, pair_s = time_in_turn(
        lambda: literal(one, one),
        lambda: fp32.step(one, one),
        lambda: bf16.step(one, one),
        lambda: pair.step(two, two),
        runs=RUNS,
    )
    fast = choose_dtype("auto", CPU) == torch.bfloat16
    note = f"goal: {BF16_GOAL} times its speed" if fast else "no native bf16 here"
    name = "training, reference networks: time of the literal loop's step"
    return [
        Figure("training, reference networks: the literal loop, steps a second", 1 / literal_s, "1/s"),
        Figure(f"{name}, fp32", fp32_s / literal_s),
        Figure(f"{name}, bf16", bf16_s / literal_s, goal=1 / BF16_GOAL if fast else None, note=note),
        Figure(f"{name}, fp32, batch 2, a picture", pair_s / 2 / literal_s),
    ]


def _compact() -> list[Figure]:
    """The preset that a CPU trains."""
    compact = PRESETS["compact"]
    size = compact["crop_size"]
    fp32 = Trainer(TrainConfig(**{**compact, "precision": "fp32"}), CPU)
    bf16 = Trainer(TrainConfig(**{**compact, "precision": "bf16"}), CPU)
    batch = torch.rand(compact.get("batch_size", 1), 3, size, size) * 2 - 1
    fp32_s, bf16_s = time_in_turn(lambda: fp32.step(batch, batch), lambda: bf16.step(batch, batch))
    fast = "bf16 is native here" if choose_dtype("auto", CPU) == torch.bfloat16 else "no native bf16 here"
    return [
        Figure("training, compact: steps a second in fp32", 1 / fp32_s, "1/s"),
        Figure("training, compact: time of bf16 against fp32", bf16_s / fp32_s, note=fast),
    ]


def _waited(workers: int, folder: Path) -> Figure:
    """How much of the compact preset's training is spent waiting for pictures."""
    config = TrainConfig(**PRESETS["compact"], workers=workers)
    trainer, waits = Trainer(config, CPU), Waits()
    batches = UnpairedBatches(open_data_set(folder, exchanged=False), config)
    started = time.perf_counter()
    steps = waits.watch(itertools.chain.from_iterable(batches.epoch(epoch, 0) for epoch in itertools.count()))
    for real_a, real_b in islice(steps, WAIT_STEPS):
        trainer.step(torch.from_numpy(real_a), torch.from_numpy(real_b))
    share = waits.waited_s / (time.perf_counter() - started)
    goal = MOST_WAITED if workers else None
    return Figure(f"training, compact, {workers} workers: share of time waiting for pictures", share, goal=goal)


def bench_training() -> list[Figure]:
    """Speed of a step and what pictures cost."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for side in ("trainA", "trainB"):
            shutil.copytree(examples_folder() / "pictures", folder / side)
        waited = [_waited(workers, folder) for workers in (TrainConfig().workers, 0)]
    return [*_against_the_literal_loop(), *_compact(), *waited]
