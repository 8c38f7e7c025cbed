"""Where a run's first weights may come from: another run, or generators that were exported.

An exported generator of ours holds its weights under torch's own names, so that a style that ships can be trained
further after its run is gone. Its discriminators are gone with it and start anew; a run whose training state is
still there gives its own.
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor

from stylegan_tool.errors import InputError, ModelError, SgtError
from stylegan_tool.models import find_run, load_models
from stylegan_train.checkpoint import read_plain
from stylegan_train.config import TrainConfig
from stylegan_train.step import Trainer

State = dict[str, Tensor]


def read_initial(name: str) -> dict[str, State]:
    """Return {"gen_ab": weights, "gen_ba": weights}, or one of them, for a run, a style or an .onnx of ours.

    A run that has a training state gives "disc_a" and "disc_b" too.

    Raises:
        SgtError: `name` means none of these.
    """
    checkpoint = find_run(name) / "checkpoint.pt"
    if checkpoint.is_file():
        content = read_plain(checkpoint)
        states = {key: content[key] for key in ("gen_ab", "gen_ba") if key in content}
        return states | _read_discriminators(checkpoint.with_name("training_state.pt"))
    models = load_models(name)
    return {
        {"A2B": "gen_ab", "B2A": "gen_ba"}.get(model.info.direction, ""): _read_onnx(model.path) for model in models
    }


def _read_discriminators(state_path: Path) -> dict[str, State]:
    """Return a run's discriminators, or none where its state is gone or damaged: they may start anew."""
    try:
        networks: State = read_plain(state_path)["trainer"]["networks"]
    except (InputError, KeyError):
        return {}
    return {
        name: {key.removeprefix(f"{name}."): value for key, value in networks.items() if key.startswith(f"{name}.")}
        for name in ("disc_a", "disc_b")
    }


def _read_onnx(path: Path) -> State:
    initializers = onnx.load(path).graph.initializer
    return {
        tensor.name: torch.from_numpy(np.array(onnx.numpy_helper.to_array(tensor)))
        for tensor in initializers
        if tensor.name.startswith("model.")
    }


def start_from(trainer: Trainer, config: TrainConfig) -> str:
    """Give `trainer` the weights that `config.init` names, and return which networks those are.

    Raises:
        ModelError: they are another network's.
        SgtError: there are none.
    """
    try:
        states = read_initial(config.init)
    except SgtError as error:
        raise ModelError(
            f"--init {config.init}: {error.what}",
            hint="Name a run that has finished an epoch, an .onnx that sgt exported, or a style: --init vangogh",
        ) from error
    try:
        trainer.start_from(states.get("gen_ab"), states.get("gen_ba"))
    except RuntimeError as error:
        raise ModelError(
            f"--init {config.init} does not fit a generator of {config.ngf} filters and {config.n_blocks} blocks",
            hint="Give --ngf and --n-blocks (or --preset) as they were there: see config.json or `sgt models info`.",
        ) from error
    known: list[str] = [name for name in ("gen_ab", "gen_ba") if name in states]
    if not known:
        raise ModelError(
            f"--init {config.init} does not say its direction",
            hint="Name an .onnx that sgt exported, or a style: --init vangogh",
        )
    for name in ("disc_a", "disc_b"):
        discriminator = getattr(trainer.networks, name)
        if _fits(states.get(name, {}), discriminator.state_dict()):  # of another size, they had better start anew
            discriminator.load_state_dict(states[name])
            known.append(name)
    *others, last = known
    return f"{', '.join(others)} and {last}" if others else last


def _fits(state: State, other: State) -> bool:
    return {name: value.shape for name, value in state.items()} == {name: v.shape for name, v in other.items()}
