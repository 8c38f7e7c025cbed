"""Works with their embedded pictures and films, or a run, in; one HTML page out, which needs nothing beside itself.

Names, settings and numbers come from files and may hold anything: text is escaped, JSON has no '<', and the page's own
policy lets no script run but the one whose hash it names, and nothing be fetched.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from stylegan_tool import __version__
from stylegan_tool.errors import visible
from stylegan_tool.film.preview import Preview
from stylegan_tool.gallery import curves
from stylegan_tool.gallery.collect import Collection, Settings, Shown, Work
from stylegan_tool.gallery.embed import Embedded
from stylegan_tool.gallery.run import Run

GENERATOR = "stylegan-tool gallery"
SOURCE = "source"  # what the source is called beside its results
_GO = (
    '<svg viewBox="0 0 14 14" aria-hidden="true"><path class="go" d="M2 0l12 7-12 7z"/>'
    '<path class="pause" d="M1 0h4v14H1zM9 0h4v14H9z"/></svg>'
)
_ENLARGE = (
    '<svg viewBox="0 0 16 16" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.6">'
    '<path d="M9.5 1.5h5v5M6.5 14.5h-5v-5M14.5 1.5l-6 6M1.5 14.5l6-6"/></svg>'
)


@dataclass(frozen=True)
class Plate:
    """A work with what stands in the page for it.

    Attributes:
        layers: the source, if it is shown, and each result that is, as embedded; of a film None.
        results: those that are shown, in the order of `layers`.
        film: all of a film's layers.
    """

    work: Work
    results: tuple[Shown, ...]
    layers: tuple[Embedded, ...] = ()
    film: Preview | None = None

    @property
    def has_source(self) -> bool:
        """Whether the first layer is the source."""
        return (self.film.rows if self.film else len(self.layers)) > len(self.results)

    @property
    def labels(self) -> list[tuple[str, str]]:
        """What each layer is called beside the others, and its way; the source's way is ''."""
        ways = [shown.way for shown in self.results]
        short = [way.removesuffix(" (A2B)").removesuffix(" (B2A)") for way in ways]
        named = [shown.name if short.count(way) > 1 else way for shown, way in zip(self.results, short, strict=True)]
        source = [(SOURCE, "")] if self.has_source else []
        return [*source, *zip(named, ways, strict=True)]


def gallery_page(collection: Collection, plates: Sequence[Plate]) -> str:
    """Return the page of a folder of results."""
    pictures = [plate for plate in plates if plate.film is None]
    films = [plate for plate in plates if plate.film is not None]
    about = " and ".join(_count(len(some), word) for some, word in ((pictures, "picture"), (films, "film")) if some)
    notes = []
    if collection.left_out:
        notes.append(f"{collection.left_out} more are in the folder; these are evenly taken from all.")
    if collection.changed:
        notes.append(f"{_count(collection.changed, 'result')} changed since being made: not shown.")
    main = f"""<main>{_ways(plates)}
<div class="works">{"".join(map(_figure, (*films, *pictures)))}
</div></main>"""
    return _fill(collection.title, " ".join([f"{about}.", *notes]), main, {})


def run_page(run: Run, grids: Sequence[Embedded]) -> str:
    """Return the page of a training run; `grids` are those of `run.samples`."""
    domain_a, domain_b = run.domains
    panels, numbers = curves.draw_panels(run.series, run.end)
    progress = _progress(run, grids) if grids else ""
    best = run.best()
    line = f"Best in validation: epoch {best[0]} ({best[1]}: {best[2]:.4g})." if best else ""
    left_out = f" {run.left_out} more sample sheets are in the folder." if run.left_out else ""
    config = _settings_list(tuple((key, _plain(value)) for key, value in run.config.items()))
    main = f"""<main class="run">{progress}<div>
{f'<p class="best">{escape(line)}</p>' if line else ""}{panels}
<details class="config"><summary>Settings</summary>{config}</details></div></main>"""
    data = {
        "epochs": list(run.samples),
        "end": run.end,
        "panels": numbers,
        "left": curves.LEFT,
        "right": curves.RIGHT,
        "width": curves.WIDTH,
    }
    about = f"{domain_a} (A) ↔ {domain_b} (B), {run.end:g} of {run.config.get('epochs', '?')} epochs.{left_out}"
    return _fill(run.title, about, main, {"run": data})


