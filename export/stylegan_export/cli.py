"""`sgt export`: a run -> A2B.onnx and B2A.onnx in it, checked."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from stylegan_tool import __version__
from stylegan_tool.errors import InputError, ModelError, OutputError, UsageError, typed, what_to_do
from stylegan_tool.model_info import DIRECTIONS, SCHEMA, Direction, ModelInfo
from stylegan_tool.models import find_run, list_runs
from stylegan_tool.progress import say
from stylegan_train.config import TrainConfig, read_config

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx

    from stylegan_export.precision import Pictures
    from stylegan_tool.pixels import Batch


@dataclass(frozen=True)
class Lowering:
    """What precision is asked for, and with which pictures."""

    precision: str
    calibrate: Path | None
    force: bool


CHECKPOINTS = {"latest": "checkpoint.pt", "best": "checkpoint_best.pt"}
PRECISIONS = ("fp32", "fp16", "int8")

LOWERING = "Smaller and faster"

RunArgument: TypeAlias = Annotated[
    str | None,
    typer.Argument(
        metavar="[RUN|MODEL]",
        autocompletion=lambda: [str(run) for run in list_runs(Path("runs"))],
        help="A run folder, or a model to bring to another precision. [the newest in runs/]",
    ),
]
OnnxOption: TypeAlias = Annotated[
    bool, typer.Option("--onnx", show_default=False, help="Write ONNX: the default, and so far the only format.")
]
CheckpointOption: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="latest|best",
        autocompletion=lambda: list(CHECKPOINTS),
        help="best: of the epoch that was best in validation.",
    ),
]
DataLicenseOption: TypeAlias = Annotated[
    str, typer.Option(metavar="TEXT", help="Licence of the training pictures, kept in the models.")
]
PrecisionOption: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        rich_help_panel=LOWERING,
        autocompletion=lambda: list(PRECISIONS),
        help="fp32, fp16 (half the size, for GPUs) or int8 (faster on CPUs, coarser).",
    ),
]
CalibrateOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(metavar="DIR", rich_help_panel=LOWERING, help="For int8: pictures such as those to be stylised."),
]
ForceOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--force",
        rich_help_panel=LOWERING,
        help="Keep a model that is further from PyTorch than allowed, and replace one of its name.",
    ),
]


def export(
    run: RunArgument = None,
    onnx: OnnxOption = True,
    checkpoint: CheckpointOption = "latest",
    data_license: DataLicenseOption = "not stated",
    precision: PrecisionOption = "fp32",
    calibrate: CalibrateOption = None,
    force: ForceOption = False,
) -> None:
    """Write a run's two generators as A2B.onnx and B2A.onnx into its folder, checked against torch.

    sgt export                                               # the newest run
    sgt export runs/photo2vangogh-001 --checkpoint best      # its best epoch
    sgt export vangogh --precision int8 --calibrate photos/  # vangogh-int8

    Then: sgt images PICTURES OUT --model RUN
    """
    if precision not in PRECISIONS:
        raise UsageError(f"--precision {precision} is unknown", hint="Type --precision fp32, fp16 or int8.")
    if (precision == "int8") != (calibrate is not None):
        raise UsageError(
            "--precision int8 and --calibrate DIR go together",
            hint="Name a folder of pictures such as those to be stylised: --precision int8 --calibrate photos/",
        )
    if checkpoint not in CHECKPOINTS:
        raise UsageError(f"--checkpoint {checkpoint} is unknown", hint="Type --checkpoint latest or best.")
    lowering = Lowering(precision, calibrate, force)
    folder = find_run(run) if run is not None else _newest_run()
    if run is not None and precision != "fp32" and not (folder / "config.json").is_file():
        _export_model(run, lowering)
    else:
        config = read_config(folder / "config.json")
        _export_run(_find_checkpoint(folder, checkpoint), config, data_license, lowering)


def _find_checkpoint(folder: Path, which: str) -> Path:
    path = folder / CHECKPOINTS[which]
    if which == "best" and not path.is_file():
        raise InputError(
            f"no best checkpoint: {path} (kept where the data set has testA and testB, from the first validation on)",
            hint=f"Export the latest one: sgt export {typed(folder)}",
        )
    return path


def _newest_run() -> Path:
    runs = [run for run in list_runs(Path("runs")) if (run / "checkpoint.pt").is_file()]
    if not runs:
        raise InputError(
            "no trained run in runs/", hint="Train one (sgt train photo2vangogh), or name one: sgt export RUN"
        )
    return runs[-1]


def describe_run(config: TrainConfig, direction: Direction, folder: Path, data_license: str) -> ModelInfo:
    """Return what is known of a run's generator before it is compared with anything."""
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


