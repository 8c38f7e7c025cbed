"""Two processes on this machine's CPU, really started, against one."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from stylegan_tool.__main__ import main
from stylegan_tool.errors import ComputeError
from stylegan_train.board import has_tensorboard
from stylegan_train.config import PRESETS, TrainConfig
from stylegan_train.distributed import joined, launch
from stylegan_train.run_dir import VALIDATED
from stylegan_train.step import Trainer
from stylegan_train.team import ALONE, Alone
from tests.models import RED
from tests.train.sets import TINY, make_pictures, read_state, read_stats

RUN = Path("runs/photo2vangogh-001")
BUSY = [*TINY, "--decay-from", "0", "--pool-size", "2", "--lambda-stable", "1", "--batch-size", "2"]
LARGEST_DIFFERENCE = 1e-5  # of two gradients, in parts of the largest of their network


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def _train_three_steps(team: Alone, folder: Path) -> None:
    """Save the gradients of the third step: the history is full after the first, warps and noise are drawn."""
    fields = {**PRESETS["tiny"], "precision": "fp32", "batch_size": 4, "pool_size": 3, "lambda_stable": 3.0}
    config = TrainConfig(**{**fields, "decay_from": 0, "lr": 1e-9})  # so that rounding is not what the steps go by
    trainer = Trainer(config, torch.device("cpu"), team)
    networks = dict(trainer.networks.named_children())
    n_pictures: dict[str, list[int]] = {name: [] for name in networks}
    for name, network in networks.items():
        network.register_forward_pre_hook(lambda _, batches, name=name: n_pictures[name].append(len(batches[0])))
    trainer.set_epoch(0)
    dice = torch.Generator().manual_seed(1)
    for _ in range(3):
        real_a, real_b = torch.rand((2, 4, 3, 32, 32), generator=dice)  # light ones: what they ask for adds up
        terms = trainer.step(team.cut(real_a), team.cut(real_b))
    # The discriminators' gradients are complete after the step, the generators' are kept since their own part.
    gradients = {name: [param.grad for param in network.parameters()] for name, network in networks.items()}
    result = {"gradients": gradients, "terms": terms, "n_pictures": n_pictures}
    torch.save(result, folder / f"{team.rank} of {team.size}.pt")


def _join_and_train(folder: Path) -> int:
    with joined() as team:
        _train_three_steps(team, folder)
    return 0


def test_two_processes_have_the_gradients_of_one(tmp_path: Path) -> None:
    _train_three_steps(ALONE, tmp_path)
    launch(2, _join_and_train, tmp_path)
    one, *both = (torch.load(tmp_path / f"{name}.pt") for name in ("0 of 1", "0 of 2", "1 of 2"))
    assert sorted(one["gradients"]) == ["disc_a", "disc_b", "gen_ab", "gen_ba"]
    for two in both:
        for name, alone in one["gradients"].items():
            largest = max(gradient.abs().max() for gradient in alone)
            pairs = zip(alone, two["gradients"][name], strict=True)
            differences = [(theirs - mine).abs().max() / largest for mine, theirs in pairs]
            assert largest > 1e-2
            assert max(differences) < LARGEST_DIFFERENCE, f"{name}'s gradients"
        # Each has done half of the work.
        halves = {name: [n // 2 for n in ns] for name, ns in one["n_pictures"].items()}
        assert two["n_pictures"] == halves
        assert two["terms"] == pytest.approx(one["terms"], abs=1e-5)


def _trained(run: Path) -> list[dict[str, Any]]:
    return [line for line in read_stats(run) if "gan" in line]


def _validated(run: Path) -> list[dict[str, Any]]:
    return [line for line in read_stats(run) if VALIDATED in line]


def _boards(run: Path) -> int:
    return len(list(run.glob("tensorboard/*")))


def test_a_run_of_two_is_a_run_of_one_and_either_goes_on_with_it(
    with_set: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for side in ("testA", "testB"):
        make_pictures(with_set / "datasets" / "photo2vangogh" / side, 2, RED)
    validated = [*BUSY, "--validate-every", "1"]
    assert main([*validated, "--epochs", "2"]) == 0
    expected = [(line["gan"], line["disc_a"]) for line in _trained(RUN)]
    capfd.readouterr()
    assert main([*validated, "--epochs", "1", "--devices", "2"]) == 0
    run = RUN.with_name("photo2vangogh-002")
    said = capfd.readouterr().err
    assert [said.count(part) for part in ("epoch 1/1", "validation on", "validation after")] == [1, 1, 1]
    assert _boards(run) == _boards(RUN) == int(has_tensorboard())
    best = torch.load(run / "checkpoint_best.pt", weights_only=True)
    assert best["swd_mean"] == pytest.approx(_validated(RUN)[0]["swd_mean"], rel=0.01)
    assert main(["train", str(run), "--resume", "--epochs", "2", "--decay-from", "0", "--devices", "2"]) == 0
    assert [line["steps"] for line in _trained(run)] == [line["steps"] for line in _validated(run)] == [2, 4]
    assert (_trained(run)[0]["gan"], _trained(run)[0]["disc_a"]) == pytest.approx(expected[0], abs=1e-4)
    assert {path.name for path in run.iterdir()} == {path.name for path in RUN.iterdir()}
    log = (run / "log.txt").read_text(encoding="utf-8")
    assert [log.count(part) for part in ("by 2 processes", "epoch 1/1", "epoch 2/2")] == [2, 1, 1]
    assert len(read_state(run)["trainer"]["pool_a"]) == 2
    assert main(["train", str(run), "--resume", "--epochs", "3"]) == 0
    assert sorted(path.name for path in Path("runs").iterdir()) == [RUN.name, run.name]


def test_what_fails_in_all_is_said_once(with_set: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*BUSY, "--epochs", "3", "--lr", "1e30", "--devices", "2"]) == 8
    message = capfd.readouterr().err
    assert message.count("is not a number") == 2  # in the log and as the error
    assert "Traceback" not in message
    assert "gone" not in message


def _fail_alone(how: str) -> int:
    with joined() as team:
        if not team.leads and how == "exit":
            raise SystemExit(5)
        if not team.leads:
            os.kill(os.getpid(), signal.SIGKILL)
        team.any(False)  # waits for the other
    return 0


def test_one_that_fails_ends_all_with_its_exit_code(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        launch(2, _fail_alone, "exit")
    assert stop.value.code == 5
    assert capfd.readouterr().err == ""


def test_one_that_is_killed_ends_all_and_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ComputeError, match=r"process 1 of 2 was killed \(SIGKILL\)") as error:
        launch(2, _fail_alone, "killed")
    assert error.value.exit_code == 8
    assert capfd.readouterr().err == ""


def test_where_processes_meet_is_held_before_they_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that was free a moment ago may be anybody's by the time the first process is up."""

    def started(_work: object, args: tuple[int, int, object, object], **_options: object) -> None:
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", args[1]))
        raise ComputeError("seen")

    monkeypatch.setattr("stylegan_train.distributed.start_processes", started)
    with pytest.raises(ComputeError, match="seen"):
        launch(2, _fail_alone, "exit")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(["--batch-size", "3", "--devices", "2", "--dry-run"], "multiple of 2", id="not to be shared"),
        pytest.param(["--devices", "0"], "--devices 0", id="none"),
    ],
)
def test_refused(options: list[str], said: str, with_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY, *options]) == 2
    assert capsys.readouterr().err.count(said) == 1
    assert not Path("runs").exists()


