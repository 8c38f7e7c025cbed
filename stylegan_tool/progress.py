"""What a person sees while work goes on: the only file that imports rich.

Everything goes to stderr, so that stdout holds results alone; a bar shows itself only on a terminal.
"""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.progress import Task as RichTask
from rich.text import Text

from stylegan_tool.errors import visible

_console = Console(stderr=True, highlight=False, emoji=False)


def say(line: str) -> None:
    """Print one line to stderr, above the bar where there is one; see errors.visible."""
    _console.print(visible(line), markup=False, soft_wrap=True)


class _RateColumn(ProgressColumn):
    """How many units a second, over the last seconds."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: RichTask) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.3g} {self.unit}/s" if speed else f"- {self.unit}/s")


class Progress:
    """A bar with count, units a second and time left; nothing at all where stderr is no terminal.

    Args:
        total: units of work, or None if that is not known.
        unit: what is counted, in the plural: 'frames'.
        done: units done before (a resumed run).
        shown: False hides it (of several processes one shows it).
    """

    def __init__(self, label: str, total: int | None, unit: str, *, done: int = 0, shown: bool = True) -> None:
        self._rich = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            _RateColumn(unit),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[note]}"),
            console=_console,
            disable=not (shown and _console.is_terminal),
            transient=True,
            speed_estimate_period=300,  # pictures may take a minute each
        )
        self._task = self._rich.add_task(label, total=total, completed=done, note="")

    def __enter__(self) -> "Progress":
        self._rich.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rich.stop()

    def set_total(self, total: int | None) -> None:
        """Say how much work there is, where that is found out late."""
        self._rich.update(self._task, total=total)

    def set_done(self, units: int) -> None:
        """Say how much was done before, where that is found out late."""
        self._rich.reset(self._task, completed=units)

    def advance(self, units: int = 1, *, note: str = "") -> None:
        """Count `units` as done and show `note` at the end of the line."""
        self._rich.update(self._task, advance=units, note=note)


def format_duration(seconds: float) -> str:
    """Return '48 s', '12 min' or '3 h 20 min'."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def format_bytes(size: int) -> str:
    """Return '740 MB' or '5.2 GB' (powers of 1024, as --memory reads them)."""
    return f"{size / 2**30:.1f} GB" if size >= 2**30 else f"{size / 2**20:.0f} MB"
