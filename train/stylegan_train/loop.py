"""Epochs: batches in, losses logged, samples drawn, checkpoints and state saved, stopped and gone on."""

import math
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stylegan_tool.errors import ComputeError, InputError, first_line
from stylegan_tool.image_files.picture import Picture
from stylegan_tool.image_files.writing import write_picture
from stylegan_tool.pixels import to_batch, to_image
from stylegan_tool.progress import Progress, format_duration
from stylegan_train.board import Board
from stylegan_train.checkpoint import read_plain, write_atomically
from stylegan_train.config import TrainConfig
from stylegan_train.curves import write_curves
from stylegan_train.data import DataSet, UnpairedBatches, center_crop, load_image
from stylegan_train.run_dir import RunDir
from stylegan_train.step import Trainer
from stylegan_train.stop import Stop, Stopped, stop_on_ctrl_c
from stylegan_train.team import ALONE, Alone
from stylegan_train.validation import Validation
from stylegan_train.waits import Waits, advise

LOG_EVERY_STEPS = 10
ESTIMATE_AFTER_S = 60
ESTIMATE_AFTER_STEPS = 20  # of runs that take no longer than that
SAVE_EVERY_S = 300
N_SAMPLES = 3  # fixed pictures of each domain in a sample grid
MAX_GRIDS = 50


