"""`sgt models fetch` against a server that does what servers do."""

import hashlib
import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from stylegan_tool import cli, download
from stylegan_tool.__main__ import main
from stylegan_tool.download import Record, fetch, read_record
from stylegan_tool.errors import InputError, MissingError, ModelError
from stylegan_tool.installed import models_folder


def _checkpoint(seed: int = 0, size: int = 300_000) -> bytes:
    """What begins and ends as a checkpoint does: a zip, stored."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("data", hashlib.sha256(bytes([seed])).digest() * (size // 32))
    return file.getvalue()


class Server:
    """One file, and how it is sent: each request takes the next of `ways`, the last for ever."""

    def __init__(self) -> None:
        self.content = _checkpoint()
        self.ways: list[Callable[[Any, bytes], None]] = [send]
        self.etag = '"one"'
        self.asked: list[str] = []  # Range of each request
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.headers.get("Range", ""))
                way = server.ways.pop(0) if len(server.ways) > 1 else server.ways[0]
                way(self, server.content)

            def log_message(self, *args: Any) -> None:
                pass

            etag = property(lambda handler: server.etag)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/style_vangogh.pth"


def send(handler: Any, content: bytes, *, until: int | None = None, length: int | None = None) -> None:
    """Send the file as a good server does, ranges too; `until` breaks off, `length` lies."""
    begin = 0
    asked = handler.headers.get("Range", "")
    if asked and handler.headers.get("If-Range") == handler.etag:
        begin = int(asked.removeprefix("bytes=").rstrip("-"))
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
    else:
        handler.send_response(200)
    handler.send_header("ETag", handler.etag)
    handler.send_header("Content-Length", str(length if length is not None else len(content) - begin))
    handler.end_headers()
    handler.wfile.write(content[begin:until])


def break_off(at: int) -> Callable[[Any, bytes], None]:
    return lambda handler, content: send(handler, content, until=at)


def answer(status: int) -> Callable[[Any, bytes], None]:
    return lambda handler, content: handler.send_error(status)


def without_ranges(handler: Any, content: bytes) -> None:
    handler.send_response(200)
    handler.send_header("ETag", handler.etag)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def web_page(handler: Any, content: bytes) -> None:
    page = b"<!DOCTYPE html><html>Sign in to the hotel's network</html>"
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(page)))
    handler.end_headers()
    handler.wfile.write(page)


def elsewhere(handler: Any, content: bytes) -> None:
    handler.send_response(302)
    handler.send_header("Location", "/other")
    handler.end_headers()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "PAUSE_S", 0.0)
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "fetched" / "style_vangogh.pth"


def _left(target: Path) -> set[str]:
    return {path.name for path in target.parent.iterdir()}


def test_a_file_comes_whole_and_is_written_down(server: Server, target: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    record = fetch(server.url, target, advance=lambda here, total: seen.append((here, total)))
    assert target.read_bytes() == server.content
    assert record == Record(server.url, len(server.content), hashlib.sha256(server.content).hexdigest())
    assert read_record(target) == record
    assert seen[-1] == (len(server.content), len(server.content))
    assert _left(target) == {target.name, f"{target.name}.json"}


def test_what_is_there_is_not_fetched_again(server: Server, target: Path) -> None:
    assert fetch(server.url, target) == fetch(server.url, target)
    assert len(server.asked) == 1


def test_broken_connections_go_on_where_they_stopped(server: Server, target: Path) -> None:
    server.ways = [break_off(1000), break_off(70_000), break_off(200_000), send]
    fetch(server.url, target)
    assert target.read_bytes() == server.content
    assert server.asked == ["", "bytes=1000-", "bytes=70000-", "bytes=200000-"]


def test_a_given_up_fetch_goes_on_when_it_is_typed_again(server: Server, target: Path) -> None:
    server.ways = [break_off(1000), break_off(1000)]
    with pytest.raises(MissingError, match="1000 bytes are kept") as caught:
        fetch(server.url, target)
    assert "type the same command" in caught.value.hint
    assert not target.exists()
    server.ways, server.asked = [send], []
    fetch(server.url, target)
    assert target.read_bytes() == server.content
    assert server.asked == ["bytes=1000-"]


def test_a_file_that_changed_in_between_begins_anew(server: Server, target: Path) -> None:
    def change(handler: Any, content: bytes) -> None:
        server.content, server.etag = _checkpoint(1), '"two"'
        send(handler, server.content)

    server.ways = [break_off(1000), change]
    fetch(server.url, target)
    assert target.read_bytes() == _checkpoint(1)


def test_a_server_without_ranges_begins_anew(server: Server, target: Path) -> None:
    server.ways = [break_off(1000), without_ranges]
    fetch(server.url, target)
    assert target.read_bytes() == server.content


@pytest.mark.parametrize("length", [400_000, 299_000], ids=["too long", "too short"])
def test_a_lie_about_the_length(server: Server, target: Path, length: int) -> None:
    server.ways = [lambda handler, content: send(handler, content[:300_050], length=length)]
    with pytest.raises(MissingError, match=r"bytes came|bytes are kept|ends too early"):
        fetch(server.url, target)
    assert not target.exists()
    assert read_record(target) is None


@pytest.mark.parametrize(
    ("way", "message"),
    [
        pytest.param(web_page, "a web page, and no checkpoint", id="web page"),
        pytest.param(answer(404), "answers 404", id="not there"),
        pytest.param(answer(503), "could not be fetched", id="busy"),
        pytest.param(
            lambda handler, content: send(handler, b"no checkpoint", length=13), "no checkpoint", id="something else"
        ),
    ],
)
def test_what_servers_send_instead(
    server: Server, target: Path, way: Callable[[Any, bytes], None], message: str
) -> None:
    server.ways = [way]
    with pytest.raises(MissingError, match=message) as caught:
        fetch(server.url, target)
    assert "--source" in caught.value.hint
    assert _left(target) == set()


def test_a_busy_server_is_asked_again(server: Server, target: Path) -> None:
    server.ways = [answer(503), answer(503), send]
    fetch(server.url, target)
    assert target.read_bytes() == server.content


def test_redirects_are_followed(server: Server, target: Path) -> None:
    server.ways = [elsewhere, send]
    fetch(server.url, target)
    assert target.read_bytes() == server.content


def test_nobody_answers(server: Server, target: Path) -> None:
    url = server.url
    server.http.server_close()
    with pytest.raises(MissingError, match="could not be fetched"):
        fetch(url.replace(url.split(":")[2].split("/")[0], "9"), target)


def test_another_file_than_the_first_is_refused(server: Server, target: Path) -> None:
    first = fetch(server.url, target)
    target.unlink()
    server.content = _checkpoint(1)
    with pytest.raises(InputError, match="another file than the one that came first") as caught:
        fetch(server.url, target)
    assert "--overwrite" in caught.value.hint
    assert read_record(target) == first
    assert not target.exists()
    assert fetch(server.url, target, renew=True).sha256 == hashlib.sha256(server.content).hexdigest()


def test_a_damaged_file_is_fetched_again(server: Server, target: Path) -> None:
    fetch(server.url, target)
    target.write_bytes(b"damaged")
    fetch(server.url, target)
    assert target.read_bytes() == server.content


def test_a_local_file_is_copied(tmp_path: Path, target: Path) -> None:
    source = tmp_path / "mine.pth"
    source.write_bytes(_checkpoint())
    fetch(str(source), target)
    assert target.read_bytes() == source.read_bytes()
    with pytest.raises(InputError, match=r"absent\.pth"):
        fetch("absent.pth", tmp_path / "other.pth")


# The command -----------------------------------------------------------------------------------------------


def test_names_are_listed_and_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "fetch"]) == 0
    assert "style_ukiyoe" in capsys.readouterr().out
    assert main(["models", "fetch", "style_picasso"]) == 2
    assert "style_cezanne" in capsys.readouterr().err


def test_without_torch_the_file_is_kept(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(cli.COMMANDS, "import", cli.LazyCommand("nothing:here", "", ("no_such_package",)))
    assert main(["models", "fetch", "style_vangogh", "--source", server.url]) == 7
    shown = capsys.readouterr().err
    assert "is fetched and checked" in shown
    assert "pip install 'stylegan-tool[train]'" in shown
    assert "sgt models fetch style_vangogh" in shown
    assert (models_folder() / ".fetched" / "style_vangogh.pth").read_bytes() == server.content


def _import_by(monkeypatch: pytest.MonkeyPatch, function: Callable[..., None]) -> None:
    load = cli.load_target
    monkeypatch.setattr(cli, "load_target", lambda name: function if name == "import" else load(name))


def test_the_file_is_imported_under_its_name(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    imported: list[Any] = []

    def import_(files: list[Path], **options: Any) -> None:
        imported.append(([path.read_bytes() for path in files], options))

    _import_by(monkeypatch, import_)
    assert main(["models", "fetch", "style_vangogh", "--source", server.url]) == 0
    assert imported == [([server.content], {"name": "style_vangogh", "overwrite": False})]


def test_an_unfit_file_is_not_what_later_ones_are_compared_with(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(files: list[Path], **options: Any) -> None:
        raise ModelError("no generator", hint="")

    _import_by(monkeypatch, refuse)
    assert main(["models", "fetch", "style_vangogh", "--source", server.url]) == 4
    assert read_record(models_folder() / ".fetched" / "style_vangogh.pth") is None
