"""What a training run is made of: presets, recipes, and one frozen config that resolves both.

The config is stored as config.json in the run folder, so that a run explains and resumes itself.
"""

import dataclasses
import json
import math
import re
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from stylegan_tool.errors import InputError, UsageError, typed

# What may be drawn anew each time that a picture is shown; what each does: `data.random_crop`.
AUGMENTATIONS = ("flip", "scale", "colour")

# The directions whose distance chooses the best checkpoint; mean: of both.
METRICS = ("mean", "a2b", "b2a")
# Fields that a config.json may lack: a run that was started before they were there goes on with their defaults.
_LATER_FIELDS = {"validate_every", "metric"}
_WHICH_RUN = "Name a run folder that `sgt train` made, such as runs/photo2vangogh-001."


class _OtherVersionError(Exception):
    """A config.json has other fields than this version's runs."""


@dataclass(frozen=True)
class TrainConfig:
    """Every number of a run. Sizes in pixels, `epochs` and `decay_from` in epochs; defaults: the paper's."""

    name: str = ""
    domain_a: str = "A"
    domain_b: str = "B"
    data: str = ""  # the folder of the data set
    exchanged: bool = False  # its A is our domain B
    preset: str = "reference"
    ngf: int = 64
    n_blocks: int = 9
    ndf: int = 64
    disc_layers: int = 4
    antialias: bool = False
    clamp: bool = False
    init: str = ""  # where the generators' first weights come from; empty: drawn
    load_size: tuple[int, int] = (286, 286)  # the shorter side is scaled to a size drawn from this range
    load_size_b: tuple[int, int] | None = None  # domain B's, where it is another one
    augment: tuple[str, ...] = ("flip",)
    crop_size: int = 256
    batch_size: int = 1
    epochs: int = 200
    decay_from: int = 100
    lr: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    lambda_cycle: float = 10.0
    lambda_identity: float = 5.0
    lambda_stable: float = 0.0
    average: float = 0.0  # what is kept of the generators' running mean at each step; 0: no mean is taken
    pool_size: int = 50
    precision: str = "fp32"
    compile: bool = False
    workers: int = 2  # threads that read pictures; 0: the one that trains
    validate_every: int = 5  # epochs; 0: never
    metric: str = "mean"  # of METRICS: what the best checkpoint is chosen by
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be trained.

        Raises:
            UsageError: a value is out of range; the message names its option.
        """
        at_least_one = ("ngf", "n_blocks", "ndf", "disc_layers", "batch_size", "epochs")
        at_least_zero = (
            "decay_from",
            "pool_size",
            "workers",
            "validate_every",
            "lambda_cycle",
            "lambda_identity",
            "lambda_stable",
            "seed",
        )
        for field in (*at_least_one, *at_least_zero):
            value, lowest = getattr(self, field), 1 if field in at_least_one else 0
            if not lowest <= value < 2**63:  # torch's seeds end there; NaN and infinity fall out too
                option = "--" + field.replace("_", "-")
                raise UsageError(
                    f"{option} is {value}, but must be at least {lowest} and below 2^63",
                    hint=f"Type a number in that range, or leave {option} out.",
                )
        smallest = max(16, 2 ** (self.disc_layers + 1))
        if self.crop_size < smallest or self.crop_size % 4:
            raise UsageError(
                f"--crop-size {self.crop_size} does not fit the networks",
                hint=f"Use a multiple of 4 that is at least {smallest}.",
            )
        for low, high in (self.load_size, self.load_size_b or self.load_size):
            if not self.crop_size <= low <= high:
                raise UsageError(
                    f"--load-size {low}-{high} does not hold a crop of {self.crop_size}",
                    hint="Use a --load-size that is at least --crop-size (a range as LOW-HIGH).",
                )
        if unknown := set(self.augment) - set(AUGMENTATIONS):
            raise UsageError(
                f"--augment {','.join(sorted(unknown))} is unknown",
                hint=f"Use any of {', '.join(AUGMENTATIONS)}, separated by commas, or none.",
            )
        if self.metric not in METRICS:
            raise UsageError(f"--metric {self.metric} is unknown", hint=f"Use one of {', '.join(METRICS)}.")
        if not 0 <= self.average < 1:
            raise UsageError(f"--average {self.average} is out of range", hint="Use 0 (off) to below 1, such as 0.999.")
        if not (0 < self.lr < math.inf and all(0 <= beta < 1 for beta in self.betas)):
            raise UsageError(
                f"--lr {self.lr} or --betas {self.betas} is out of range",
                hint="Use --lr above 0 and --betas between 0 and 1, such as 0.5,0.999.",
            )
        if self.precision not in ("auto", "fp32", "bf16", "fp16"):
            raise UsageError(f"--precision {self.precision} is unknown", hint="Use auto, fp32, bf16 or fp16.")

    def to_json(self) -> str:
        """Return the config as JSON, one field a line."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "TrainConfig":
        """Return the config that `to_json` wrote; ValueError or TypeError for all else."""
        fields: dict[str, Any] = json.loads(text)
        if not isinstance(fields, dict):
            raise TypeError("it is no JSON object")
        names = {field.name for field in dataclasses.fields(cls)}
        if unknown := fields.keys() - names:
            raise _OtherVersionError(f"it has {', '.join(sorted(unknown))}, which this version does not know")
        if missing := names - fields.keys() - _LATER_FIELDS:
            raise _OtherVersionError(f"it lacks {', '.join(sorted(missing))}, which this version needs")
        for name in ("load_size", "load_size_b", "augment", "betas"):
            if fields[name] is not None:
                fields[name] = tuple(fields[name])
        return cls(**fields)


