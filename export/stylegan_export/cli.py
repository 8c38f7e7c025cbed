"""`sgt export`: a run -> A2B.onnx and B2A.onnx in it, checked."""

from pathlib import Path
from typing import Annotated

import typer

from stylegan_tool import __version__
from stylegan_tool.errors import InputError, OutputError, UsageError
from stylegan_tool.model_info import DIRECTIONS, SCHEMA, Direction, ModelInfo
from stylegan_tool.models import find_run, list_runs
from stylegan_tool.progress import say
from stylegan_train.config import TrainConfig, read_config

CHECKPOINTS = {"latest": "checkpoint.pt", "best": "checkpoint_best.pt"}


def export(
    run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="A run folder. [the newest in runs/]", show_default=False),
    ] = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="Write ONNX: the default, and so far the only format.")] = True,
    checkpoint: Annotated[
        str, typer.Option(metavar="latest|best", help="best: of the epoch that was best in validation.")
    ] = "latest",
    data_license: Annotated[
        str, typer.Option(metavar="TEXT", help="Licence of the training pictures, kept in the models.")
    ] = "not stated",
) -> None:
    """Write a run's two generators as A2B.onnx and B2A.onnx into its folder, checked against torch.

    sgt export                              the newest run in runs/

    sgt export runs/photo2vangogh-001       this one

    sgt export --checkpoint best            its best epoch instead of its last

    Then: sgt images PICTURES OUT --direction A2B
    """
    if checkpoint not in CHECKPOINTS:
        raise UsageError(f"--checkpoint {checkpoint} is unknown", hint="Use latest or best.")
    folder = find_run(run) if run is not None else _newest_run()
    config = read_config(folder / "config.json")
    path = folder / CHECKPOINTS[checkpoint]
    if checkpoint == "best" and not path.is_file():
        raise InputError(
            f"No best checkpoint: {path} (kept where the data set has testA and testB, from the first validation on)",
            hint=f"Export the latest one: sgt export {folder}",
        )
    _export_run(path, config, data_license)


def _newest_run() -> Path:
    runs = [run for run in list_runs(Path("runs")) if (run / "checkpoint.pt").is_file()]
    if not runs:
        raise InputError(
            "No trained run in runs/", hint="Train one (sgt train photo2vangogh), or name one: sgt export RUN"
        )
    return runs[-1]


def _model_info(config: TrainConfig, direction: Direction, folder: Path, data_license: str) -> ModelInfo:
    from stylegan_train.networks import SIZE_MULTIPLE, SMALLEST_SIZE, receptive_field_px

    return ModelInfo(
        schema=SCHEMA,
        style=config.name,
        direction=direction,
        domain_a=config.domain_a,
        domain_b=config.domain_b,
        size_multiple=SIZE_MULTIPLE,
        smallest_size=SMALLEST_SIZE,
        trained_size=config.crop_size,
        receptive_field=receptive_field_px(config.n_blocks, antialias=config.antialias),
        ngf=config.ngf,
        n_blocks=config.n_blocks,
        upsampling="linear" if config.antialias else "nearest",
        normalization="instance",
        precision="fp32",
        tool_version=__version__,
        run=folder.absolute().name,
        training_data=Path(config.data).name,
        data_license=data_license,
    )


def _export_run(path: Path, config: TrainConfig, data_license: str) -> None:
    # Only now: --help and a wrong folder answer without waiting for torch.
    from dataclasses import replace

    from stylegan_export.parity import measure_parity
    from stylegan_export.to_onnx import build_onnx, write_onnx
    from stylegan_train.checkpoint import load_generator, read_plain

    folder = path.parent
    checkpoint = read_plain(path)
    if missing := {"gen_ab", "gen_ba", "epoch"} - checkpoint.keys():
        raise InputError(
            f"No checkpoint of `sgt train`: {path} lacks {', '.join(sorted(missing))}",
            hint="Name a run folder that `sgt train` made, such as runs/photo2vangogh-001.",
        )
    # Both are checked before either takes its place: no old file stands beside a new one.
    parts = {direction: folder / f".{direction}.part.onnx" for direction in DIRECTIONS}
    try:
        for direction, name in zip(DIRECTIONS, ("gen_ab", "gen_ba"), strict=True):
            generator = load_generator(checkpoint[name], config)
            info = _model_info(config, direction, folder, data_license)
            part = parts[direction]
            model = build_onnx(generator)
            write_onnx(model, info.to_metadata(), part)
            parity = measure_parity(generator, part, f"{direction}.onnx")
            info = replace(info, parity_max_abs=f"{parity.max_abs:.2e}", parity_checked=parity.checked)
            write_onnx(model, info.to_metadata(), part)
            say(
                f"{folder / f'{direction}.onnx'}: {info.source} -> {info.target}, {part.stat().st_size / 1e6:.1f} MB, "
                f"after epoch {checkpoint['epoch']}; differs from torch by {parity.max_abs:.1e} at most"
            )
        for direction, part in parts.items():
            part.replace(folder / f"{direction}.onnx")
    except OSError as error:
        raise OutputError(
            f"Cannot write in {folder} ({error.strerror or error})",
            hint="Free some disk space, or look at its rights.",
        ) from error
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
    say(f"Use it: sgt images PICTURES OUT --to {config.domain_b} --model {folder}")
