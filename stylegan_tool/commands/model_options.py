"""The options that several commands take, each once: which model, how the result looks, where it runs.

A command's signature names them; help shows them under the headings of `stylegan_tool.help`. What was typed is
collected in the two requests at the end.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from stylegan_tool.errors import UsageError
from stylegan_tool.help import FOREIGN, LOOK, TILES, WHERE
from stylegan_tool.model_info import Direction, ModelInfo
from stylegan_tool.options import Comparison, TileOption, TileStatistics, parse_size

if TYPE_CHECKING:
    from stylegan_tool.cluster.parcel import Parcel
    from stylegan_tool.session import Session
    from stylegan_tool.stylize import Stylizer

ProviderName: TypeAlias = Literal["auto", "cpu", "openvino", "cuda", "tensorrt", "coreml", "dml"]


def model_names() -> list[str]:
    """Return the names that --model may have: what ships, what is installed, the exported runs of this folder."""
    from stylegan_tool.installed import installed_models
    from stylegan_tool.models import bundled_styles, exported_runs

    return [*bundled_styles(), *installed_models(), *(str(run) for run in exported_runs())]


def domain_names() -> list[str]:
    """Return what the models of `model_names` make, such as vangogh; a damaged model makes nothing."""
    from stylegan_tool.errors import ModelError
    from stylegan_tool.installed import installed_models, model_files
    from stylegan_tool.metadata import read_metadata
    from stylegan_tool.models import bundled_styles, exported_runs

    folders = [*bundled_styles().values(), *installed_models().values(), *exported_runs()]
    targets: dict[str, None] = {}  # each once, in order
    for path in (path for folder in folders for path in model_files(folder)):
        with contextlib.suppress(ModelError):
            targets[ModelInfo.from_metadata(read_metadata(path)).target] = None
    return [target for target in targets if target]


ToOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="DOMAIN",
        autocompletion=domain_names,
        help="What to make: vangogh, monet, photo, or what `sgt models list` shows.",
    ),
]
ModelOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|PATH",
        autocompletion=model_names,
        help="A style, a run or an .onnx. [the newest exported run here, else vangogh]",
    ),
]
DirectionOption: TypeAlias = Annotated[
    Direction | None,
    typer.Option(
        metavar="A2B|B2A",
        case_sensitive=False,
        help="The same as --to, by letters: photos are A in the bundled styles. [A2B]",
    ),
]
OverwriteOption: TypeAlias = Annotated[bool, typer.Option("--overwrite", help="Replace what exists.")]
InputOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="NAME=VALUE",
        rich_help_panel=FOREIGN,
        help="A further input of its network: numbers, one-hot:N, FILE.npy or MODEL.onnx:PICTURE.",
    ),
]

StrengthOption: TypeAlias = Annotated[
    float,
    typer.Option(metavar="0..1", rich_help_panel=LOOK, help="How much of the style: 0 is the source, 1 the result."),
]
KeepColourOption: TypeAlias = Annotated[
    bool,
    typer.Option("--keep-colour", rich_help_panel=LOOK, help="Brightness from the result, colour from the source."),
]
CompareOption: TypeAlias = Annotated[
    Comparison | None,
    typer.Option(
        metavar="side|split",
        rich_help_panel=LOOK,
        help="Show the source, too: beside the result, or as its left half.",
    ),
]

TileTextOption: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="auto|off|PX",
        rich_help_panel=TILES,
        autocompletion=lambda: ["auto", "off"],
        help="The side of a tile in pixels. Tiles equal the untiled picture; off: one piece, in more memory.",
    ),
]
TileStatsOption: TypeAlias = Annotated[
    TileStatistics,
    typer.Option(
        metavar="KIND",
        rich_help_panel=TILES,
        help="Whose mean and variance tiles are normalised by: exact (the whole picture's) or, to compare, thumbnail "
        "(a small copy's) or local (each tile its own): their tones differ.",
    ),
]
MemoryOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="BYTES",
        rich_help_panel=TILES,
        help="What may be used, such as 8G or 500M; beyond it, scratch files on disk. [half of what is free]",
    ),
]

ProviderOption: TypeAlias = Annotated[
    ProviderName,
    typer.Option(
        metavar="NAME", rich_help_panel=WHERE, help="auto, cpu, openvino, cuda, tensorrt, coreml or dml (DirectML)."
    ),
]
DeviceOption: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--device-id", metavar="N", min=0, rich_help_panel=WHERE, help="Which of several GPUs, counted from 0. [0]"
    ),
]
RequireGpuOption: TypeAlias = Annotated[
    bool,
    typer.Option("--require-gpu", rich_help_panel=WHERE, help="Stop (exit code 7) rather than run on the CPU."),
]
RayOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        rich_help_panel=WHERE,
        autocompletion=lambda: ["auto", "local"],
        help="Work on the machines of a Ray cluster: auto, HOST:PORT, or local, which is all GPUs of this machine. IN "
        "and OUT must lie in a folder that all of them share.",
    ),
]


@dataclass(frozen=True)
class ModelRequest:
    """Which model, and where it runs, as typed."""

    model: str | None
    direction: Direction | None = None
    to: str | None = None
    inputs: Sequence[str] | None = None
    provider: ProviderName = "auto"
    device_id: int | None = None
    require_gpu: bool = False
    ray: str | None = None

    def open(self) -> "Session":
        """Open it, and say what runs where.

        Raises:
            ModelError, UsageError, MissingError: see opening.open_model.
        """
        from stylegan_tool.opening import open_model
        from stylegan_tool.progress import say

        return open_model(
            self.model,
            direction=self.direction,
            to=self.to,
            provider=self.provider,
            device_id=self.device_id,
            require_gpu=self.require_gpu,
            inputs=self.inputs or (),
            ray=self.ray,
            say=say,
        )

    def pack(self, stylizer: "Stylizer") -> "Parcel":
        """Return the model that is open in `stylizer`, to be run on a cluster."""
        from stylegan_tool.cluster.parcel import Parcel

        return Parcel.pack(stylizer, provider=self.provider, require_gpu=self.require_gpu, inputs=self.inputs or ())


@dataclass(frozen=True)
class TileRequest:
    """How pictures are cut, as typed: `tile` and `memory` are read when it is made.

    Raises:
        UsageError: one of them cannot be.
    """

    tile: str
    statistics: TileStatistics
    memory: str | None

    def __post_init__(self) -> None:
        TileOption.parse(self.tile)
        if self.memory:
            parse_size(self.memory)

    def open(self, session: "Session") -> "Stylizer":
        """Return what stylises with the model of `session`."""
        from stylegan_tool.progress import say
        from stylegan_tool.stylize import Stylizer

        memory_bytes = parse_size(self.memory) if self.memory else None
        return Stylizer(
            session, TileOption.parse(self.tile), statistics=self.statistics, memory_bytes=memory_bytes, note=say
        )


def refuse_beside_ray(**given: Any) -> None:
    """Refuse options that make no sense on a cluster, by their names with '_' for '-'.

    Raises:
        UsageError: one of them was given.
    """
    for name, value in given.items():
        if value:
            option = "--" + name.replace("_", "-")
            raise UsageError(f"{option} is not for --ray", hint=f"Leave one of the two out: {option} or --ray.")