# What differs from the reference. `compact` is what a CPU can train in hours and run on film: few filters, smaller
# crops, a discriminator of three layers to fit them; anti-aliasing and the consistency term, so that texture moves with
# the picture; the clamp against black drops, and the running mean against the luck of the last step.
PRESETS: dict[str, dict[str, Any]] = {
    "reference": {},
    "compact": {
        "ngf": 24,
        "n_blocks": 5,
        "ndf": 48,
        "disc_layers": 3,
        "antialias": True,
        "clamp": True,
        "load_size": (200, 384),
        "crop_size": 192,
        "average": 0.998,
        "lambda_stable": 6.0,
        "precision": "auto",
    },
    "tiny": {
        "ngf": 4,
        "n_blocks": 1,
        "ndf": 4,
        "disc_layers": 2,
        "load_size": (36, 36),
        "crop_size": 32,
    },
}


@dataclass(frozen=True)
class Recipe:
    """What a name such as photo2vangogh means: two domains, and the folder names that hold them."""

    name: str
    domain_a: str
    domain_b: str
    folders: tuple[str, ...]

    @property
    def exchanged_folders(self) -> tuple[str, ...]:
        """The folder names in which A and B are the other way round: photo2vangogh -> vangogh2photo."""
        exchanged = (exchange_name(folder) for folder in self.folders)
        return tuple(name for name in exchanged if name is not None and name not in self.folders)


def exchange_name(folder: str) -> str | None:
    """Return `X2Y` as `Y2X` (a suffix such as `_yosemite` stays last), or None where there is no such form."""
    match = re.fullmatch(r"([^\W_]+?)2([^\W_]+)(_.*)?", folder)
    return f"{match[2]}2{match[1]}{match[3] or ''}" if match else None


def recipe_names() -> list[str]:
    """Return the names of the recipes that ship."""
    files = resources.files("stylegan_train").joinpath("recipes").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def read_recipe(name: str) -> Recipe:
    """Return the recipe `name`; a name that has no file is a folder of that name.

    Raises:
        UsageError: the name is no plain folder name.
    """
    if not re.fullmatch(r"[\w][\w.+-]*", name):
        raise UsageError(
            f"'{name}' is no recipe and no plain folder name",
            hint="Type a name such as photo2vangogh, and --data FOLDER for where its pictures are.",
        )
    if name in recipe_names():
        text = resources.files("stylegan_train").joinpath("recipes", f"{name}.toml").read_text("utf-8")
        fields = tomllib.loads(text)
        return Recipe(name, fields["domain_a"], fields["domain_b"], tuple(fields["folders"]))
    match = re.fullmatch(r"([^\W_]+?)2([^\W_]+)(_.*)?", name)
    domain_a, domain_b = (match[1], match[2]) if match else ("A", "B")
    return Recipe(name, domain_a, domain_b, (name,))


def read_config(path: Path) -> TrainConfig:
    """Read a run's config.json.

    Raises:
        InputError: it is missing, damaged, or another version's.
    """
    try:
        return TrainConfig.from_json(path.read_text(encoding="utf-8"))
    except _OtherVersionError as error:
        raise InputError(
            f"{path} is of another version of this tool: {error}",
            hint="Go on with the version that made it, or begin a new run with its weights: "
            f"sgt train NAME --init {typed(path.parent)}",
        ) from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}", hint=_WHICH_RUN) from error
    except UsageError as error:
        raise InputError(
            f"{path} holds what cannot be trained: {error.what}", hint="Put the run's own config.json back."
        ) from error
    except (ValueError, TypeError, LookupError) as error:
        raise InputError(f"{path} is damaged: {error}", hint="Put the run's own config.json back.") from error
