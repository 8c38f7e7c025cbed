"""One optimisation step of CycleGAN: the generators, then the discriminators.

Names: real_a, fake_b = gen_ab(real_a), rec_a = gen_ba(fake_b), idt_a = gen_ba(real_a), and so for b.
A discriminator judges pictures *of* its domain. Batches: float32 (N,3,crop,crop) in [-1,1].
"""

import copy
import itertools
import random
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from stylegan_tool.errors import UsageError
from stylegan_train.checkpoint import build_generator
from stylegan_train.config import TrainConfig
from stylegan_train.image_pool import ImagePool
from stylegan_train.losses import draw_warp, gan_loss, l1_loss, warp
from stylegan_train.networks import Discriminator, Generator, init_weights
from stylegan_train.schedule import lr_factor
from stylegan_train.team import ALONE, Alone

STABLE_NOISE = 0.02  # standard deviation in units of [-1,1]: 2.5 of 255, a camera's noise


class CycleGan(nn.Module):
    """The four networks."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.gen_ab, self.gen_ba = build_generator(config), build_generator(config)
        self.disc_a = Discriminator(config.ndf, config.disc_layers)
        self.disc_b = Discriminator(config.ndf, config.disc_layers)
        generator = torch.Generator().manual_seed(config.seed)
        for network in (self.gen_ab, self.gen_ba, self.disc_a, self.disc_b):
            init_weights(network, generator)


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Return the type that autocast computes in; `auto` is bf16 where the hardware multiplies it natively.

    Raises:
        UsageError: fp16 without a GPU, where it is slower than fp32.
    """
    if precision == "fp16" and device.type != "cuda":
        raise UsageError(
            "--precision fp16 needs an NVIDIA GPU", hint="Leave it out, or let it be chosen: --precision auto"
        )
    if precision == "auto":
        if device.type == "cuda":
            fast = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        precision = "bf16" if fast else "fp32"
    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)


