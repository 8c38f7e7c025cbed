"""What a worker on another machine is told: the model itself, how to open it, and where pictures are shared."""

import platform
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import platformdirs
import psutil

from stylegan_tool import __version__
from stylegan_tool.errors import InputError, MissingError, OutputError, what_to_do
from stylegan_tool.hashes import hash_bytes
from stylegan_tool.interface import parse_inputs
from stylegan_tool.options import TileOption, TileStatistics
from stylegan_tool.providers import OPENVINO
from stylegan_tool.session import Session
from stylegan_tool.stylize import Stylizer
from stylegan_tool.whole_files import write_whole


@dataclass(frozen=True)
class Parcel:
    """A model and how to run it.

    Attributes:
        name: of the model's file.
        content: of that file, so that it need not lie in a shared folder.
        provider, require_gpu, inputs: see Session.
        tile, statistics, memory_bytes: see Stylizer.
        workers_beside: on one machine, who have to share its memory.
        ran_on: the provider that the first worker's session has opened on; others must agree.
        version: of the tool that sends it.
    """

    name: str
    content: bytes = field(repr=False)
    provider: str
    require_gpu: bool
    inputs: Mapping[str, str]
    tile: TileOption
    statistics: TileStatistics
    memory_bytes: int | None
    workers_beside: int = 1
    ran_on: str = ""
    version: str = __version__

    @classmethod
    def pack(cls, stylizer: Stylizer, *, provider: str, require_gpu: bool, inputs: Sequence[str]) -> "Parcel":
        """Return the model that is open here, to be run elsewhere.

        Args:
            provider, require_gpu: as asked for, of the workers.
            inputs: values of inputs beside the picture, NAME=VALUE.
        """
        path = stylizer.session.path
        return cls(
            path.name,
            path.read_bytes(),
            provider,
            require_gpu,
            parse_inputs(inputs),
            stylizer.tile,
            stylizer.statistics,
            stylizer.asked_bytes,
        )

    @property
    def wants_gpu(self) -> bool:
        """Whether it is to run on GPUs where there are any."""
        return self.provider not in ("cpu", OPENVINO)

    def check(self) -> None:
        """Refuse what another version of the tool sends: results would not be those of one machine.

        Raises:
            MissingError: it is another one.
        """
        if self.version != __version__:
            raise MissingError(
                f"{platform.node()} has stylegan-tool {__version__}, where this is {self.version}",
                hint=f"Install the same on all machines: pip install stylegan-tool=={self.version}",
            )

    def open(self, note: Callable[[str], None]) -> Stylizer:
        """Open the model here.

        Args:
            note: see Stylizer.

        Raises:
            ModelError, MissingError: see Session; or it runs elsewhere than on the other machines.
        """
        # Kept, for a worker has no last moment to clear up in: Ray kills it. Under its hash, so that it is there once.
        cache = platformdirs.user_cache_path("stylegan-tool", appauthor=False) / "sent"
        path = cache / hash_bytes(self.content) / self.name
        write_whole(path, self.content, overwrite=True)
        session = Session(path, provider=self.provider, require_gpu=self.require_gpu, inputs=self.inputs)
        if self.ran_on and session.provider != self.ran_on:
            raise MissingError(
                f"{platform.node()} runs the model on {session.label}, other machines on {self.ran_on}",
                hint="`sgt doctor` there shows what it has. Name what all of them have: --provider cpu",
            )
        return Stylizer(
            session, self.tile, statistics=self.statistics, memory_bytes=self.memory_bytes or self._share(), note=note
        )

    def _share(self) -> int:
        """Return this worker's share of half of what is free, in bytes."""
        return psutil.virtual_memory().available // (2 * self.workers_beside)


@dataclass(frozen=True)
class Shared:
    """A folder that all machines are to see at the same path, and what is read.

    Attributes:
        source: file, folder, or pattern of numbered pictures.
        mark: a file in the folder of results, which only who shares it can see.
    """

    source: Path
    mark: Path

    def check(self) -> None:
        """Raise InputError or OutputError if this machine does not see them."""
        hint = "Put both in a folder that all machines of the cluster have at the same path."
        source = self.source.parent if "%" in self.source.name else self.source
        if not source.exists():
            raise InputError(f"{source} is not there on {platform.node()}", hint=hint)
        if not self.mark.exists():
            raise OutputError(f"{self.mark.parent} is another folder on {platform.node()}", hint=hint)


@contextmanager
def shared(source: Path, folder: Path) -> Iterator[Shared]:
    """Mark `folder` (made if it is missing) while work goes on.

    Raises:
        OutputError: it cannot be written to.
    """
    mark = folder.absolute() / f".sgt-{uuid.uuid4().hex[:12]}.shared"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError as error:
        raise OutputError(
            f"cannot write in {folder}: {error.strerror or error}", hint=what_to_do(error.errno, folder)
        ) from error
    try:
        yield Shared(source.absolute(), mark)
    finally:
        with suppress(OSError):
            mark.unlink()


@dataclass(frozen=True)
class Found:
    """What the first worker found when it opened the model."""

    provider: str
    label: str
    note: str
    memory_bytes: int


def try_out(parcel: Parcel, share: Shared) -> Found:
    """Open the model and look at the folders on the machine that this runs on.

    Raises:
        SgtError: whatever a worker would raise.
    """
    parcel.check()
    share.check()
    stylizer = parcel.open(note=lambda line: None)
    session = stylizer.session
    return Found(session.provider, session.label, session.note, stylizer.limit_memory(parcel.memory_bytes or None))


def agreed(parcel: Parcel, found: Found) -> Parcel:
    """Return the parcel for all workers after the first one has opened it."""
    return replace(parcel, ran_on=found.provider)
