"""`sgt train`: options -> config -> loop."""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from stylegan_tool.__main__ import exit_code
from stylegan_tool.errors import ComputeError, InputError, OutputError, SgtError, UsageError, typed, what_to_do
from stylegan_tool.models import find_run, list_runs
from stylegan_train import options
from stylegan_train.config import PRESETS, TrainConfig, read_recipe
from stylegan_train.run_dir import RunDir, UnwrittenRun, make_run_dir
from stylegan_train.schedule import lr_factor
from stylegan_train.team import ALONE, Alone, is_launched

if TYPE_CHECKING:
    import torch

    from stylegan_train.data import DataSet
    from stylegan_train.loop import Loop


@dataclass(frozen=True)
class Request:
    """What was typed; the processes of a run are started with it."""

    name: str
    data: Path | None
    preset: str
    overrides: dict[str, Any]
    resume: bool
    skip_bad: bool
    dry_run: bool


@dataclass(frozen=True)
class Prepared:
    """What a run is made of; `stored` is the config of a run that is gone on with."""

    config: TrainConfig
    data_set: "DataSet"
    folder: Path
    stored: TrainConfig | None = None


def train(
    ctx: typer.Context,
    name: options.Name,
    preset: options.Preset = "reference",
    data: options.Data = None,
    epochs: options.Epochs = None,
    resume: options.Resume = False,
    dry_run: options.DryRun = False,
    skip_bad: options.SkipBad = False,
    decay_from: options.DecayFrom = None,
    lr: options.LearningRate = None,
    betas: options.Betas = None,
    batch_size: options.BatchSize = None,
    pool_size: options.PoolSize = None,
    average: options.Average = None,
    seed: options.Seed = None,
    load_size: options.LoadSize = None,
    crop_size: options.CropSize = None,
    augment: options.Augment = None,
    workers: options.Workers = None,
    init: options.Init = None,
    n_blocks: options.Blocks = None,
    ngf: options.GeneratorFilters = None,
    antialias: options.Antialias = None,
    clamp: options.Clamp = None,
    lambda_cycle: options.LambdaCycle = None,
    lambda_identity: options.LambdaIdentity = None,
    lambda_stable: options.LambdaStable = None,
    validate_every: options.ValidateEvery = None,
    metric: options.Metric = None,
    precision: options.Precision = None,
    compile_: options.Compile = None,
    devices: options.Devices = 1,
) -> None:
    """Learn a style from two folders of unpaired pictures.

    sgt train photo2vangogh                   # the paper's settings, for a GPU
    sgt train photo2vangogh --preset compact  # a small network, without a GPU
    sgt train photo2vangogh --resume          # go on where it stopped

    Every run is a folder of its own, runs/RECIPE-NNN. Values in brackets are the reference preset's.
    """
    overrides = _read_overrides(ctx.params)
    _start(Request(name, data, preset, overrides, resume=resume, skip_bad=skip_bad, dry_run=dry_run), devices)


