"""From a folder to its page: collect, embed, fill, write whole."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from stylegan_tool.errors import InputError, OutputError, PartialError, SgtError, typed
from stylegan_tool.film.preview import make_preview
from stylegan_tool.folder.making import Making
from stylegan_tool.folder.plan import Job
from stylegan_tool.gallery.collect import COMPARED, Collection, Shown, Work, collect, describe_settings, describe_way
from stylegan_tool.gallery.embed import Embedded, embed_picture, limit_side
from stylegan_tool.gallery.page import GENERATOR, Plate, gallery_page, run_page
from stylegan_tool.gallery.run import is_run, read_run
from stylegan_tool.models import find_run
from stylegan_tool.options import FilmOptions
from stylegan_tool.overlap import mapped
from stylegan_tool.progress import Progress
from stylegan_tool.whole_files import check_reach, write_whole

NAME = "gallery.html"
_THREADS = 2

Say = Callable[[str], None]


def write_gallery(folder: Path, page: Path | None, *, overwrite: bool, say: Say) -> Path:
    """Write the page of a folder of results, or of a training run, and return its path.

    Args:
        page: where to; None: gallery.html in the folder.

    Raises:
        InputError: there is no such folder, it cannot be read, or has nothing to show.
        OutputError: the page cannot be written, or something that is no such page is there (and not `overwrite`).
    """
    folder = find_run(str(folder))
    if not folder.is_dir():
        raise InputError(f"no such folder: {folder}", hint="Name a folder of results, or of a training run.")
    page = page or folder / NAME
    check_page(page, overwrite=overwrite)
    if is_run(folder):
        _write_run(folder, page, say)
    else:
        collection = collect(folder)
        if collection.left_out:
            most = len(collection.works)
            more = f"{collection.left_out} more pictures and films are not shown: {most} are a page's most"
            deeper = any(path.is_dir() for path in folder.iterdir())
            say(f"{more}; for a folder below: sgt gallery {typed(folder / 'NAME')}" if deeper else more)
        if collection.changed:
            results = "1 result was" if collection.changed == 1 else f"{collection.changed} results were"
            say(f"{results} changed since then, and not shown")
        _write(collection, page, say)
    return page


def check_page(page: Path, *, overwrite: bool) -> None:
    """Refuse before work what would be refused after it.

    Raises:
        OutputError: see `write_gallery`.
    """
    if page.suffix.lower() not in (".html", ".htm"):
        raise OutputError(f"{page} is no name of a page", hint="Let it end in .html.")
    check_reach(page)
    if page.is_dir() or (page.exists() and not overwrite and not is_ours(page)):
        raise OutputError(
            f"{page} is there already, and was not made by sgt gallery",
            hint="Add --overwrite to replace it, or name another: sgt gallery FOLDER --output FILE.html",
        )


def is_ours(page: Path) -> bool:
    """Whether a page says that it was made here."""
    try:
        with page.open("rb") as file:
            return f'<meta name="generator" content="{GENERATOR}">'.encode() in file.read(500)
    except OSError:
        return False


def page_beside(made: Path | Job) -> Path:
    """Return where the page of a folder of results goes, or that of the one picture by itself."""
    return made / NAME if isinstance(made, Path) else made.target.with_suffix(".html")


@contextmanager
def page_of_pictures(made: Path | Job, making: Making, *, overwrite: bool, say: Say) -> Iterator[None]:
    """Write the page of pictures that are made in this context at its end, also where some of them failed.

    Args:
        made: the folder of the results, or the one picture by itself: its page stands beside it, under its name.

    Raises:
        OutputError: see `check_page`, before anything is made.
    """
    page = page_beside(made)
    check_page(page, overwrite=overwrite)
    try:
        yield
    except PartialError:
        with suppress(InputError):  # none was made: that is what is told
            _write_pictures(made, page, making, say)
        raise
    if isinstance(made, Path) and not made.is_dir():
        return  # nothing was to be done, such as in a shard without pictures
    _write_pictures(made, page, making, say)


def _write_pictures(made: Path | Job, page: Path, making: Making, say: Say) -> None:
    if isinstance(made, Path):
        _write(collect(made), page, say)
        return
    means = {**making.made_with, "about": making.about}
    shown = Shown(made.target, made.target.name, describe_way(means), describe_settings(means))
    compared = bool(means.get("compare"))
    note = COMPARED if compared else ""
    work = Work("picture", made.source.name, None if compared else made.source, (shown,), note)
    _write(Collection(made.target.name, (work,)), page, say)


def _write(collection: Collection, page: Path, say: Say) -> None:
    works = collection.works
    n_pictures = sum((work.source is not None) + len(work.results) for work in works if work.kind == "picture")
    longest = limit_side(n_pictures)
    plates: list[Plate] = []
    with Progress("embedding", len(works), "works") as progress:

        def embed(work: Work) -> tuple[Plate | None, list[str]]:
            return _film_plate(work) if work.kind == "film" else _picture_plate(work, longest)

        for plate, notes in mapped(embed, works, workers=_THREADS):
            progress.advance()
            plates += [plate] if plate else []
            for note in notes:
                say(note)
    if not plates:
        raise InputError(
            "none of the results can be read (named above)",
            hint="Make them again; `sgt` alone, typed in the folder above, says by which command.",
        )
    _write_page(page, gallery_page(collection, plates), f"{len(plates)} shown", say)


def _picture_plate(work: Work, longest: int) -> tuple[Plate | None, list[str]]:
    """Return the work with its pictures, and what is to be said; None if no result can be read."""
    notes: list[str] = []

    def read(path: Path) -> Embedded | None:
        try:
            return embed_picture(path, longest)
        except SgtError as error:
            notes.append(f"not shown: {error.what}")
            return None

    results = [(shown, embedded) for shown in work.results if (embedded := read(shown.path))]
    if not results:
        return None, notes
    source = read(work.source) if work.source is not None else None
    if work.source is not None and source is None:
        work = replace(work, note="The source cannot be read.")
    layers = [*([source] if source else []), *(embedded for _, embedded in results)]
    return Plate(work, tuple(shown for shown, _ in results), tuple(layers)), notes


def _film_plate(work: Work) -> tuple[Plate | None, list[str]]:
    """Return the work with its film, and what is to be said; None if it cannot be read."""
    films = [(shown.path, FilmOptions()) for shown in work.results]
    window = work.results[0].window
    # Numbered pictures say nothing of their frame rate.
    films = [(path, replace(options, sequence_rate=window.sequence_rate)) for path, options in films]
    source = [(work.source, window)] if work.source is not None else []
    try:
        return Plate(work, work.results, film=make_preview([*source, *films], _nothing)), []
    except SgtError as error:
        if source:  # what was made is there all the same
            plate, notes = _film_plate(replace(work, source=None, note="The source cannot be read."))
            return plate, [f"not shown: {error.what}", *notes]
        return None, [f"not shown: {error.what}"]


def _nothing() -> None:
    """Stand in for a callback."""


def _write_run(folder: Path, page: Path, say: Say) -> None:
    run = read_run(folder)
    longest = limit_side(len(run.samples))
    with Progress("embedding", len(run.samples), "sheets") as progress:
        grids = {}
        for epoch, path in run.samples.items():
            try:
                grids[epoch] = embed_picture(path, longest)
            except SgtError as error:  # the other epochs are there all the same
                say(f"not shown: {error.what}")
            progress.advance()
    run = replace(run, samples={epoch: run.samples[epoch] for epoch in grids})
    what = "1 epoch" if len(grids) == 1 else f"{len(grids)} epochs"
    _write_page(page, run_page(run, list(grids.values())), what, say)


def _write_page(page: Path, text: str, what: str, say: Say) -> None:
    content = text.encode()
    write_whole(page, content, overwrite=page.exists(), make_folder=False)
    say(f"{what}, {len(content) / 1e6:.1f} MB: {page}")
