"""Fetches a file over HTTP, or copies one: whole and known to be the same as ever, or not at all.

What has arrived is kept beside the place as a .part, and a later try goes on from there if the server still has the
same file. The first time that a file is taken its size and SHA-256 are written down; from then on anything else is
refused.
"""

import hashlib
import http.client
import json
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stylegan_tool.errors import InputError, MissingError, OutputError, SgtError, what_to_do

TRIES = 5  # without a single new byte
PAUSE_S = 1.0  # before the second try; doubled each time
_TIMEOUT_S = 30
_BLOCK = 1 << 18
Advance = Callable[[int, int | None], None]  # bytes here, bytes in all


@dataclass(frozen=True)
class Record:
    """What was fetched first."""

    source: str
    size: int
    sha256: str


class _BrokenOffError(Exception):
    """The connection ended early; what came is kept."""


def fetch(source: str, target: Path, *, renew: bool = False, advance: Advance = lambda here, total: None) -> Record:
    """Bring `source` (an http address or a file) to `target`, unless it is there, and return what it is.

    Args:
        renew: take what comes now, though another file came first.
        advance: called as bytes arrive.

    Raises:
        MissingError: the network or the server failed, or what it sends is no such file.
        InputError: a local `source` cannot be read, or another file came before.
        OutputError: it cannot be written.
    """
    known = None if renew else read_record(target)
    if target.is_file() and known is not None and _measure(target, known.source) == known:
        return known
    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.startswith(("http://", "https://")):
            _download(source, part, advance)
        else:
            _copy(Path(source), part)
        _check_content(part, source)
        record = _measure(part, source)
        if known is not None and (record.size, record.sha256) != (known.size, known.sha256):
            raise InputError(
                f"{source} is another file than the one that came first from {known.source}: {record.size} bytes whose "
                f"SHA-256 begins with {record.sha256[:16]}, before {known.size} bytes and {known.sha256[:16]}",
                hint="Somebody changed it, or it is damaged. If you trust the new one, type the same with --overwrite",
            )
        part.replace(target)
        _record_path(target).write_text(json.dumps(asdict(record), indent=1), encoding="utf-8")
    except (InputError, MissingError) as error:
        if not isinstance(error, _KeptError):
            _forget(part)
        raise
    except OSError as error:
        raise OutputError(
            f"cannot write {target}: {error.strerror or error}", hint=what_to_do(error.errno, target.parent)
        ) from error
    _forget(part)
    return record


def read_record(target: Path) -> Record | None:
    """Return what came first, or None if nothing did."""
    try:
        return Record(**json.loads(_record_path(target).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def discard(target: Path) -> None:
    """Forget a file that turned out to be unfit, and that it ever came."""
    target.unlink(missing_ok=True)
    _record_path(target).unlink(missing_ok=True)


def _record_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.json")


def _state_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _forget(part: Path) -> None:
    with suppress(OSError):
        part.unlink(missing_ok=True)
        _state_path(part).unlink(missing_ok=True)


def _measure(path: Path, source: str) -> Record:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Record(source, path.stat().st_size, digest)


def _copy(source: Path, part: Path) -> None:
    try:
        content = source.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read {source}: {error.strerror or error}",
            hint="Name a file that you have, or an http address: --source URL",
        ) from error
    part.write_bytes(content)


def _check_content(part: Path, source: str) -> None:
    """Refuse what is no checkpoint, or a zip without its end."""
    with part.open("rb") as file:
        begin = file.read(64)
    if begin.lstrip()[:1] == b"<":
        raise MissingError(f"{source} sent a web page, and no checkpoint", hint=_MIRROR)
    if not begin.startswith((b"PK", b"\x80")):
        raise MissingError(f"{source} sent no checkpoint: it begins with {begin[:12]!r}", hint=_MIRROR)
    if begin.startswith(b"PK") and not zipfile.is_zipfile(part):
        raise MissingError(f"{source} sent a checkpoint that ends too early", hint=_MIRROR)


_MIRROR = "Open the address in a browser; what you download there by hand is taken by --source FILE"


class _KeptError(MissingError):
    """The fetch failed, and what has arrived is kept for the next."""


def _download(url: str, part: Path, advance: Advance) -> None:
    failures = 0
    while True:
        before = part.stat().st_size if part.is_file() else 0
        try:
            _receive(url, part, advance)
            return
        except (
            _BrokenOffError,
            TimeoutError,
            ConnectionError,
            urllib.error.URLError,
            http.client.HTTPException,
        ) as error:
            status = 0
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it holds the connection
                status = error.code
                if status < 500 and status not in (408, 416, 429):
                    raise MissingError(f"{url}: the server answers {status} {error.reason}", hint=_MIRROR) from error
            if status == 416:  # the file is no longer as long as what has arrived
                _forget(part)
            grown = part.is_file() and part.stat().st_size > before
            failures = 0 if grown else failures + 1
            if failures == TRIES:
                raise _gave_up(url, part, error) from error
            time.sleep(PAUSE_S * 2 ** max(failures - 1, 0))


def _gave_up(url: str, part: Path, error: Exception) -> SgtError:
    here = part.stat().st_size if part.is_file() else 0
    reason = getattr(error, "reason", None) or str(error) or type(error).__name__
    kept = f"; {here} bytes are kept" if here else ""
    return _KeptError(
        f"{url} could not be fetched ({reason}){kept}",
        hint="Check the network, and type the same command to go on where it was; or name another place: --source URL",
    )


def _receive(url: str, part: Path, advance: Advance) -> None:
    """Receive what is still missing.

    Raises:
        _BrokenOffError: fewer bytes came than were announced.
    """
    state = _read_state(part)
    start = part.stat().st_size if state.get("url") == url and part.is_file() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "stylegan-tool", "Accept-Encoding": "identity"})
    if start:
        request.add_header("Range", f"bytes={start}-")
        request.add_header("If-Range", state["validator"])
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
        begin, total = _extent(response, start)
        validator = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        if validator and not validator.startswith("W/"):  # a weak one does not promise the same bytes
            _state_path(part).write_text(json.dumps({"url": url, "validator": validator}), encoding="utf-8")
        else:
            _state_path(part).unlink(missing_ok=True)
        with part.open("r+b" if begin else "wb") as file:
            file.seek(begin)
            here = begin
            while block := response.read(_BLOCK):
                file.write(block)
                here += len(block)
                advance(here, total)
            file.truncate()
    if total is not None and here != total:
        raise _BrokenOffError(f"{here} of {total} bytes came")


def _read_state(part: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads(_state_path(part).read_text(encoding="utf-8"))
        return state if isinstance(state, dict) and {"url", "validator"} <= state.keys() else {}
    except (OSError, ValueError):
        return {}


def _extent(response: Any, start: int) -> tuple[int, int | None]:
    """Return at which byte the answer begins, and how long the file is, if that is said."""
    if response.status == 206:
        first, _, rest = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")
        total = rest.rpartition("/")[2]
        if first == str(start) and total.isdecimal():
            return start, int(total)
        raise _BrokenOffError("the server answers with another range than was asked for")
    length = response.headers.get("Content-Length")
    return 0, int(length) if length is not None and length.isdecimal() else None
