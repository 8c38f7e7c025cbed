"""What may be typed after `sgt train`: one alias an option, in the order and under the headings of its help.

An option that is not typed is None: then the preset's value holds, which for `reference` stands in brackets.
"""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from stylegan_tool.models import bundled_styles, list_runs
from stylegan_train.config import METRICS, PRESETS, recipe_names

NETWORKS = "Networks"
PICTURES = "Pictures"
STEPS = "Steps"
LOSSES = "Weights of the losses"
CHECKING = "Validation"
MACHINE = "Where it runs"


def _runs() -> list[str]:
    return [str(run) for run in list_runs(Path("runs"))]


Name: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE",
        autocompletion=lambda: [*recipe_names(), *_runs()],
        help="A recipe (photo2vangogh), a folder's name, or a run folder.",
    ),
]
Preset: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        autocompletion=lambda: list(PRESETS),
        help="reference (the paper's), compact (what a CPU can train and run) or tiny (to try things).",
    ),
]
Data: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="DIR", help="The data set, or the folder that holds it. [./datasets]")
]
Epochs: TypeAlias = Annotated[
    int | None,
    typer.Option(metavar="EPOCHS", help="In all; with --resume, a finished run may get more. [200]"),
]
Resume: TypeAlias = Annotated[bool, typer.Option("--resume", help="Go on with the newest run of that name.")]
DryRun: TypeAlias = Annotated[bool, typer.Option("--dry-run", help="Print the resolved options and stop.")]
SkipBad: TypeAlias = Annotated[bool, typer.Option("--skip-bad", help="Leave unreadable pictures out.")]

DecayFrom: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="EPOCH",
        rich_help_panel=STEPS,
        help="From it on the learning rate falls to 0. [half of --epochs; with --resume as it was]",
    ),
]
LearningRate: TypeAlias = Annotated[
    float | None, typer.Option(metavar="RATE", rich_help_panel=STEPS, help="Learning rate. [2e-4]")
]
Betas: TypeAlias = Annotated[
    str | None, typer.Option(metavar="B1,B2", rich_help_panel=STEPS, help="Adam's betas, 0..1. [0.5,0.999]")
]
BatchSize: TypeAlias = Annotated[
    int | None, typer.Option(metavar="PICTURES", rich_help_panel=STEPS, help="Of each side in a step. [1]")
]
PoolSize: TypeAlias = Annotated[
    int | None,
    typer.Option(metavar="PICTURES", rich_help_panel=STEPS, help="History of fakes for the discriminators. [50]"),
]
Average: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="0..1", rich_help_panel=STEPS, help="Keep the generators' running mean, such as 0.999; 0: none. [0]"
    ),
]
Seed: TypeAlias = Annotated[
    int | None, typer.Option(metavar="N", rich_help_panel=STEPS, help="Of all that is drawn. [0]")
]

LoadSize: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="PX|LOW-HIGH[,B]",
        rich_help_panel=PICTURES,
        help="The shorter side is scaled to so many pixels, or to some of a range; B's after a comma. [286]",
    ),
]
CropSize: TypeAlias = Annotated[
    int | None, typer.Option(metavar="PX", rich_help_panel=PICTURES, help="Side of the crops, in pixels. [256]")
]
Augment: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="LIST", rich_help_panel=PICTURES, help="Any of flip,scale,colour, or none. [flip]"),
]
Workers: TypeAlias = Annotated[
    int | None,
    typer.Option(metavar="THREADS", rich_help_panel=PICTURES, help="They read pictures; 0: none of their own. [2]"),
]

Init: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="RUN|STYLE|ONNX",
        rich_help_panel=NETWORKS,
        autocompletion=lambda: [*bundled_styles(), *_runs()],
        help="Start with the networks of a run, or the generators of a style that ships or of an exported file.",
    ),
]
Blocks: TypeAlias = Annotated[
    int | None, typer.Option(metavar="N", rich_help_panel=NETWORKS, help="Residual blocks of a generator. [9]")
]
GeneratorFilters: TypeAlias = Annotated[
    int | None, typer.Option(metavar="N", rich_help_panel=NETWORKS, help="Filters of a generator's first layer. [64]")
]
Antialias: TypeAlias = Annotated[
    bool | None,
    typer.Option(
        "--antialias/--no-antialias",
        rich_help_panel=NETWORKS,
        help="Blur before strides, interpolate when upsampling. [no]",
    ),
]
Clamp: TypeAlias = Annotated[
    bool | None,
    typer.Option(
        "--clamp/--no-clamp",
        rich_help_panel=NETWORKS,
        help="Keep normalised values within 5 standard deviations, against black drops in dark places. [no]",
    ),
]

LambdaCycle: TypeAlias = Annotated[
    float | None, typer.Option(metavar="WEIGHT", rich_help_panel=LOSSES, help="Of the cycle loss. [10]")
]
LambdaIdentity: TypeAlias = Annotated[
    float | None, typer.Option(metavar="WEIGHT", rich_help_panel=LOSSES, help="Of the identity loss. [5]")
]
LambdaStable: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="WEIGHT",
        rich_help_panel=LOSSES,
        help="Of G(W(x) + noise) = W(G(x)), small warps W, from --decay-from on: steady films. [0]",
    ),
]

ValidateEvery: TypeAlias = Annotated[
    int | None,
    typer.Option(metavar="EPOCHS", rich_help_panel=CHECKING, help="Compare with testA and testB; 0: never. [5]"),
]
Metric: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="mean|a2b|b2a",
        rich_help_panel=CHECKING,
        autocompletion=lambda: list(METRICS),
        help="Which direction's distance chooses the best checkpoint. [mean]",
    ),
]

Precision: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        rich_help_panel=MACHINE,
        autocompletion=lambda: ["fp32", "bf16", "fp16", "auto"],
        help="fp32, bf16, fp16 or auto: bf16 where it is fast. [fp32]",
    ),
]
Compile: TypeAlias = Annotated[
    bool | None,
    typer.Option(
        "--compile/--no-compile",
        rich_help_panel=MACHINE,
        help="torch.compile: minutes to begin with, worth it on a GPU. [no]",
    ),
]
Devices: TypeAlias = Annotated[
    int,
    typer.Option(metavar="N", rich_help_panel=MACHINE, help="GPUs (or, without any, processes) that share each batch."),
]