def _plain(value: Any) -> str:
    """Return an option's value for people; of a path on this machine, its name alone."""
    if isinstance(value, list):
        return ", ".join(map(_plain, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str) and Path(value).is_absolute():
        return Path(value).name
    return "none" if value in (None, "") else str(value)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _fill(title: str, about: str, main: str, data: dict[str, Any]) -> str:
    files = resources.files("stylegan_tool") / "gallery"
    css, script = ((files / name).read_text(encoding="utf-8") for name in ("gallery.css", "gallery.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    template = Template((files / "template.html").read_text(encoding="utf-8"))
    return template.substitute(
        generator=GENERATOR,
        script_hash=f"sha256-{digest}",
        title=_text(title),
        about=_text(about),
        css=css,
        main=main,
        foot=f"Made by stylegan-tool {escape(__version__)}. Everything is in this one file; it loads nothing.",
        data=json.dumps(data, ensure_ascii=True).replace("<", "\\u003c"),
        script=script,
    )


def _text(text: str) -> str:
    """Escape for text and attributes; what is no Unicode, or would be obeyed, is shown as an escape, as in messages."""
    return escape(visible(text))


# Works ---------------------------------------------------------------------------------------------------


def _ways(plates: Sequence[Plate]) -> str:
    """Return the choice of one way, where there are several."""
    counts: dict[str, int] = {}
    for plate in plates:
        for way in dict.fromkeys(way for _, way in plate.labels if way):
            counts[way] = counts.get(way, 0) + 1
    if len(counts) < 2:
        return ""
    chips = [("", "all", len(plates)), *((way, way, number) for way, number in counts.items())]
    inputs = (
        f'<label><input type="radio" name="way" value="{_text(way)}"{"" if way else " checked"}>'
        f"<span>{_text(label)}<b>{number}</b></span></label>"
        for way, label, number in chips
    )
    return f'<fieldset class="ways" aria-label="Which are shown">{"".join(inputs)}</fieldset>'


def _figure(plate: Plate) -> str:
    work, film = plate.work, plate.film
    size = (film.width, film.height) if film else (plate.layers[0].width, plate.layers[0].height)
    ways = list(dict.fromkeys(shown.way for shown in plate.results))
    way = f'<span class="way">{_text(ways[0])}</span>' if len(ways) == 1 else ""
    note = f'<p class="note">{_text(work.note)}</p>' if work.note else ""
    kind = "work film" if film else "work"
    return f"""
<figure class="{kind}" style="--ratio: {size[0] / size[1]:.4f}">
{_stage(plate)}{_film_controls(film, work.name) if film else ""}
<figcaption><span class="name">{_text(work.name)}</span>{way}{note}{_all_settings(plate)}</figcaption>
</figure>"""


def _stage(plate: Plate) -> str:
    name, labels = plate.work.name, plate.labels
    is_pair = len(labels) > 1
    layers = []
    for i, (label, way) in enumerate(labels):
        side = {0: " left", 1: " right"}.get(i, "")
        described = f'class="layer{side}" data-way="{_text(way)}"'
        if plate.film:
            size = f'width="{plate.film.width}" height="{plate.film.height}"'
            layers.append(f'<canvas {described} {size} role="img" aria-label="{_text(f"{name}, {label}")}"></canvas>')
        else:
            one = plate.layers[i]
            layers.append(
                f'<img {described} width="{one.width}" height="{one.height}" alt="{_text(f"{name}, {label}")}" '
                f'loading="lazy" decoding="async" draggable="false" src="{one.uri}">'
            )
    slider = (
        f'<input class="split" type="range" min="0" max="100" step="any" value="50" '
        f'aria-label="{_text(name)}: where the left picture ends"><div class="bar" aria-hidden="true"><i></i></div>'
        if is_pair
        else ""
    )
    enlarge = (
        ""
        if plate.film
        else f'<button type="button" class="enlarge" aria-label="Enlarge {_text(name)}">{_ENLARGE}</button>'
    )
    kind = "stage two" if is_pair else "stage"
    return f'<div class="{kind}" data-name="{_text(name)}">{"".join(layers)}{slider}{_tags(labels)}{enlarge}</div>'


def _tags(labels: Sequence[tuple[str, str]]) -> str:
    """Return what each side is called; where there is a choice, a choice."""
    if len(labels) == 1:
        return ""
    if len(labels) == 2:
        sides = zip(("left", "right"), labels, strict=True)
        return "".join(f'<span class="tag {side}">{_text(label)}</span>' for side, (label, _) in sides)
    choices = []
    for number, side in enumerate(("left", "right")):
        options = "".join(
            f'<option value="{i}"{" selected" if i == number else ""}>{_text(label)}</option>'
            for i, (label, _) in enumerate(labels)
        )
        choices.append(f'<select class="tag {side}" aria-label="Shown on the {side}">{options}</select>')
    return "".join(choices)


def _film_controls(film: Preview, name: str) -> str:
    data = base64.b64encode(film.content).decode()
    return f"""<div class="play-row">
<button type="button" class="play" aria-pressed="false" aria-label="Play {_text(name)}">{_GO}</button>
<input class="time" type="range" min="0" max="{film.duration_s:.3f}" step="0.01" value="0" aria-label="Time in seconds">
<span class="clock">0.0 / {film.duration_s:.1f} s</span></div>
<p class="note unplayed" hidden>This browser does not play H.264 films.</p>
<video muted playsinline loop hidden></video><script type="text/plain" class="film-data">{data}</script>"""


def _all_settings(plate: Plate) -> str:
    heads = [label for label, _ in plate.labels][1 if plate.has_source else 0 :]
    parts = []
    for shown, head in zip(plate.results, heads, strict=True):
        heading = f"<h3>{_text(head)}</h3>" if len(plate.results) > 1 else ""
        parts.append(heading + _settings_list((("File", shown.name), *shown.settings)))
    return f"<details><summary>Settings</summary>{''.join(parts)}</details>"


def _settings_list(settings: Settings) -> str:
    return f"<dl>{''.join(f'<dt>{_text(what)}</dt><dd>{_text(how)}</dd>' for what, how in settings)}</dl>"


# Runs ----------------------------------------------------------------------------------------------------


def _progress(run: Run, grids: Sequence[Embedded]) -> str:
    last = len(grids) - 1
    sheets = "".join(
        f'<img class="epoch{" shown" if i == last else ""}" width="{grid.width}" height="{grid.height}" '
        f'alt="Samples after epoch {epoch}" decoding="async" src="{grid.uri}">'
        for i, (epoch, grid) in enumerate(zip(run.samples, grids, strict=True))
    )
    domain_a, domain_b = run.domains
    epochs = list(run.samples)
    columns = "".join(f"<span>{column}</span>" for column in ("real", "fake", "reconstructed", "identity"))
    return f"""<figure class="progress" style="--ratio: {grids[-1].width / grids[-1].height:.4f}">
<div class="columns" aria-hidden="true">{columns}</div>
<div class="sheet">{sheets}</div>
<div class="play-row">
<button type="button" class="play" aria-pressed="false" aria-label="Play the epochs">{_GO}</button>
<input class="time" type="range" min="0" max="{last}" step="1" value="{last}" aria-label="Epoch">
<span class="clock">epoch {epochs[-1]}</span></div>
<figcaption class="note">Above {_text(domain_a)} → {_text(domain_b)}, below {_text(domain_b)} → {_text(domain_a)}: the
same pictures after each epoch.</figcaption>
</figure>"""
