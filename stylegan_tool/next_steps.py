"""What `sgt` alone says: what there is in a folder, and which command to type next.

Names are looked at, and the first kilobytes of small files of ours: never a tree, never a picture, a model or a
network. So the answer comes at once, whatever lies there; nothing that is slow to import is imported. What lies there
may be anybody's: only commands of ours are told again, and no name that a terminal would obey.

Units: `MOST_` are numbers of names, `_KIB` is 1024 bytes.
"""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from stylegan_tool.errors import visible
from stylegan_tool.installed import installed_models, model_files
from stylegan_tool.models import DEFAULT_STYLE, list_runs

MOST_NAMES = 1000  # that are looked at in a folder
MOST_FOLDERS = 40  # that are looked into
MOST_STEPS = 5
_KIB = 1024
# Enough to know pictures and films when one sees them; what can be read is decided by their content, elsewhere.
_PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".avif", ".jxl", ".heic"})
_FILMS = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mts"})
PAGE = "gallery.html"  # what sgt gallery calls it where nothing else is asked for
_KEPT = ".sgt"  # ends the name of a folder in which an unfinished film is kept


@dataclass(frozen=True)
class Step:
    """Something to do: why, and the command, complete; or, where nobody can know it, none."""

    why: str
    command: str = ""


@dataclass(frozen=True)
class Place:
    """A folder to type commands in. `has_gpu` and `can_train` are asked where a data set waits."""

    folder: Path
    has_gpu: Callable[[], bool] = field(default=lambda: False)
    can_train: Callable[[], bool] = field(default=lambda: True)

    @cached_property
    def names(self) -> list[Path]:
        """What lies in it, sorted; nothing hidden, and no name that a terminal would obey."""
        return _list(self.folder)

    @cached_property
    def folders(self) -> list[Path]:
        return [path for path in self.names if path.is_dir() and path.suffix != _KEPT][:MOST_FOLDERS]

    @cached_property
    def films(self) -> list[Path]:
        return [path for path in self.names if path.suffix.lower() in _FILMS and path.is_file()]

    @cached_property
    def runs(self) -> list[Path]:
        """The training runs, newest first."""
        runs = reversed(list_runs(self.folder / "runs"))
        return [run for run in runs if _is_harmless(run.name) and (run / "config.json").is_file()]

    @cached_property
    def sets(self) -> list[Path]:
        """The data sets: the folder itself, folders in datasets/, folders in it."""
        inside = self.folder / "datasets"
        known = [self.folder, *(_list(inside)[:MOST_FOLDERS] if inside.is_dir() else []), *self.folders]
        return [path for path in known if _is_data_set(path)]

    @cached_property
    def pictures(self) -> Path | None:
        """A folder of pictures to stylise: one in it, else itself, else a data set's."""
        wanted = [path for path in self.folders if not _is_ours(path)]
        sides = [path / side for path in self.sets for side in ("testA", "trainA", "test/A", "train/A")]
        return next((path for path in (*wanted, self.folder, *sides) if _has_pictures(path)), None)

    @cached_property
    def model(self) -> str:
        """The options that choose what would be taken here: a run, an own model, or the style that ships."""
        if exported := [run for run in self.runs if model_files(run)]:
            return f"--model {self.show(exported[0])}"
        if found := [path for path in self.names if path.suffix == ".onnx"]:
            return f"--model {self.show(found[0])}"
        if installed := [name for name in installed_models() if _is_harmless(name)]:
            return f"--model {shlex.quote(installed[0])}"
        return f"--to {DEFAULT_STYLE}"

    def show(self, path: Path) -> str:
        """Return `path` as it is typed in this folder."""
        relative = path.relative_to(self.folder)
        return shlex.quote(f"./{relative}" if relative.name.startswith("-") else str(relative))

    def free(self, name: str) -> str:
        """Return `name`, or the first like it that is free in this folder, as it is typed."""
        stem, dot, suffix = name.partition(".")
        names = (name, *(f"{stem}-{number}{dot}{suffix}" for number in range(2, MOST_NAMES)))
        return self.show(self.folder / next(one for one in names if not (self.folder / one).exists()))