def _export_run(path: Path, config: TrainConfig, data_license: str, lowering: Lowering) -> None:
    """Write both directions of the checkpoint at `path` beside it."""
    # Only now: --help and a wrong folder answer without waiting for torch.
    from stylegan_export.precision import read_pictures
    from stylegan_train.checkpoint import read_plain
    from stylegan_train.networks import SIZE_MULTIPLE

    folder = path.parent
    checkpoint = read_plain(path)
    if missing := {"gen_ab", "gen_ba", "epoch"} - checkpoint.keys():
        raise InputError(
            f"{path} is no checkpoint of `sgt train`: it lacks {', '.join(sorted(missing))}",
            hint="Name a run folder that `sgt train` made, such as runs/photo2vangogh-001.",
        )
    pictures = read_pictures(lowering.calibrate, SIZE_MULTIPLE)
    # Both are checked before either takes its place: no old file stands beside a new one.
    parts = {direction: folder / f".{direction}.part.onnx" for direction in DIRECTIONS}
    try:
        for (direction, part), name in zip(parts.items(), ("gen_ab", "gen_ba"), strict=True):
            info = describe_run(config, direction, folder, data_license)
            words = _export_generator(checkpoint[name], config, info, part, lowering, pictures)
            say(
                f"{folder / f'{direction}.onnx'}: {info.source} -> {info.target}, {part.stat().st_size / 1e6:.1f} MB, "
                f"after epoch {checkpoint['epoch']}; {words}"
            )
        for direction, part in parts.items():
            part.replace(folder / f"{direction}.onnx")
    except OSError as error:
        raise OutputError(
            f"cannot write in {folder}: {error.strerror or error}",
            hint=f"{what_to_do(error.errno, folder)}   then: sgt export {typed(folder)}",
        ) from error
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
    say(f"Use it: sgt images PICTURES OUT --to {config.domain_b} --model {typed(folder)}")


def _export_generator(
    state: Any, config: TrainConfig, info: ModelInfo, part: Path, lowering: Lowering, pictures: "Pictures"
) -> str:
    """Write one generator to `part`, checked, and return what to say of it."""
    import torch

    from stylegan_export.parity import LIMIT, measure_parity
    from stylegan_export.to_onnx import build_onnx, write_onnx
    from stylegan_train.checkpoint import load_generator

    generator = load_generator(state, config)
    model = build_onnx(generator)
    write_onnx(model, info.to_metadata(), part)
    limit = math.inf if lowering.force else LIMIT
    parity = measure_parity(generator, part, f"{info.direction}.onnx", limit=limit)
    info = replace(info, parity_max_abs=f"{parity.max_abs:.2e}", parity_checked=parity.checked)
    with torch.inference_mode():
        expected = [generator(torch.from_numpy(picture)).numpy() for picture in pictures.held]
    model, info, words = _lower(model, info, lowering, pictures, expected, "torch")
    write_onnx(model, info.to_metadata(), part)
    return words


