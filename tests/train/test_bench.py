"""The peer of the training benchmark does the same work as the trainer."""

import pytest
import torch

from bench.bench_training import literal_step
from stylegan_train.config import PRESETS, TrainConfig
from stylegan_train.step import Trainer


def test_the_literal_loop_has_the_trainers_losses_step_after_step() -> None:
    config = TrainConfig(**PRESETS["tiny"])
    literal, trainer = literal_step(config), Trainer(config, torch.device("cpu"))
    dice = torch.Generator().manual_seed(0)
    for _ in range(3):
        real_a, real_b = (torch.rand(1, 3, 32, 32, generator=dice) * 2 - 1 for _ in "ab")
        terms = trainer.step(real_a, real_b)
        total = terms["gan"] + 10 * terms["cycle"] + 5 * terms["identity"]
        assert literal(real_a, real_b) == pytest.approx(total, rel=1e-4)