def next_steps(place: Place) -> list[Step]:
    """Return what can be done there, what was begun first; never nothing."""
    found = (_go_on, _train_on, _export, _stylize, _train, _repeat, _show)
    steps = list(islice((step for look in found for step in look(place)), MOST_STEPS))
    return steps or [Step("a first look: the style that ships, on pictures and a film that ship", "sgt demo")]


def describe(place: Place) -> str:
    """Return it as lines for people."""
    lines = ["What to do in this folder:", ""]
    for step in next_steps(place):
        lines += [f"  {step.why}", *([f"      {step.command}"] if step.command else []), ""]
    return "\n".join([*lines, "All commands: sgt --help"])


def _go_on(place: Place) -> Iterator[Step]:
    """Films that were stopped."""
    for kept in place.names:
        if kept.suffix == _KEPT and (kept / "job.json").is_file():
            film = kept.with_suffix("")
            command = _command(_read_json(kept / "job.json").get("found"), place)
            again = "the same command goes on" if command else "type the command that began it, and it goes on"
            yield Step(f"{place.show(film)} is unfinished; {again}", command)


def _train_on(place: Place) -> Iterator[Step]:
    """The newest run that was stopped, or is still at work."""
    for run in place.runs[:MOST_FOLDERS]:
        if not _is_finished(run):
            yield Step(f"{place.show(run)} is unfinished: go on with it", f"sgt train {place.show(run)} --resume")
            return


def _export(place: Place) -> Iterator[Step]:
    """The newest run that is trained and no model yet."""
    for run in place.runs[:MOST_FOLDERS]:
        if _is_finished(run) and (run / "checkpoint.pt").is_file() and not model_files(run):
            yield Step(f"{place.show(run)} is trained: make models of it", f"sgt export {place.show(run)}")
            return


def _stylize(place: Place) -> Iterator[Step]:
    """Pictures and films, with the model at hand."""
    has_model = place.model.startswith("--model")
    if place.pictures is not None or has_model:
        source = place.show(place.pictures) if place.pictures is not None else "PICTURES"
        name = "the pictures here" if source == "." else f"the pictures in {source}"
        what = f"stylise {name}" if place.pictures is not None else "stylise a folder of pictures"
        yield Step(what, f"sgt images {source} {place.free('painted')} {place.model}")
    for film in place.films:
        look, target = (film.with_name(f"{film.stem}-{end}.mp4") for end in ("look", "painted"))
        if film.stem.endswith(("-look", "-painted")) or target.exists():
            continue
        name = place.show(film)
        if not look.exists():
            preview = f"sgt video {name} {place.show(look)} {place.model} --preview 3s"
            yield Step(f"see what {name} will look like", preview)
        yield Step(f"stylise the whole of {name}", f"sgt video {name} {place.show(target)} {place.model}")
        return


def _train(place: Place) -> Iterator[Step]:
    """Data sets that no run has been made of."""
    trained = {Path(str(_read_json(run / "config.json").get("data"))).name for run in place.runs}
    for folder in place.sets:
        if folder.absolute().name in trained:
            continue
        if not place.can_train():
            yield Step("there is a data set; training needs PyTorch", "pip install 'stylegan-tool[train]'")
            return
        name, data = _recipe(folder.absolute().name), f" --data {place.show(folder)}"
        if folder.parent == place.folder / "datasets" and _is_plain(folder.name):
            data = ""  # it is found by itself
        gpu = place.has_gpu()
        why = f"{place.show(folder) if folder != place.folder else 'this'} is a data set: learn its style"
        yield Step(
            why if gpu else f"{why}, without a GPU",
            f"sgt train {name}{data}{'' if gpu else ' --preset compact'}",
        )


def _repeat(place: Place) -> Iterator[Step]:
    """Folders of results: typed again, their command does what is new there."""
    for folder in place.folders:
        # The newest line comes last, and after those of shards and films the folder's own manifest.
        manifests = reversed(_manifests(folder))
        lines = (line for path in manifests for line in reversed(_lines(path, 64 * _KIB)) if '"command"' in line)
        # What was replaced once would be replaced again, retouched or not.
        commands = (_command(_parse_json(line), place, without="--overwrite") for line in lines)
        if command := next(filter(None, commands), ""):
            yield Step(f"{place.show(folder)} holds results; again, for what is new or was left undone", command)


