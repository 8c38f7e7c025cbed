"""The options that `sgt images` and `sgt video` share: which model, where it runs, and what of the result is shown."""

from typing import Annotated, Literal, TypeAlias

import typer

from stylegan_tool.errors import UsageError
from stylegan_tool.model_info import Direction
from stylegan_tool.options import Comparison, TileStatistics

ProviderName: TypeAlias = Literal["auto", "cpu", "openvino", "cuda", "tensorrt", "coreml", "dml"]

DirectionOption: TypeAlias = Annotated[
    Direction | None,
    typer.Option(case_sensitive=False, help="A2B or B2A; photos are A in the bundled styles. [A2B]"),
]
ToOption: TypeAlias = Annotated[
    str | None, typer.Option(metavar="DOMAIN", help="The direction by what it makes: --to vangogh.")
]
ModelOption: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="NAME|PATH", help="A style, run or .onnx. [the newest exported run here, else vangogh]"),
]
TileTextOption: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="auto|off|PX",
        help="Tiles equal the untiled picture; auto chooses their size. off: the same in one piece, in more memory.",
    ),
]
TileStatsOption: TypeAlias = Annotated[
    TileStatistics,
    typer.Option(
        help="Whose mean and variance tiles are normalised by: the picture's (exact) or, to compare, a small copy's "
        "(thumbnail) or each its own (local): their tones differ.",
    ),
]
MemoryOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE", help="What may be used, such as 8G; beyond it, scratch files on disk. [half of what is free]"
    ),
]
ProviderOption: TypeAlias = Annotated[ProviderName, typer.Option(help="Where the model runs.")]
DeviceOption: TypeAlias = Annotated[
    int | None, typer.Option("--device-id", metavar="N", min=0, help="Of several GPUs the one to run on, from 0. [0]")
]
RequireGpuOption: TypeAlias = Annotated[
    bool, typer.Option("--require-gpu", help="Stop (exit code 7) rather than run on the CPU.")
]
InputOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="NAME=VALUE",
        help="A further input of somebody else's model: numbers, one-hot:N, FILE.npy or MODEL.onnx:PICTURE.",
    ),
]
RayOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Work on the machines of a Ray cluster: auto, HOST:PORT, or local, which is all GPUs of this machine. IN "
        "and OUT must lie in a folder that all of them share.",
    ),
]
OverwriteOption: TypeAlias = Annotated[bool, typer.Option("--overwrite", help="Replace results that exist.")]
CompareOption: TypeAlias = Annotated[
    Comparison | None,
    typer.Option(help="Show the source, too: beside the result, or as its left half."),
]
StrengthOption: TypeAlias = Annotated[
    float, typer.Option(metavar="0..1", help="How much of the style is mixed into the source.")
]
KeepColourOption: TypeAlias = Annotated[
    bool, typer.Option("--keep-colour", help="Brightness from the result, colour from the source.")
]


def refuse_beside_ray(**given: object) -> None:
    """Refuse options that make no sense on a cluster, by their names with '_' for '-'.

    Raises:
        UsageError: one of them was given.
    """
    for name, value in given.items():
        if value:
            option = "--" + name.replace("_", "-")
            raise UsageError(f"{option} is not for --ray", hint=f"Leave one of the two out: {option} or --ray.")