class Loop:
    """One run from its first (or next) step to its last epoch."""

    def __init__(
        self, config: TrainConfig, data_set: DataSet, run: RunDir, device: torch.device, team: Alone = ALONE
    ) -> None:
        self.config = config
        self.team = team
        self.run = run
        self.trainer = Trainer(config, device, team)
        self.batches = UnpairedBatches(data_set, config, team.places(config.batch_size))
        self.epoch = 0  # epochs finished
        self.step = 0  # steps finished of the epoch after those
        self.steps_here = 0  # steps of this process, which may have taken the run up in its middle
        self.samples_a = self._read_samples(data_set.test_a or data_set.train_a)
        self.samples_b = self._read_samples(data_set.test_b or data_set.train_b)
        self.means: defaultdict[str, list[float]] = defaultdict(list)  # of the steps since the last line of stats
        self.steps_timed = 0  # those of them that this process has done
        self.newest_is_damaged = False  # of the run's states, the one that is written over next
        self.board = Board(run.board_folder)
        self.validation = Validation(config, data_set, run)
        self.waits = Waits()
        self.trained_s = 0.0  # of this process, without samples and saving
        self.estimated = self.advised = False
        self.saved_at = self.started_at = self.logged_at = self.first_step_at = time.monotonic()

    def _read_samples(self, paths: tuple[Path, ...]) -> Tensor:
        """The fixed pictures, evenly spread over the folder: (N,3,S,S)."""
        size = max(self.config.crop_size, min(256, self.config.load_size[1]) // 4 * 4)
        n = min(N_SAMPLES, len(paths))
        chosen = [paths[i * len(paths) // n] for i in range(n)]
        images = [center_crop(load_image(path), size) for path in chosen]
        return torch.from_numpy(np.concatenate([to_batch(image) for image in images]))

    def resume(self) -> None:
        """Take up the run's training state, or the one before it if that is missing or damaged.

        Raises:
            InputError: neither can be gone on with; the message is about the newest.
        """
        try:
            self._load_state(self.run.state_path)
        except InputError as error:
            try:
                self._load_state(self.run.state_before_path)
            except InputError:
                raise error from None
            self.newest_is_damaged = True
            self.run.log(f"{error.what}; going on from the state before it, {self.run.state_before_path}")

    def _load_state(self, path: Path) -> None:
        state = read_plain(path)
        try:
            self.trainer.load_state(state["trainer"])
            self.epoch, self.step = state["epoch"], state["step"]
            self.means = defaultdict(list, state.get("means", {}))
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(
                f"{path} does not fit its run ({first_line(error)})",
                hint="Its config.json was changed, or the state is another run's: put it back, or start anew.",
            ) from error

    def save(self) -> None:
        """Write the checkpoint (generators) and the training state, each whole or not at all.

        Raises:
            ComputeError: a weight is not a finite number (a step's losses are taken before its update).
        """
        networks = self.trainer.networks
        if not all(param.isfinite().all() for param in networks.parameters()):
            steps = self.epoch * self.batches.n_steps + self.step
            raise ComputeError(
                f"a weight is no number any more (NaN) after {steps} steps; training of {self.run.folder} stopped",
                hint="What was saved last is kept. Start again with a lower rate (--lr 1e-4), or with --precision fp32",
            )
        gen_ab, gen_ba = self.trainer.generators()
        generators = {"gen_ab": gen_ab.state_dict(), "gen_ba": gen_ba.state_dict()}
        write_atomically({**generators, "epoch": self.epoch}, self.run.checkpoint_path)
        self._save_state()

    def _save_state(self) -> None:
        state = {
            "trainer": self.trainer.state(),
            "epoch": self.epoch,
            "step": self.step,
            "means": dict(self.means),
        }
        kept = None if self.newest_is_damaged else self.run.state_before_path
        write_atomically(state, self.run.state_path, keep_old=kept)
        self.newest_is_damaged = False
        self.saved_at = time.monotonic()

    def elapsed_s(self) -> float:
        """Seconds since this process took the run up."""
        return time.monotonic() - self.started_at

    def train(self) -> None:
        """Run to the last epoch.

        Raises:
            ComputeError: a loss is not a finite number; what was saved before is kept.
            Stopped: Ctrl-C was pressed; the step was finished and everything saved.
            KeyboardInterrupt: it was pressed twice; what was saved before is kept.
        """
        self.validation.announce()
        n_steps = self.batches.n_steps
        done = self.epoch * n_steps + self.step
        bar = Progress("training", self.config.epochs * n_steps, "steps", done=done, shown=self.team.leads)
        self.run.cut_stats(self.epoch, self.step)
        self.board.go_on_after(done)
        try:
            with stop_on_ctrl_c(says=self.team.local_rank == 0) as stop, bar as progress:
                if not done:  # a run that is killed in its first minutes can be gone on with, too
                    self._save_state()
                elif not self.is_validated():  # it was stopped between its save and the validation
                    self._validate()
                while self.epoch < self.config.epochs:
                    self._train_epoch(progress, stop)
                    if self.team.any(stop.asked and not self.is_finished()):
                        raise Stopped
        except Stopped:
            self._draw_curves()
            raise
        finally:
            self.board.close()
        self._draw_curves()
        if line := self.validation.advise(self.epoch):
            self.run.log(line)

    def _draw_curves(self) -> None:
        config, n_steps = self.config, self.batches.n_steps
        title = f"{self.run.folder.absolute().name}: {config.domain_a} (A) <-> {config.domain_b} (B)"
        write_curves(self.run.stats_path, self.run.curves_path, title=title, n_steps=n_steps)

    def _train_epoch(self, progress: Progress, stop: Stop) -> None:
        self.trainer.set_epoch(self.epoch)
        sums: defaultdict[str, float] = defaultdict(float)
        started, first_step = time.monotonic(), self.step
        self.logged_at = started
        for real_a, real_b in self.waits.watch(self.batches.epoch(self.epoch, self.step)):
            terms = self.trainer.step(torch.from_numpy(real_a), torch.from_numpy(real_b))
            self.step += 1
            self.steps_here += 1
            self._check_finite(terms)
            self._record(terms)
            for name, value in terms.items():
                sums[name] += value
            progress.advance(note=" ".join(f"{name} {value:.3f}" for name, value in terms.items()))
            if self.step == self.batches.n_steps:
                continue  # saved, and stopped where asked for, as a whole epoch
            stopping = self.team.any(stop.asked)
            if stopping or time.monotonic() - self.saved_at > SAVE_EVERY_S:
                self.save()
            if stopping:
                raise Stopped
        self.trained_s += time.monotonic() - started
        n_steps = self.step - first_step
        self.epoch, self.step = self.epoch + 1, 0
        self.save()
        if n_steps:  # none are left where a run was stopped after the last step of its epoch
            means = {name: value / n_steps for name, value in sums.items()}
            self._log_epoch(means, (time.monotonic() - started) / n_steps)
        every = max(1, self.config.epochs // MAX_GRIDS)
        if self.epoch % every == 0 or self.epoch in (1, self.config.epochs):
            self.write_samples()
        if not (stop.asked or self.is_validated()):
            self._validate()

    def is_validated(self) -> bool:
        """Whether the last step was no epoch's end, or none to validate after, or that is done."""
        due = self.step == 0 and self.validation.is_due(self.epoch)
        return not (due and not self.run.has_validation(self.epoch))

    def is_finished(self) -> bool:
        """Whether there is nothing left to train or to validate."""
        return self.epoch >= self.config.epochs and self.is_validated()

    def _validate(self) -> None:
        """Measure, and keep if they are the best, the weights that were just saved or taken up.

        What is measured depends on them alone, and they are in the state already: a run that is killed here measures
        the same again when it goes on, and no best checkpoint is of steps that were lost.
        """
        n_steps = self.batches.n_steps
        values = self.validation.validate(self.trainer, self.epoch, self.elapsed_s() if self.steps_here else 0.0)
        values = {"epoch": self.epoch, "step": n_steps, "steps": self.epoch * n_steps, **values}
        self.run.append_stats(values)
        self.board.write_scalars(values, self.epoch * n_steps)

    def _log_epoch(self, means: dict[str, float], step_s: float) -> None:
        losses = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
        left = (self.config.epochs - self.epoch) * self.batches.n_steps
        rest = f"; about {format_duration(left * step_s)} left" if left else ""
        self.run.log(f"epoch {self.epoch}/{self.config.epochs}: {losses}{rest}")
        workers, run = self.config.workers, str(self.run.folder)
        if not self.advised and (line := advise(self.waits.waited_s, self.trained_s, workers=workers, run=run)):
            self.advised = True
            self.run.log(line)

    def _check_finite(self, terms: dict[str, float]) -> None:
        broken = [name for name, value in terms.items() if not math.isfinite(value)]
        if broken:
            raise ComputeError(
                f"the loss {' and '.join(broken)} is not a number (NaN) at step {self.step} of epoch "
                f"{self.epoch + 1}; training of {self.run.folder} stopped",
                hint="What was saved last is kept. Start again with a lower rate (--lr 1e-4), or with --precision fp32",
            )

    def _record(self, terms: dict[str, float]) -> None:
        for name, value in terms.items():
            self.means[name].append(value)
        self.steps_timed += 1
        if self.step % LOG_EVERY_STEPS == 0 or self.step == self.batches.n_steps:
            self._write_stats()
        if not self.estimated:
            self._estimate()

    def _write_stats(self) -> None:
        now = time.monotonic()
        values = {
            "epoch": self.epoch + 1,
            "step": self.step,
            "steps": self.epoch * self.batches.n_steps + self.step,
            "lr": self.trainer.gen_optimizer.param_groups[0]["lr"],
            "steps_per_s": self.steps_timed / max(1e-9, now - self.logged_at),
            "waited": self.waits.share_of(now - self.logged_at),
            **{name: sum(values) / len(values) for name, values in self.means.items()},
        }
        self.run.append_stats(values)
        self.board.write_scalars(values, values["steps"])
        self.means.clear()
        self.steps_timed = 0
        self.logged_at = now

    def _estimate(self) -> None:
        """Say once how long the run takes: after a minute, or after some steps if that is longer than the run."""
        if self.steps_here == 1:  # it warms up, and may compile
            self.first_step_at = time.monotonic()
            return
        step_s = (time.monotonic() - self.first_step_at) / (self.steps_here - 1)
        n_steps = self.config.epochs * self.batches.n_steps
        left_s = step_s * (n_steps - self.epoch * self.batches.n_steps - self.step)
        short = self.steps_here >= ESTIMATE_AFTER_STEPS and self.elapsed_s() + left_s <= ESTIMATE_AFTER_S
        if not (short or self.elapsed_s() >= ESTIMATE_AFTER_S):
            return
        self.estimated = True
        later = self.config.lambda_stable > 0 and self.epoch < self.config.decay_from < self.config.epochs
        self.run.log(
            f"{1 / max(1e-9, step_s):.2f} steps/s: about {format_duration(n_steps * step_s)} for all "
            f"{self.config.epochs} epochs, {format_duration(left_s)} of it left"
            + (f" (longer, since --lambda-stable comes in after epoch {self.config.decay_from})" if later else "")
        )
        if self.trainer.device.type == "cpu" and self.config.preset == "reference":
            self.run.log(
                "This runs on the CPU. A smaller network that a CPU can train: "
                f"sgt train {self.config.name} --preset compact --data {self.config.data}"
            )

    @torch.inference_mode()
    def write_samples(self) -> None:
        """Write the grid: columns real, fake, reconstructed, identity; rows A then B."""
        gen_ab, gen_ba = self.trainer.generators()
        both = ((self.samples_a, gen_ab, gen_ba), (self.samples_b, gen_ba, gen_ab))
        rows = []
        for samples, forward, backward in both:
            for real in samples.to(self.trainer.device).split(1):
                fake = forward(real)
                cells = [real, fake, backward(fake), backward(real)]
                rows.append(torch.cat(cells, dim=3))
        grid = torch.cat(rows, dim=2).float().cpu().numpy()
        picture = Picture(to_image(grid, np.dtype(np.uint8)), None, None, None)
        write_picture(self.run.sample_path(self.epoch), picture, overwrite=True)
        self.board.write_grid(picture.image, self.epoch * self.batches.n_steps)
