"""Which model a name means: a path, a run folder, the newest exported run, an installed or a bundled model.

A model is a folder with A2B.onnx and B2A.onnx (or one of them), or a single .onnx file. What a file says
of itself decides its direction, never its name.
"""

import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from stylegan_tool.errors import ModelError, UsageError, typed
from stylegan_tool.installed import installed_models, model_files
from stylegan_tool.model_info import ModelInfo

DEFAULT_STYLE = "vangogh"
_RUN_NAME = re.compile(r".+-(\d{3,})")


@dataclass(frozen=True)
class Model:
    """One generator file: `label` is how we call it in front of people, such as 'vangogh (bundled)'."""

    path: Path
    label: str
    info: ModelInfo

    def describe(self) -> str:
        """Return 'vangogh -> photo (B2A), model vangogh (bundled)'."""
        if not self.info.direction:
            return f"model {self.label}"
        return f"{self.info.source} -> {self.info.target} ({self.info.direction}), model {self.label}"


def run_number(folder: Path) -> int:
    """Return NNN of a run folder <name>-<NNN>; ValueError for other names."""
    match = _RUN_NAME.fullmatch(folder.name)
    if match is None:
        raise ValueError(f"{folder} is no run folder")
    return int(match[1])


def list_runs(runs: Path) -> list[Path]:
    """Return the run folders under `runs`, oldest first."""
    if not runs.is_dir():
        return []
    folders = [path for path in runs.iterdir() if path.is_dir() and _RUN_NAME.fullmatch(path.name)]
    return sorted(folders, key=lambda folder: (run_number(folder), folder.name))


def find_run(name: str) -> Path:
    """Return the run folder that `name` means: a path, or the name of a folder in ./runs."""
    inside = Path("runs") / name
    return inside if not Path(name).is_dir() and inside.is_dir() else Path(name)


def bundled_styles() -> dict[str, Path]:
    """Return the styles that ship with the tool: name -> folder."""
    assets = Path(str(resources.files("stylegan_tool"))) / "assets"
    return {folder.name: folder for folder in sorted(assets.iterdir()) if model_files(folder)}


def exported_runs() -> list[Path]:
    """Return the runs under ./runs that have been exported, oldest first."""
    return [run for run in list_runs(Path("runs")) if model_files(run)]


def _locate(name: str | None) -> tuple[list[Path], str]:
    """Return the .onnx files that `name` means and the label to show."""
    styles = bundled_styles()
    if name is None:
        runs = exported_runs()
        if runs:
            return model_files(runs[-1]), str(runs[-1])
        return model_files(styles[DEFAULT_STYLE]), f"{DEFAULT_STYLE} (bundled)"
    path = Path(name)
    if path.is_file():
        return [path], name
    for folder, label in ((path, name), (Path("runs") / name, f"runs/{name}")):
        if folder.is_dir() and model_files(folder):
            return model_files(folder), label
    installed = installed_models()
    if name in installed:
        return model_files(installed[name]), name
    if name in styles:
        return model_files(styles[name]), f"{name} (bundled)"
    if path.is_dir() or (Path("runs") / name).is_dir():
        raise ModelError(
            f"no A2B.onnx or B2A.onnx in {name}", hint=f"If it is a run, export it first: sgt export {typed(name)}"
        )
    raise ModelError(
        f"no model {name}: it is no file, no folder, no run, not installed and not bundled",
        hint=f"Known: {', '.join([*installed, *styles])}. `sgt models list` shows what is here.",
    )


def load_models(name: str | None) -> list[Model]:
    """Return the generators that `name` means (None: the newest exported run of this folder, else bundled).

    Raises:
        ModelError: there is none, or a file is no model.
    """
    from stylegan_tool.session import read_model_info  # only now: who asks for names alone does not wait for it

    paths, label = _locate(name)
    return [Model(path, label, read_model_info(path)) for path in paths]


def choose_model(name: str | None, *, direction: str | None = None, to: str | None = None) -> Model:
    """Return the generator for `direction` (A2B, B2A) or for the domain `to`; by default A2B or the only one.

    Where no model is named and the one at hand does not make `to`, it is the bundled style that does.

    Raises:
        ModelError: the model lacks that direction or domain.
        UsageError: direction and domain contradict each other, or neither can tell two files apart.
    """
    models = load_models(name)
    if name is None and to is not None and not _makes(models, to):
        styles = [load_models(style) for style in bundled_styles()]
        models = next((style for style in styles if _makes(style, to)), models)
    label = models[0].label
    chosen = models
    if direction is not None:
        chosen = [model for model in models if model.info.direction == direction]
        if not chosen:
            raise _lacks(models, f"direction {direction}")
    if to is not None:
        matches = [model for model in chosen if model.info.target.casefold() == to.casefold()]
        if not matches and direction is not None and _makes(models, to):
            raise UsageError(
                f"--direction {direction} of {label} makes {chosen[0].info.target}, not {to}",
                hint=f"Leave --direction out: --to {typed(to)}",
            )
        if not matches:
            raise _lacks(models, f"domain '{to}'")
        chosen = matches
    if len(chosen) > 1:
        chosen = [model for model in chosen if model.info.direction == "A2B"] or chosen[:1]
    return chosen[0]


def _makes(models: list[Model], domain: str) -> bool:
    return any(model.info.target.casefold() == domain.casefold() for model in models)


def _lacks(models: list[Model], what: str) -> ModelError:
    known = [model.info for model in models if model.info.direction]
    if not known:
        return ModelError(
            f"model {models[0].label} does not say its direction and domains, so it has no {what}",
            hint="It does one thing only: leave --direction and --to out.",
        )
    has = ", or ".join(f"--direction {info.direction} (--to {info.target})" for info in known)
    return ModelError(f"model {models[0].label} has no {what}", hint=f"It has {has}. Others: sgt models list")
