"""The peers of the benchmarks do the same work as the tool."""

import numpy as np
import pytest
import torch
from PIL import Image as PilImage

from bench.bench_training import literal_step
from bench.eager import load_generator, stylize
from stylegan_tool.models import choose_model
from stylegan_tool.options import TileOption
from stylegan_tool.session import Session
from stylegan_tool.stylize import Stylizer
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


def test_the_eager_loop_makes_the_same_picture() -> None:
    path = choose_model("vangogh", direction="A2B").path
    image = np.random.default_rng(0).integers(0, 255, (9, 12, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    theirs = np.asarray(stylize(load_generator(path), PilImage.fromarray(image)))
    ours = Stylizer(Session(path, provider="cpu"), TileOption("off"))(image)
    assert np.abs(ours.astype(int) - theirs).max() <= 1
