"""Styles from Python: a model is opened once and then stylises arrays, files, folders and films.

The same work as the commands `sgt images` and `sgt video` do, with the same arguments, rules and errors: what a hint
calls `--memory` is the argument `memory`. Nothing is printed; what the commands say goes to the logger `stylegan_tool`,
at level INFO, or to the function that is given as `note`.

Pictures in memory are uint8 or uint16 (H,W,3), RGB.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, TypeVar, cast, get_args

import numpy as np
from numpy.typing import NDArray

from stylegan_tool.blend import blend
from stylegan_tool.errors import InputError, PartialError, UsageError
from stylegan_tool.film.convert import FilmReport, Start, convert_film
from stylegan_tool.film.making import Together
from stylegan_tool.folder.making import Making, Result, find_done, run_jobs
from stylegan_tool.folder.manifest import Manifest
from stylegan_tool.folder.plan import Job, plan_jobs, refuse_existing
from stylegan_tool.gallery.film_record import remember_film
from stylegan_tool.made_with import describe_film, describe_model, describe_pictures
from stylegan_tool.opening import open_model
from stylegan_tool.options import (
    Blend,
    Comparison,
    FilmOptions,
    SteadyOption,
    TileOption,
    TileStatistics,
    parse_rate,
    parse_size,
    parse_time,
)
from stylegan_tool.pixels import HALF, Image
from stylegan_tool.providers import OPENVINO, PROVIDERS
from stylegan_tool.session import Session
from stylegan_tool.steady import Steadier, choose_strength
from stylegan_tool.stylize import Stylizer

__all__ = ["FilmError", "FilmReport", "FolderError", "FolderReport", "Result", "StyleModel", "load_model"]

StrPath: TypeAlias = str | os.PathLike[str]
Tile: TypeAlias = int | Literal["auto", "off"]
Steady: TypeAlias = float | Literal["auto", "off"]
Time: TypeAlias = float | str  # seconds, or as the command takes it: '2.5s', '1:30'
Note: TypeAlias = Callable[[str], None]
Depth = TypeVar("Depth", np.uint8, np.uint16)

_log = logging.getLogger("stylegan_tool")


@dataclass(frozen=True)
class FolderReport:
    """What became of a folder's pictures.

    Attributes:
        results: one for each picture, in the order of the tree; `result.job` says which, `result.error` why it failed.
    """

    results: tuple[Result, ...]

    @property
    def made(self) -> tuple[Result, ...]:
        """Those that were stylised now."""
        return self._with("made")

    @property
    def done_before(self) -> tuple[Result, ...]:
        """Those whose results were there already, of the same picture, model and options."""
        return self._with("done before")

    @property
    def failed(self) -> tuple[Result, ...]:
        """Those that have no result."""
        return self._with("failed")

    def _with(self, status: str) -> tuple[Result, ...]:
        return tuple(result for result in self.results if result.status == status)


class FolderError(PartialError):
    """Some pictures of a folder failed; the others are done, as `report` says."""

    def __init__(self, what: str, *, hint: str, report: FolderReport) -> None:
        super().__init__(what, hint=hint)
        self.report = report


class FilmError(PartialError):
    """A film is finished, but of a damaged source that had to be repaired; `report` says how often."""

    def __init__(self, what: str, *, hint: str, report: FilmReport) -> None:
        super().__init__(what, hint=hint)
        self.report = report


OnPicture: TypeAlias = Callable[[Result, int, int], object]
OnFrame: TypeAlias = Callable[[int, int | None], object]


def load_model(
    name: StrPath | None = None,
    *,
    to: str | None = None,
    direction: str | None = None,
    provider: str = "auto",
    device_id: int | None = None,
    require_gpu: bool = False,
    inputs: Mapping[str, str] | None = None,
    tile: Tile = "auto",
    tile_stats: TileStatistics = "exact",
    memory: int | str | None = None,
    note: Note = _log.info,
) -> "StyleModel":
    """Open a model.

    Args:
        name: a style ('monet', 'vangogh', an installed one), a run folder or an .onnx; by default the newest exported
            run in ./runs, else the bundled style that makes `to`, else 'vangogh'.
        to: what it is to make: 'vangogh', 'monet', 'photo'.
        direction: the same by letters, 'A2B' or 'B2A'.
        provider: where it runs: auto, cpu, openvino, cuda, tensorrt, coreml, dml. What cannot be used here is said
            to `note` and becomes the CPU.
        device_id: of several GPUs the one to run on, from 0.
        require_gpu: refuse the CPU.
        inputs: further inputs of somebody else's model, by name: numbers, 'one-hot:N', 'FILE.npy' or
            'MODEL.onnx:PICTURE'.
        tile: 'auto', 'off', or a side in pixels, 16 <= tile.
        tile_stats: whose mean and variance tiles are normalised by; with 'exact' they equal the untiled picture.
        memory: what may be used, in bytes or as '8G'; by default half of what is free.
        note: called with each line that a command would say: which model runs and where, and what is to be known.

    Raises:
        ModelError: there is no such model, it is none, or it does not make what is asked for.
        MissingError: a GPU or an extra is required and not there.
        UsageError: an argument has none of its values.
    """
    _check_one_of(provider, ("auto", OPENVINO, *PROVIDERS), "provider")
    _check_one_of(tile_stats, get_args(TileStatistics), "tile_stats")
    tile_text, memory_text = str(tile), None if memory is None else str(memory)
    memory_bytes = None if memory_text is None else parse_size(memory_text)
    tiling = _Tiling(TileOption.parse(tile_text), tile_text, tile_stats, memory_bytes, memory_text)
    input_texts = [f"{key}={value}" for key, value in (inputs or {}).items()]
    session = open_model(
        None if name is None else os.fspath(name),
        direction=direction,
        to=to,
        provider=provider,
        device_id=device_id,
        require_gpu=require_gpu,
        say=note,
        inputs=input_texts,
    )
    return StyleModel(session, tiling, input_texts, note)


@dataclass(frozen=True)
class _Tiling:
    """How pictures are cut, and the texts that manifests remember of it."""

    option: TileOption
    text: str
    statistics: TileStatistics
    memory_bytes: int | None
    memory: str | None


class StyleModel:
    """An open model; `load_model` makes it.

    Any number of models may be open, and one may be called from several threads: pictures then wait for each other,
    since each takes all cores, or the GPU, by itself. Films that are made at the same time do not wait.

    It holds the network and its working memory until `close`, the end of a `with`, or until nobody holds it.

    Attributes:
        path: of its .onnx.
        info: what the file says of itself.
        provider: where it runs; see `load_model`.
    """

    def __init__(self, session: Session, tiling: _Tiling, input_texts: Sequence[str], note: Note) -> None:
        self.path: Path = session.path
        self.info = session.info
        self.provider: str = session.provider
        self._label = session.label
        self._tiling, self._input_texts, self._note = tiling, list(input_texts), note
        self._lock = RLock()  # a note may lead to another picture
        self._opened: Stylizer | None = self._make_stylizer(session)

    @property
    def style(self) -> str:
        """What its training was called, such as 'photo2vangogh'; empty for a file that does not say."""
        return self.info.style

    @property
    def direction(self) -> str:
        """'A2B' or 'B2A'; empty for a file that does not say."""
        return self.info.direction

    @property
    def source(self) -> str:
        """What it takes, such as 'photo'; empty for a file that does not say."""
        return self.info.source

    @property
    def target(self) -> str:
        """What it makes of it, such as 'vangogh'; empty for a file that does not say."""
        return self.info.target

    def __repr__(self) -> str:
        what = f"{self.source} -> {self.target} ({self.direction})" if self.direction else self.path.name
        return f"<StyleModel {what}, {self._label}: {self.path}>"

    def __call__(self, image: NDArray[Depth]) -> NDArray[Depth]:
        """Return `image` in the model's style; see `stylize`."""
        return self.stylize(image)

    def stylize(self, image: NDArray[Depth], *, strength: float = 1.0, keep_colour: bool = False) -> NDArray[Depth]:
        """Return `image`, uint8 or uint16 (H,W,3) RGB, in the model's style: a new array of the same shape and type.

        Args:
            strength: how much of the style is mixed into the picture, 0 <= strength <= 1.
            keep_colour: take the brightness of the result and the colour of the picture.

        Raises:
            UsageError: `image` is no such array.
            ComputeError: out of memory, or the result is no number.
        """
        shown, picture = Blend(strength, keep_colour), _checked(image)
        with self._lock:
            made = self._stylizer(picture)
        return cast("NDArray[Depth]", blend(picture, made, shown))

    def stylize_frames(
        self,
        frames: Iterable[NDArray[Depth]],
        *,
        steady: Steady = "auto",
        strength: float = 1.0,
        keep_colour: bool = False,
    ) -> Iterator[NDArray[Depth]]:
        """Yield a film's frames in the model's style, for who reads and writes films by other means.

        As in a film, texture is carried along the motion; a cut begins anew. One frame is held at a time.

        Args:
            frames: in order; see `stylize`; all of one size and type.
            steady: from 0, each frame by itself, to 1; 'auto' as `sgt video` does it.
            strength, keep_colour: see `stylize`.

        Raises:
            See `stylize`.
        """
        steadiness, shown = choose_strength(SteadyOption.parse(str(steady))), Blend(strength, keep_colour)
        return self._steady_frames(frames, Steadier(steadiness), shown)

    def _steady_frames(
        self, frames: Iterable[NDArray[Depth]], steadier: Steadier, shown: Blend
    ) -> Iterator[NDArray[Depth]]:
        first = None
        for number, frame in enumerate(frames, 1):
            # A copy: who reads films likes to write the next frame to the same place.
            picture = _checked(frame).copy()
            kind = f"{picture.dtype} {picture.shape}"
            first = first or kind
            if kind != first:
                raise UsageError(
                    f"frame {number} is {kind}, and frame 1 is {first}",
                    hint="Scale the frames of a film to one size, and give them one type.",
                )
            with self._lock:
                made = self._stylizer(picture, name=f"frame {number}")
            yield cast("NDArray[Depth]", blend(picture, steadier(picture, made), shown))

    def stylize_file(
        self,
        source: StrPath,
        target: StrPath,
        *,
        overwrite: bool = False,
        strength: float = 1.0,
        keep_colour: bool = False,
        compare: Comparison | None = None,
    ) -> Result:
        """Stylise a picture into a file, or into a folder under its own name.

        Size, orientation, alpha, depth and profile are kept; the file appears whole or not at all.

        Args:
            overwrite: replace what is there.
            strength, keep_colour: see `stylize`.
            compare: 'side' puts the source beside the result, 'split' shows its left half.

        Raises:
            InputError: there is no picture, or it cannot be read.
            OutputError: the file is there already, or cannot be written.
            UsageError, ComputeError: see `stylize`.
        """
        source, target, shown = Path(source), Path(target), _blend(strength, keep_colour, compare)
        if source.is_dir():
            raise UsageError(f"{source} is a folder", hint="For folders there is stylize_folder.")
        jobs = plan_jobs(source, target)
        refuse_existing(jobs, None, overwrite=overwrite)
        making = self._making(shown, None, overwrite=overwrite)
        result = self._do(jobs, making, jobs[0].target.parent)[0]
        if result.error is not None:
            raise result.error
        return result

    def stylize_folder(
        self,
        source: StrPath,
        target: StrPath,
        *,
        overwrite: bool = False,
        strength: float = 1.0,
        keep_colour: bool = False,
        compare: Comparison | None = None,
        on_picture: OnPicture | None = None,
    ) -> FolderReport:
        """Stylise a folder's pictures, with all below it, into another folder; the tree is mirrored.

        What is done is not done again, be it that this function or `sgt images` has done it, and what changed is done
        anew: `target` holds a manifest.

        Args:
            overwrite: replace what is there and is not provably an unmodified result of these pictures.
            strength, keep_colour, compare: see `stylize_file`.
            on_picture: called in this thread with each result, how many there are by now, and how many there will be.

        Raises:
            InputError: there is no such folder, or no picture in it.
            OutputError: others' files are in the way, or the folder cannot be written to any more.
            UsageError: two pictures would become one file.
            FolderError: some pictures failed, after all others have been done.
        """
        source, target, shown = Path(source), Path(target), _blend(strength, keep_colour, compare)
        if not source.is_dir():
            if source.is_file():
                raise InputError(f"{source} is no folder", hint="For one picture there is stylize_file.")
            raise InputError(f"no such folder: {source}", hint="Check the name.")
        jobs = plan_jobs(source, target)
        with Manifest(target) as manifest:
            replaceable = refuse_existing(jobs, manifest, overwrite=overwrite)
            making = self._making(shown, manifest, replaceable=replaceable, overwrite=overwrite)
            report = FolderReport(tuple(self._do(jobs, making, target, on_picture)))
        if report.failed and report.failed[0].error is not None:
            raise FolderError(
                f"{len(report.failed)} of {len(jobs)} pictures failed; the others are in {target}",
                hint="Repair those that this error's report.failed names, and call it again. "
                f"The first: {report.failed[0].error.what}.",
                report=report,
            )
        return report

    def stylize_film(
        self,
        source: StrPath,
        target: StrPath,
        *,
        overwrite: bool = False,
        steady: Steady = "auto",
        preview: Time | None = None,
        start: Time | None = None,
        end: Time | None = None,
        strength: float = 1.0,
        keep_colour: bool = False,
        compare: Comparison | None = None,
        codec: str | None = None,
        quality: int | None = None,
        hardware: bool = False,
        frame_rate: float | str | None = None,
        on_frame: OnFrame | None = None,
    ) -> FilmReport:
        """Stylise a film, frame for frame at its own times; sound, subtitles and chapters are kept.

        What was finished before an error or a stop is kept in a folder beside `target`, and the same call, or the same
        `sgt video`, goes on from there.

        Args:
            source: a film, or numbered pictures: 'frames/%05d.png'.
            target: .mp4, .mov, .mkv, .webm, .gif, or numbered pictures.
            overwrite: replace what is there; what is unfinished of the same film is gone on with.
            steady: how much of each frame is carried on from the ones before, from 0 to 1; 'off' is 0.
            preview: only so much, from `start` or else the middle.
            start, end: seconds, or '1:30', from the film's beginning.
            strength, keep_colour, compare: see `stylize_file`.
            codec: h264, hevc, av1, vp9, prores or ffv1; by default what suits.
            quality: 1 <= quality <= 100, of the encoding; 80 by default.
            hardware: encode on the graphics chip, if that works.
            frame_rate: of numbered pictures; 25 by default.
            on_frame: called in this thread for each frame: how many are done, and of how many (None: nobody knows).

        Raises:
            InputError: no film, or nothing in it can be decoded.
            OutputError: `target` is there already, cannot hold this film, or writing fails.
            UsageError, ComputeError: see `stylize`; or arguments make no sense together.
            FilmError: the film is finished, but the source was damaged and had to be repaired.
        """
        window = {"start_s": _seconds(start, "--start"), "end_s": _seconds(end, "--end")}
        window |= {"preview_s": _seconds(preview, "--preview")}
        rate = None if frame_rate is None else parse_rate(str(frame_rate))
        shown = _blend(strength, keep_colour, compare)
        options = FilmOptions(codec, quality, hardware, **window, sequence_rate=rate, blend=shown)
        made = self._convert(Path(source), Path(target), options, steady, _FrameCount(on_frame), overwrite=overwrite)
        for line in made.notes:
            self._note(line)
        if made.repaired:
            raise FilmError(
                f"{made.repaired} damaged places in {source} were repaired; {target} is finished",
                hint="Look at it; a better copy of the source would help.",
                report=made,
            )
        return made

    def _convert(
        self, source: Path, target: Path, options: FilmOptions, steady: Steady, count: "_FrameCount", *, overwrite: bool
    ) -> FilmReport:
        # Its own: what memory it may use is decided when a film begins, and kept for when it goes on.
        stylizer, tiling = self._make_stylizer(self._session), self._tiling
        steadiness = choose_strength(SteadyOption.parse(str(steady)))
        texts = (self._input_texts or None, tiling.statistics, tiling.text, tiling.memory)
        made = convert_film(
            source,
            target,
            stylizer,
            together=Together(stylizer.batch, stylizer.most_at_once),
            options=options,
            steady=steadiness,
            made_with=describe_film(stylizer.session, *texts),
            find_out=lambda known: {"memory_bytes": stylizer.limit_memory(known.get("memory_bytes"))},
            overwrite=overwrite,
            on_start=count.begin,
            on_frame=count.add,
        )
        remember_film(source, target, made, stylizer.session, options, steadiness)
        return made

    def close(self) -> None:
        """Let go of the network and its memory, after the picture that is being made; to close twice does no harm."""
        with self._lock:
            self._opened = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _stylizer(self) -> Stylizer:
        if self._opened is None:
            raise UsageError(f"the model {self.path} was closed", hint="Use it inside `with`, or load it again.")
        return self._opened

    @property
    def _session(self) -> Session:
        return self._stylizer.session

    def _make_stylizer(self, session: Session) -> Stylizer:
        tiling = self._tiling
        return Stylizer(
            session,
            tiling.option,
            statistics=tiling.statistics,
            memory_bytes=tiling.memory_bytes,
            note=self._note,
        )

    def _making(
        self,
        shown: Blend,
        manifest: Manifest | None,
        *,
        replaceable: frozenset[str] = frozenset(),
        overwrite: bool,
    ) -> Making:
        tiling = self._tiling
        return Making(
            stylize=self._batch,
            at_once=self._stylizer.most_at_once,
            blend=shown,
            about=describe_model(self._session),
            made_with=describe_pictures(self._session, shown, tiling.statistics, tiling.text, tiling.memory),
            manifest=manifest,
            replaceable=replaceable,
            overwrite=overwrite,
        )

    def _batch(self, images: Sequence[Image], names: Sequence[str]) -> Sequence[Image]:
        with self._lock:
            return self._stylizer.batch(images, names)

    def _do(
        self, jobs: Sequence[Job], making: Making, folder: Path, on_picture: OnPicture | None = None
    ) -> list[Result]:
        """Return what came of each job, in their order."""
        results: dict[str, Result] = {}

        def take(result: Result) -> None:
            results[result.job.output] = result
            if result.note:
                self._note(f"{result.job.source.name}: {result.note}")
            if on_picture is not None:
                on_picture(result, len(results), len(jobs))

        done, left = find_done(jobs, making)
        for result in done:
            take(result)
        with closing(run_jobs(left, making, folder)) as made:
            for result in made:
                take(result)
        return [results[job.output] for job in jobs]