DEVICES = ["-m", "stylegan_tool", *BUSY, "--devices", "2"]
TORCHRUN = ["-m", "torch.distributed.run", "--nproc-per-node=2", "-m", "stylegan_train", *BUSY[1:]]


def _signal_in_training(command: list[str], number: signal.Signals) -> tuple[int, str]:
    """Send the launcher a signal after the first epoch; return its exit code and all that is said from then on."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(
        [sys.executable, *command, "--epochs", "9999"], stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch 1/"):
                break
        process.send_signal(number)
        said = process.stderr.read()  # up to the end of all processes, each of which could write there
    return process.returncode, said


@pytest.mark.parametrize("command", [pytest.param(DEVICES, id="devices"), pytest.param(TORCHRUN, id="torchrun")])
def test_ctrl_c_stops_all_after_the_same_step_and_saves(command: list[str], with_set: Path) -> None:
    code, said = _signal_in_training(command, signal.SIGINT)
    assert said.count("Stopping after this step") == 1
    assert said.count("Stopped and saved. Go on with: sgt train runs/photo2vangogh-001 --resume") == 1
    state = read_state(RUN)
    assert state["epoch"] >= 1
    if command == DEVICES:  # torchrun has its own words and its own code
        assert code == 130
        assert said.count("sgt: stopped") == 1
        assert "Traceback" not in said
    assert main(["train", str(RUN), "--resume", "--epochs", str(state["epoch"] + 1)]) == 0


def test_sigterm_ends_all_at_once(with_set: Path) -> None:
    code, said = _signal_in_training(DEVICES, signal.SIGTERM)
    assert code == -signal.SIGTERM
    assert "Stop" not in said
    assert "Traceback" not in said
    assert read_state(RUN)["epoch"] >= 1