def _lower(
    model: "onnx.ModelProto",
    info: ModelInfo,
    lowering: Lowering,
    pictures: "Pictures",
    expected: "Sequence[Batch]",
    reference: str,
) -> "tuple[onnx.ModelProto, ModelInfo, str]":
    """Bring a model to the precision that is asked for; measure it on pictures that it was not calibrated with.

    Args:
        expected: what the pictures held back should become, in float32.
        reference: who says so, for people.

    Returns:
        The model, its description with the figures, and what to say of it.

    Raises:
        ModelError: it is further from that than allowed, or gives no finite numbers.
    """
    from stylegan_export.precision import LEAST_PSNR_DB, Accuracy, is_finite, lower, run_all

    words, name = "", info.direction or "the model"
    if lowering.precision == "int8":
        n = len(pictures.seen)
        say(f"{name}: trying with {n} pictures what bears 8 bits; takes minutes for a full-size network")
    if lowering.precision != "fp32":
        model, words = lower(model, lowering.precision, pictures)
        if not is_finite(model, pictures.held):
            raise ModelError(
                f"{name} in {lowering.precision} gives no finite numbers: its values outgrow that",
                hint="Keep it in fp32, or use another precision.",
            )
    accuracy = Accuracy.of(run_all(model, pictures.held), expected)
    info = replace(
        info,
        precision=lowering.precision,
        parity_mean_abs=f"{accuracy.mean / 127.5:.2e}",
        parity_psnr_db=f"{accuracy.psnr_db:.1f}",
    )
    least = LEAST_PSNR_DB[lowering.precision]
    figures = (
        f"differs from {reference} by {accuracy.mean:.2g}/255 on average and {accuracy.largest:.2g}/255 at most, "
        f"{accuracy.psnr_db:.0f} dB, on {len(expected)} pictures"
    )
    if not accuracy.psnr_db >= least and not lowering.force:
        raise ModelError(
            f"{name} in {lowering.precision} {figures}; less than {least:.0f} dB is refused",
            hint="Calibrate with pictures more like those to be stylised, use fp16, or keep it all the same: --force",
        )
    if lowering.precision == "fp32":
        return model, info, figures
    checked = f"{len(expected)} pictures of at most {max(max(one.shape[2:]) for one in expected)} pixels"
    info = replace(info, parity_max_abs=f"{accuracy.largest / 127.5:.2e}", parity_checked=checked)
    return model, info, "; ".join(part for part in (words, figures) if part)


def _export_model(name: str, lowering: Lowering) -> None:
    """Install another precision of a model of ours, as NAME-fp16 or NAME-int8."""
    import onnx

    from stylegan_export.precision import read_pictures, run_all
    from stylegan_tool.installed import check_free, install_model
    from stylegan_tool.models import load_models

    models = load_models(name)
    made = f"{Path(name).stem}-{lowering.precision}"
    for model in models:
        if not model.info.schema or model.info.layout or model.info.precision not in ("", "fp32"):
            raise ModelError(
                f"{model.path} is not one of ours in fp32, which alone can be brought to another precision",
                hint="Name a run, a style that ships, or a model by sgt import.",
            )
    check_free(made, [model.info.direction for model in models], overwrite=lowering.force)
    ready = []  # all are checked before any is installed: no old direction stands beside a new one
    for model in models:
        graph = onnx.load(model.path)
        pictures = read_pictures(lowering.calibrate, model.info.size_multiple)
        lowered, info, words = _lower(graph, model.info, lowering, pictures, run_all(graph, pictures.held), "fp32")
        del lowered.metadata_props[:]
        onnx.helper.set_model_props(lowered, replace(info, style=made).to_metadata())
        ready.append((info, lowered.SerializeToString(), words))
    for info, content, words in ready:
        path = install_model(made, info.direction, content, overwrite=lowering.force)
        say(f"{path}: {info.source} -> {info.target}, {path.stat().st_size / 1e6:.1f} MB; {words}")
    say(f"Use it: sgt images PICTURES OUT --model {made}")