def _read_overrides(typed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of TrainConfig that were typed: name -> value.

    Raises:
        UsageError: a value cannot be read.
    """
    fields = {field.name for field in dataclasses.fields(TrainConfig)}
    fields -= {field.name for field in dataclasses.fields(Request)}
    given = {name.removesuffix("_"): value for name, value in typed.items() if value is not None}
    overrides = {name: value for name, value in given.items() if name in fields}
    if "betas" in overrides:
        overrides["betas"] = _parse_betas(overrides["betas"])
    if "load_size" in overrides:
        overrides |= _parse_load_sizes(overrides["load_size"])
    if "augment" in overrides:
        parts = overrides["augment"].split(",")
        overrides["augment"] = tuple(part for part in parts if part not in ("", "none"))
    return overrides


def _parse_betas(text: str) -> tuple[float, float]:
    try:
        first, second = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--betas {text} cannot be read", hint="Type two numbers, such as 0.5,0.999.") from error
    return first, second


def _parse_load_sizes(text: str) -> dict[str, tuple[int, int] | None]:
    first, comma, second = text.partition(",")
    return {"load_size": _parse_load_size(first), "load_size_b": _parse_load_size(second) if comma else None}


def _parse_load_size(text: str) -> tuple[int, int]:
    low, _, high = text.partition("-")
    try:
        return int(low), int(high or low)
    except ValueError as error:
        raise UsageError(
            f"--load-size {text} cannot be read", hint="Type a number of pixels or two, such as 286 or 160-256."
        ) from error


def _start(request: Request, devices: int) -> None:
    """Train in this process, as one of torchrun's, or in as many as there are `devices`."""
    if devices < 1:
        raise UsageError(f"--devices {devices} is out of range", hint="Type --devices 1 or more, or leave it out.")
    if is_launched():
        if devices > 1:
            raise UsageError("--devices starts processes of its own", hint="Leave it out under torchrun.")
        _train_joined(request)
    elif devices == 1 or request.dry_run:
        _train_request(request, ALONE, devices)
    else:
        from stylegan_train.distributed import launch

        launch(devices, _work, request)


def _work(request: Request) -> int:
    """Be one of the processes that `--devices` starts, and return the exit code."""
    return exit_code(lambda: _train_joined(request))


def _train_joined(request: Request) -> None:
    from stylegan_train.distributed import joined

    with joined() as team:
        _train_request(request, team, team.size)


def _train_request(request: Request, team: Alone, n_processes: int) -> None:
    """Prepare in the process that leads, and train in all."""
    from stylegan_tool.progress import say

    def prepare() -> Prepared | None:
        return (_prepare_resumed if request.resume else _prepare)(request, n_processes)

    prepared = team.share(prepare)
    if prepared is None:
        return
    data_set, run = prepared.data_set, RunDir(prepared.folder, say)
    if not team.leads:
        run = UnwrittenRun(prepared.folder)
        pictures = (*data_set.train_a, *data_set.train_b, *data_set.test_a, *data_set.test_b)
        missing = [path for path in pictures if not path.is_file()]
        if missing:
            raise InputError(
                f"{len(missing)} pictures of {data_set.folder} are not on the machine of process {team.rank}: "
                f"{missing[0]}",
                hint="Lay the data set out alike on each machine, and say where by an absolute --data.",
            )
    _run(prepared.config, data_set, run, team, stored=prepared.stored)


def _check_batch(config: TrainConfig, n_processes: int) -> None:
    if config.batch_size % n_processes:
        raise UsageError(
            f"--batch-size {config.batch_size} cannot be shared by {n_processes} processes",
            hint=f"It is what all of them see in a step: use a multiple of {n_processes}.",
        )


def _prepare(request: Request, n_processes: int) -> Prepared | None:
    """Return what a new run is made of, its folder made; None after a dry run."""
    from stylegan_tool.progress import say
    from stylegan_train.data import locate_data_set, open_data_set

    preset = request.preset
    if preset not in PRESETS:
        raise UsageError(f"--preset {preset} is unknown", hint=f"Use one of {', '.join(PRESETS)}.")
    recipe = read_recipe(request.name)
    fields = {**PRESETS[preset], **request.overrides}
    if "decay_from" not in fields:
        fields["decay_from"] = fields.get("epochs", TrainConfig.epochs) // 2
    config = TrainConfig(name=recipe.name, domain_a=recipe.domain_a, domain_b=recipe.domain_b, preset=preset, **fields)
    folder, exchanged = locate_data_set(recipe, request.data)
    config = dataclasses.replace(config, data=str(folder.absolute()), exchanged=exchanged)
    _check_batch(config, n_processes)
    if request.dry_run:
        typer.echo(config.to_json(), nl=False)
        return None
    data_set = _check_pictures(open_data_set(folder, exchanged=exchanged), skip_bad=request.skip_bad)
    _check_validation(config, data_set, request.overrides)
    return Prepared(config, data_set, make_run_dir(Path("runs"), config, say).folder)


def _prepare_resumed(request: Request, n_processes: int) -> Prepared | None:
    """Return what the run to go on with is made of; None after a dry run."""
    from stylegan_tool.progress import say
    from stylegan_train.data import locate_data_set, open_data_set

    name, data, preset, overrides = request.name, request.data, request.preset, request.overrides
    folder = find_run(name)
    if not (folder / "config.json").is_file():
        of_name = [run for run in list_runs(Path("runs")) if run.name.rpartition("-")[0] == name]
        if not of_name:
            raise InputError(
                f"no run of {name} to go on with: looked in runs/ for {name}-NNN",
                hint=f"Start one: sgt train {typed(name)}",
            )
        # A run that died before its first step has nothing to go on with.
        folder = ([run for run in of_name if RunDir(run, say).has_state()] or of_name)[-1]
    stored = RunDir(folder, say).read_config()
    changed = {key for key, value in overrides.items() if value != getattr(stored, key)}
    fixed = sorted(changed - {"epochs", "decay_from", "compile", "workers", "validate_every", "metric"})
    if preset not in (TrainConfig.preset, stored.preset):
        fixed.append("preset")
    if fixed:
        options = ", ".join("--" + key.replace("_", "-") for key in fixed)
        raise UsageError(
            f"{options} cannot change in the middle of {folder}",
            hint=f"Go on without: sgt train {typed(folder)} --resume   (or begin a new run, without --resume)",
        )
    config = dataclasses.replace(stored, **overrides)
    if data is not None:  # the pictures may have moved since
        recipe = read_recipe(config.name)
        place, exchanged = locate_data_set(recipe, data)
        if place.name not in (*recipe.folders, *recipe.exchanged_folders):
            exchanged = stored.exchanged  # a name that says nothing of the sides must not exchange them
        config = dataclasses.replace(config, data=str(place.absolute()), exchanged=exchanged)
    _check_batch(config, n_processes)
    if request.dry_run:
        typer.echo(config.to_json(), nl=False)
        return None
    data_set = open_data_set(Path(config.data), exchanged=config.exchanged)
    data_set = _check_pictures(data_set, skip_bad=request.skip_bad)
    _check_validation(config, data_set, overrides)
    return Prepared(config, data_set, folder, stored)


def _check_pictures(data_set: "DataSet", *, skip_bad: bool) -> "DataSet":
    """Find unreadable pictures before training starts, name them, and leave them out if asked to."""
    from stylegan_tool.progress import say
    from stylegan_train.data import find_unreadable

    bad = find_unreadable([*data_set.train_a, *data_set.train_b, *data_set.test_a, *data_set.test_b])
    if not bad:
        return data_set
    for _path, why in bad:
        say(f"unreadable: {why}")
    if not skip_bad:
        raise InputError(
            f"{len(bad)} pictures of {data_set.folder} cannot be read (named above)",
            hint="Repair or remove them, or leave them out with --skip-bad.",
        )
    broken = {path for path, _ in bad}
    kept = data_set.without(broken)
    for side, left in ((data_set.train_a, kept.train_a), (data_set.train_b, kept.train_b)):
        if not left:
            folder = os.path.commonpath([path.parent for path in side])
            raise InputError(
                f"no picture in {folder} can be read (all are named above)",
                hint="Copy or download that folder again.",
            )
    return kept


def _check_validation(config: TrainConfig, data_set: "DataSet", overrides: dict[str, Any]) -> None:
    """Refuse a validation that was asked for, and not only the default, where there is nothing to measure.

    Raises:
        InputError: testA or testB has no pictures.
    """
    asked = sorted({"validate_every", "metric"} & overrides.keys())
    if config.validate_every and asked and not (data_set.test_a and data_set.test_b):
        options = " and ".join("--" + key.replace("_", "-") for key in asked)
        raise InputError(
            f"{options}: {data_set.folder} has no pictures in testA and testB to validate on",
            hint="Put some into both that are not in trainA and trainB (50 of each if you have them), or leave the "
            "option out to train without.",
        )


def _run(config: TrainConfig, data_set: "DataSet", run: RunDir, team: Alone, *, stored: TrainConfig | None) -> None:
    """Train; `stored` is the config of the run that is gone on with."""
    # Only now: --help, --dry-run and every refusal above answer without waiting for torch.
    import torch

    from stylegan_tool.progress import say
    from stylegan_train.stop import Stopped

    device = torch.device("cuda", team.local_rank) if torch.cuda.is_available() else torch.device("cpu")
    resume = stored is not None and (run.has_state() or run.checkpoint_path.exists())
    loop = _begin(config, data_set, run, device, team, resume=resume)
    if stored is not None and not resume:
        run.log(f"{run.folder} was stopped before its first step: it begins anew")
    if stored is not None and resume:
        if loop.epoch > config.epochs or team.share(loop.is_finished):
            what = f"{run.folder} has {loop.epoch} epochs behind it"
            longer = f"Train it longer: sgt train {typed(run.folder)} --resume --epochs {2 * loop.epoch}"
            if config.epochs < loop.epoch:
                raise UsageError(f"{what}, more than --epochs {config.epochs}", hint=longer)
            run.say(f"{what}: nothing to do. {longer}")
            return
        _say_schedule(loop, stored, config)
    try:
        _train(loop, config, data_set, run, resume=resume)
    except KeyboardInterrupt as stop:
        how = "and saved. Go on with" if isinstance(stop, Stopped) else "at once. Go on from the last saved state"
        say("")  # below the terminal's ^C
        run.say(f"Stopped {how}: sgt train {typed(run.folder)} --resume")
        raise
    except SgtError as error:
        run.log(error.what)
        raise
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise ComputeError(
            f"out of memory while training {run.folder}",
            hint="Start again with a smaller --batch-size or --crop-size, or with --preset compact.",
        ) from error
    except OSError as error:
        raise OutputError(
            f"cannot write in {run.folder}: {error.strerror or error}",
            hint=f"{what_to_do(error.errno, run.folder)}   then go on: sgt train {typed(run.folder)} --resume",
        ) from error


def _begin(
    config: TrainConfig, data_set: "DataSet", run: RunDir, device: "torch.device", team: Alone, *, resume: bool
) -> "Loop":
    """Return the loop before its next step, the same in every process."""
    from stylegan_train.initial import start_from
    from stylegan_train.loop import Loop

    if team.size == 1:
        loop = Loop(config, data_set, run, device)
    else:
        from stylegan_train.distributed import Follower, share_state

        loop = (Loop if team.leads else Follower)(config, data_set, run, device, team)
    if team.leads and config.init and not resume:
        run.log(f"--init {config.init}: {start_from(loop.trainer, config)} begin with its weights")
    if team.leads and resume:
        loop.resume()
    if team.size > 1:
        share_state(loop)
    return loop


def _say_schedule(loop: "Loop", stored: TrainConfig, config: TrainConfig) -> None:
    """Say what another --epochs or --decay-from does to the learning rate."""
    if (stored.epochs, stored.decay_from) == (config.epochs, config.decay_from):
        return
    before = loop.trainer.gen_optimizer.param_groups[0]["lr"]
    rate = config.lr * lr_factor(loop.epoch, epochs=config.epochs, decay_from=config.decay_from)
    if config.decay_from < config.epochs:
        course = f"falls from epoch {config.decay_from} to 0 at epoch {config.epochs}"
    else:
        course = f"does not fall up to epoch {config.epochs}"
    loop.run.log(
        f"Learning rate: it was {before:.3g}, goes on at {rate:.3g}, and {course}; --decay-from changes where it falls"
    )


def _train(loop: "Loop", config: TrainConfig, data_set: "DataSet", run: RunDir, *, resume: bool) -> None:
    from stylegan_tool.progress import format_duration

    run.write_config(config)  # what may change on --resume
    exchanged = f" (the folder's sides are exchanged: its A is {config.domain_b})" if config.exchanged else ""
    run.log(
        f"{config.domain_a} (A, {len(data_set.train_a)} pictures) <-> {config.domain_b} "
        f"(B, {len(data_set.train_b)} pictures) from {data_set.folder}{exchanged}"
    )
    precision = str(loop.trainer.dtype).removeprefix("torch.")
    run.log(
        f"{run.folder}: preset {config.preset}, {config.ngf} filters, {config.n_blocks} blocks, "
        f"{config.epochs} epochs of {loop.batches.n_steps} steps on {loop.trainer.device.type.upper()} in {precision}"
        + (f", by {loop.team.size} processes" if loop.team.size > 1 else "")
        + (f", going on after epoch {loop.epoch}" if resume else "")
    )
    loop.train()
    run.log(f"Done in {format_duration(loop.elapsed_s())}. Export it: sgt export {run.folder}")