class _FrameCount:
    """Counts a film's frames, those of an earlier run included, for who wants to know."""

    def __init__(self, tell: OnFrame | None) -> None:
        self._tell = tell
        self._start = Start(None, 0)
        self._done = 0

    def begin(self, start: Start) -> None:
        self._start, self._done = start, start.kept

    def add(self) -> None:
        self._done += 1
        if self._tell is not None:
            self._tell(self._done, self._start.frames)


def _seconds(time: Time | None, option: str) -> Fraction | None:
    return None if time is None else parse_time(str(time), option)


def _blend(strength: float, keep_colour: bool, compare: Comparison | None) -> Blend:
    if compare is not None:
        _check_one_of(compare, get_args(Comparison), "compare")
    return Blend(strength, keep_colour, compare)


def _check_one_of(value: str, known: Sequence[str], name: str) -> None:
    if value not in known:
        raise UsageError(f"{name}={value!r} is not known", hint=f"Known: {', '.join(known)}.")


_FROM_GREY = "Make RGB of grey: numpy.dstack([image] * 3)."
_WITHOUT_ALPHA = "Leave the alpha out: image[:, :, :3]."
_CHANNELS_LAST = "Put the channels last: numpy.moveaxis(image, 0, -1)."
_FROM_FLOAT = "Make whole numbers of 0 to 1: (image * 255).round().astype(numpy.uint8)."
_FROM_OTHERS = "Take stylize_file for a file; a Pillow picture becomes one by numpy.asarray(picture.convert('RGB'))."


def _checked(image: Any) -> Image:
    """Return `image`, contiguous, if it is a picture.

    Raises:
        UsageError: it is none; the hint says how to make one of it.
    """
    if not isinstance(image, np.ndarray):
        raise _no_picture(type(image).__name__, _FROM_OTHERS)
    what = f"{image.dtype} {image.shape}"
    if image.ndim == 2:
        raise _no_picture(what, _FROM_GREY)
    if image.ndim == 3 and image.shape[2] == 4:
        raise _no_picture(what, _WITHOUT_ALPHA)
    if image.ndim == 3 and image.shape[2] != 3 and image.shape[0] == 3:
        raise _no_picture(what, _CHANNELS_LAST)
    if image.dtype.kind == "f":
        raise _no_picture(what, _FROM_FLOAT)
    if image.dtype not in HALF or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise _no_picture(what, _FROM_OTHERS)
    return cast("Image", np.ascontiguousarray(image))


def _no_picture(what: str, hint: str) -> UsageError:
    return UsageError(f"a picture is uint8 or uint16 (H,W,3), RGB, not {what}", hint=hint)