class Trainer:
    """Networks, optimisers, histories and random generators of one run: all that a step reads and writes."""

    def __init__(self, config: TrainConfig, device: torch.device, team: Alone = ALONE) -> None:
        self.config = config
        self.team = team  # the processes that share each batch
        self.device = device
        self.dtype = choose_dtype(config.precision, device)
        self.networks = CycleGan(config).to(device)
        self.networks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a gap in torch's types
        gans = self.networks
        # The generators' running mean, which is what is kept in the end: the last steps of two networks that chase
        # each other are a matter of luck, in the tint of skies above all.
        self.averaged = copy.deepcopy((gans.gen_ab, gans.gen_ba)) if config.average else None
        if config.compile:
            for network in gans.children():
                network.compile()
        # fp16 has no room for small gradients: they are scaled up, and steps in which they overflow are left out.
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)
        self.gen_params = list(itertools.chain(gans.gen_ab.parameters(), gans.gen_ba.parameters()))
        self.disc_params = list(itertools.chain(gans.disc_a.parameters(), gans.disc_b.parameters()))
        self.gen_optimizer = torch.optim.Adam(self.gen_params, lr=config.lr, betas=config.betas)
        self.disc_optimizer = torch.optim.Adam(self.disc_params, lr=config.lr, betas=config.betas)
        self.lambda_stable = 0.0  # set_epoch
        self.steps = 0  # that the running mean has seen
        self.rng = random.Random(config.seed)
        self.warp_rng = torch.Generator().manual_seed(config.seed)
        self.pool_a = ImagePool(config.pool_size, self.rng)
        self.pool_b = ImagePool(config.pool_size, self.rng)

    def generators(self) -> tuple[Generator, Generator]:
        """Return gen_ab and gen_ba as they are kept and exported: the running mean where one is taken."""
        return self.averaged or (self.networks.gen_ab, self.networks.gen_ba)

    def start_from(self, gen_ab: Mapping[str, Tensor] | None, gen_ba: Mapping[str, Tensor] | None) -> None:
        """Take the generators' first weights from elsewhere; None keeps the drawn ones.

        Raises:
            RuntimeError: they are another network's.
        """
        kept = self.averaged or (None, None)
        for state, *generators in (
            (gen_ab, self.networks.gen_ab, kept[0]),
            (gen_ba, self.networks.gen_ba, kept[1]),
        ):
            for generator in generators:
                if state is not None and generator is not None:
                    generator.load_state_dict(state)

    def set_epoch(self, epoch: int) -> None:
        """Set the learning rate and the consistency term's weight of 0-based `epoch`.

        That term comes in when the rate begins to fall: from the first step on it is easiest met by flat
        colours, and a generator that has learnt those finds no way out.
        """
        self.lambda_stable = self.config.lambda_stable if epoch >= self.config.decay_from else 0.0
        factor = lr_factor(epoch, epochs=self.config.epochs, decay_from=self.config.decay_from)
        for optimizer in (self.gen_optimizer, self.disc_optimizer):
            for group in optimizer.param_groups:
                group["lr"] = self.config.lr * factor

    def step(self, real_a: Tensor, real_b: Tensor) -> dict[str, float]:
        """Train on one batch of each domain and return every loss term by name (unweighted)."""
        real_a = real_a.to(self.device, memory_format=torch.channels_last)
        real_b = real_b.to(self.device, memory_format=torch.channels_last)
        terms, fake_a, fake_b = self._generator_step(real_a, real_b)
        terms |= self._discriminator_step(real_a, real_b, fake_a, fake_b)
        self.scaler.update()
        # One transfer for all: each float() of a CUDA tensor waits for the whole step.
        values = self.team.average(torch.stack([value.detach() for value in terms.values()]))
        return dict(zip(terms, values.tolist(), strict=True))

    def _generator_step(self, real_a: Tensor, real_b: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        config, gans = self.config, self.networks
        for param in self.disc_params:
            param.requires_grad_(False)  # they pass the gradient on and need none of their own
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
            grid = self.team.cut(draw_warp(len(real_a) * self.team.size, config.crop_size, self.warp_rng))
            fake_b, idt_b, moved_b = self._translate(gans.gen_ab, real_a, real_b, grid)
            fake_a, idt_a, moved_a = self._translate(gans.gen_ba, real_b, real_a, grid)
            rec_a, rec_b = gans.gen_ba(fake_b), gans.gen_ab(fake_a)
            scores_a, scores_b = gans.disc_a(fake_a), gans.disc_b(fake_b)
        terms = {
            "gan": (gan_loss(scores_b, real=True) + gan_loss(scores_a, real=True)) / 2,
            "cycle": (l1_loss(rec_a, real_a) + l1_loss(rec_b, real_b)) / 2,
            "identity": (l1_loss(idt_a, real_a) + l1_loss(idt_b, real_b)) / 2,
        }
        total = terms["gan"] + config.lambda_cycle * terms["cycle"] + config.lambda_identity * terms["identity"]
        if moved_a is not None and moved_b is not None:
            terms["stable"] = (l1_loss(moved_b, warp(fake_b, grid)) + l1_loss(moved_a, warp(fake_a, grid))) / 2
            total = total + self.lambda_stable * terms["stable"]
        self.gen_optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(total).backward()
        self.team.average_gradients(self.gen_params)
        self.scaler.step(self.gen_optimizer)
        self._average()
        for param in self.disc_params:
            param.requires_grad_(True)
        return terms, fake_a.detach().float(), fake_b.detach().float()

    @torch.no_grad()
    def _average(self) -> None:
        """One step of the running mean (Karras et al. 2018, 5.2), the shorter the run the shorter its memory."""
        if self.averaged is None:
            return
        self.steps += 1
        kept = min(self.config.average, self.steps / (self.steps + 10))
        averages: list[Tensor] = [param for generator in self.averaged for param in generator.parameters()]
        torch._foreach_lerp_(averages, list[Tensor](self.gen_params), 1 - kept)

    def _translate(
        self, generator: Generator, source: Tensor, target: Tensor, grid: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the fake of `source`, the identity of `target` and, if asked for, the fake of moved `source`.

        One pass for all: InstanceNorm keeps the pictures of a batch apart.
        """
        parts = [source, target]
        if self.lambda_stable > 0:
            shape = (len(source) * self.team.size, *source.shape[1:])
            noise = self.team.cut(torch.randn(shape, generator=self.warp_rng)) * STABLE_NOISE
            parts.append(warp(source, grid) + noise.to(self.device))
        results = generator(torch.cat(parts).contiguous(memory_format=torch.channels_last))
        fake, identity, *moved = results.chunk(len(parts))
        return fake, identity, moved[0] if moved else None

    def _discriminator_step(self, real_a: Tensor, real_b: Tensor, fake_a: Tensor, fake_b: Tensor) -> dict[str, Tensor]:
        gans = self.networks
        # Every process keeps the whole history and draws alike from it.
        old_a, old_b = self.pool_a.query(self.team.gather(fake_a)), self.pool_b.query(self.team.gather(fake_b))
        old_a, old_b = self.team.cut(old_a), self.team.cut(old_b)
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
            real_scores_a, fake_scores_a = gans.disc_a(torch.cat([real_a, old_a])).chunk(2)
            real_scores_b, fake_scores_b = gans.disc_b(torch.cat([real_b, old_b])).chunk(2)
        terms = {
            "disc_a": (gan_loss(real_scores_a, real=True) + gan_loss(fake_scores_a, real=False)) / 2,
            "disc_b": (gan_loss(real_scores_b, real=True) + gan_loss(fake_scores_b, real=False)) / 2,
        }
        self.disc_optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(terms["disc_a"] + terms["disc_b"]).backward()
        self.team.average_gradients(self.disc_params)
        self.scaler.step(self.disc_optimizer)
        return terms

    def state(self) -> dict[str, Any]:
        """Return all that `load_state` needs to go on: plain tensors, numbers and lists."""
        version, internal, gauss = self.rng.getstate()
        return {
            "networks": self.networks.state_dict(),
            "averaged": [generator.state_dict() for generator in self.averaged or ()],
            "steps": self.steps,
            "gen_optimizer": self.gen_optimizer.state_dict(),
            "disc_optimizer": self.disc_optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "pool_a": self.pool_a.images,
            "pool_b": self.pool_b.images,
            "rng": [version, list(internal), gauss],
            "warp_rng": self.warp_rng.get_state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.networks.load_state_dict(state["networks"])
        for generator, weights in zip(self.averaged or (), state["averaged"], strict=True):
            generator.load_state_dict(weights)
        self.steps = state["steps"]
        self.gen_optimizer.load_state_dict(state["gen_optimizer"])
        self.disc_optimizer.load_state_dict(state["disc_optimizer"])
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        self.pool_a.images = [image.to(self.device) for image in state["pool_a"]]
        self.pool_b.images = [image.to(self.device) for image in state["pool_b"]]
        version, internal, gauss = state["rng"]
        self.rng.setstate((version, tuple(internal), gauss))
        self.warp_rng.set_state(state["warp_rng"].cpu())