def _show(place: Place) -> Iterator[Step]:
    """The first folder of results that has no page yet."""
    for folder in (*place.folders, place.folder):
        if _manifests(folder) and not (folder / PAGE).exists():
            what = "the results here" if folder == place.folder else f"the results in {place.show(folder)}"
            yield Step(f"see {what} beside their sources, on one page", f"sgt gallery {place.show(folder)}")
            return


def _manifests(folder: Path) -> list[Path]:
    """Return the files in which a folder of results remembers how each was made."""
    return sorted(folder.glob(".sgt-manifest*.jsonl"))


def _list(folder: Path) -> list[Path]:
    with suppress(OSError):
        shown = (path for path in folder.iterdir() if not path.name.startswith(".") and _is_harmless(path.name))
        return sorted(islice(shown, MOST_NAMES))
    return []


def _is_harmless(text: str) -> bool:
    """Whether a terminal shows all of it and obeys nothing in it."""
    return visible(text) == text


def _is_data_set(folder: Path) -> bool:
    return any(all((folder / f"train{gap}{side}").is_dir() for side in "AB") for gap in ("", "/"))


def _has_pictures(folder: Path) -> bool:
    return any(path.suffix.lower() in _PICTURES for path in _list(folder))


def _is_ours(folder: Path) -> bool:
    """Whether it holds results, runs or a data set."""
    return folder.name == "runs" or _is_data_set(folder) or bool(_manifests(folder))


def _is_plain(name: str) -> bool:
    return re.fullmatch(r"\w[\w.+-]*", name) is not None


def _recipe(name: str) -> str:
    """Return what to train `name` as: photos are A in our recipes, in published sets they are B."""
    plain = re.sub(r"[^\w.+-]+", "-", name).strip("-.+") or "style"
    match = re.fullmatch(r"([^\W_]+)2photo", plain)
    return f"photo2{match[1]}" if match else plain


def _is_finished(run: Path) -> bool:
    """Whether its log tells of the last epoch that it was to have."""
    last = f"epoch {(epochs := _read_json(run / 'config.json').get('epochs'))}/{epochs}:"
    return any(last in line for line in _lines(run / "log.txt", -64 * _KIB))


def _lines(path: Path, n_bytes: int) -> list[str]:
    """Return the lines in the first `n_bytes` of a file, or in its last where that is negative."""
    with suppress(OSError), path.open("rb") as file:
        if n_bytes < 0:
            file.seek(max(0, path.stat().st_size + n_bytes))
        return file.read(abs(n_bytes)).decode(errors="replace").splitlines()
    return []


def _read_json(path: Path) -> dict[str, Any]:
    return _parse_json("\n".join(_lines(path, 256 * _KIB)))


def _parse_json(text: str) -> dict[str, Any]:
    with suppress(ValueError):
        values = json.loads(text)
        if isinstance(values, dict):
            return values
    return {}


def _command(told: Any, place: Place, *, without: str = "") -> str:
    """Return the command of ours that was written down when work began, to be typed here; empty if there is none.

    Args:
        without: a word to leave out.
    """
    if not isinstance(told, dict) or not isinstance(text := told.get("command"), str) or not _is_harmless(text):
        return ""
    words: list[str] = []
    with suppress(ValueError):  # a quote without its end
        words = shlex.split(text)
    if words[:1] != ["sgt"]:
        return ""
    command = shlex.join(word for word in words if word != without)
    folder = told.get("folder")
    if not isinstance(folder, str) or Path(folder) == place.folder.absolute():
        return command
    return f"cd {shlex.quote(folder)} && {command}" if _is_place(folder) else ""


def _is_place(folder: str) -> bool:
    """Whether it can be gone to: a folder, by its whole path."""
    with suppress(OSError):  # too long a name, or a disk that is gone
        return _is_harmless(folder) and Path(folder).is_absolute() and Path(folder).is_dir()
    return False
