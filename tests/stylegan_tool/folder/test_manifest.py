import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylegan_tool.errors import OutputError
from stylegan_tool.folder.manifest import FileState, Manifest, Record
from stylegan_tool.hashes import hash_bytes, hash_file


def write(path: Path, content: bytes) -> FileState:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return FileState(len(content), path.stat().st_mtime_ns, hash_bytes(content))


def make_record(folder: Path, output: str = "x.jpg", content: bytes = b"result") -> Record:
    before = write(folder.parent / "in" / output, b"source of " + output.encode())
    return Record(output, f"../in/{output}", "m", before, write(folder / output, content), (4, 3))


names = st.text(st.characters(codec=None), min_size=1)  # lone surrogates too: names that are no Unicode
# What a file below a folder can be called: bytes that are no UTF-8 come as surrogates of their own.
outputs = (
    st.binary(min_size=1)
    .map(os.fsdecode)
    .filter(lambda name: "\0" not in name and not name.startswith("/") and ".." not in name.split("/"))
)
states = st.builds(FileState, st.integers(0, 2**63), st.integers(-(2**63), 2**63), st.text("0123456789abcdef"))


@given(st.builds(Record, outputs, names, st.text(), states, states, st.tuples(st.integers(1), st.integers(1))))
def test_a_record_survives_its_line(record: Record) -> None:
    line = record.to_line()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert Record.from_line(line) == record


@given(st.binary() | st.from_type(dict[str, int]).map(lambda values: json.dumps(values).encode()))
def test_any_other_line_is_no_record(line: bytes) -> None:
    assert Record.from_line(line) is None


def test_what_is_added_is_found_by_the_next_run(tmp_path: Path) -> None:
    record = make_record(tmp_path / "out")
    with Manifest(tmp_path / "out") as manifest:
        manifest.add(record, {"model": "abc"}, {"style": "vangogh"})
        assert manifest.find("x.jpg", tmp_path / "out" / "x.jpg") == record
    again = Manifest(tmp_path / "out")
    assert again.find("x.jpg", tmp_path / "out" / "x.jpg") == record
    assert again.find("y.jpg", tmp_path / "out" / "x.jpg") is None
    assert again.outputs() == ["x.jpg"]
    assert again.newest("x.jpg") == record
    assert again.explain("m") == {"model": "abc", "about": {"style": "vangogh"}}
    assert again.explain("n") == {}


def test_what_a_record_was_made_with_is_written_once(tmp_path: Path) -> None:
    for name in ("x.jpg", "y.jpg"):
        with Manifest(tmp_path / "out") as manifest:
            manifest.add(make_record(tmp_path / "out", name), {"model": "abc"})
            manifest.add(make_record(tmp_path / "out", "z" + name), {"model": "abc"})
    lines = [json.loads(line) for line in manifest.path.read_text().splitlines()]
    assert [line for line in lines if "means" in line] == [{"made_with": "m", "means": {"model": "abc"}}]
    assert len(lines) == 5


def test_no_folder_is_made_before_there_is_something_to_write(tmp_path: Path) -> None:
    with Manifest(tmp_path / "out") as manifest:
        assert manifest.find("x.jpg", tmp_path / "out" / "x.jpg") is None
    assert not (tmp_path / "out").exists()


def test_a_copied_result_is_known_by_its_content(tmp_path: Path) -> None:
    record = make_record(tmp_path / "out")
    with Manifest(tmp_path / "out") as manifest:
        manifest.add(record)
        os.utime(tmp_path / "out" / "x.jpg", ns=(1, 1))
        assert manifest.find("x.jpg", tmp_path / "out" / "x.jpg") == record


@pytest.mark.parametrize("content", [b"RESULT", b"longer than before", b""], ids=["as long", "longer", "empty"])
def test_a_modified_result_is_no_longer_ours(tmp_path: Path, content: bytes) -> None:
    record = make_record(tmp_path / "out")
    with Manifest(tmp_path / "out") as manifest:
        manifest.add(record)
        (tmp_path / "out" / "x.jpg").write_bytes(content)
        os.utime(tmp_path / "out" / "x.jpg", ns=(2, 2))
        assert manifest.find("x.jpg", tmp_path / "out" / "x.jpg") is None


def test_a_result_that_was_to_be_replaced_is_still_ours(tmp_path: Path) -> None:
    record = make_record(tmp_path / "out")
    with Manifest(tmp_path / "out") as manifest:
        manifest.add(record)
        manifest.add(replace(record, made_with="n", output_file=FileState(9, 9, "9")))  # killed before the renaming
    assert Manifest(tmp_path / "out").find("x.jpg", tmp_path / "out" / "x.jpg") == record


def test_a_torn_last_line_costs_only_itself(tmp_path: Path) -> None:
    record, other = make_record(tmp_path / "out"), make_record(tmp_path / "out", "y.jpg")
    with Manifest(tmp_path / "out") as manifest:
        manifest.add(record)
        manifest.add(other)
    whole = manifest.path.read_bytes()
    first = whole.index(b"\n") + 1
    for end in range(first, len(whole)):
        manifest.path.write_bytes(whole[:end])
        with Manifest(tmp_path / "out") as torn:
            assert torn.find("x.jpg", tmp_path / "out" / "x.jpg") == record
            assert torn.find("y.jpg", tmp_path / "out" / "y.jpg") is None
            torn.add(other)
        both = Manifest(tmp_path / "out")
        assert both.find("x.jpg", tmp_path / "out" / "x.jpg") == record
        assert both.find("y.jpg", tmp_path / "out" / "y.jpg") == other


def test_what_another_run_appends_is_taken_in(tmp_path: Path) -> None:
    record = make_record(tmp_path / "out")
    with Manifest(tmp_path / "out") as one, Manifest(tmp_path / "out") as other:
        other.add(record)
        one.refresh()
        assert one.find("x.jpg", tmp_path / "out" / "x.jpg") == record


def test_shards_read_each_others_manifests(tmp_path: Path) -> None:
    record, other = make_record(tmp_path / "out"), make_record(tmp_path / "out", "y.jpg")
    for part, one in (("1of2", record), ("2of2", other)):
        with Manifest(tmp_path / "out", part) as manifest:
            manifest.add(one)
    assert sorted(path.name for path in (tmp_path / "out").glob(".sgt*")) == [
        ".sgt-manifest-1of2.jsonl",
        ".sgt-manifest-2of2.jsonl",
    ]
    for part in ("", "1of2", "2of2"):
        read = Manifest(tmp_path / "out", part)
        assert read.find("x.jpg", tmp_path / "out" / "x.jpg") == record
        assert read.find("y.jpg", tmp_path / "out" / "y.jpg") == other


def test_two_processes_lose_no_line(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom stylegan_tool.folder.manifest import FileState, Manifest, Record\n"
        "with Manifest(Path(sys.argv[1])) as manifest:\n"
        "    state = FileState(1, 1, 'a')\n"
        "    for i in range(300):\n"
        "        manifest.add(Record(f'{sys.argv[2]}{i}', 'x' * 300, 'm', state, state, (1, 1)))\n"
    )
    (tmp_path / "out").mkdir()
    runs = [subprocess.Popen([sys.executable, "-c", code, tmp_path / "out", name]) for name in "ab"]
    assert [run.wait() for run in runs] == [0, 0]
    lines = (tmp_path / "out" / ".sgt-manifest.jsonl").read_bytes().splitlines()
    records = [Record.from_line(line) for line in lines]
    assert sorted(one.output for one in records if one) == sorted(f"{name}{i}" for name in "ab" for i in range(300))


def test_a_manifest_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    record = make_record(tmp_path / "out")
    with pytest.raises(OutputError, match=r"cannot (read|write) .*manifest"):
        Manifest(tmp_path / "file").add(record)


def test_hashes_of_files_and_of_bytes_agree(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert hash_file(tmp_path / "x") == hash_bytes(b"abc") == "cf4ab791c62b8d2b2109c90275287816"


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"[" * 100_000, id="brackets without end"),
        pytest.param(
            b'{"output": "a", "input": "b", "made_with": "m", "input_file": [1e999, 1, "h"], "output_file": '
            b'[1, 1, "h"], "size": [1, 1]}',
            id="an infinite size",
        ),
        *(
            pytest.param(
                json.dumps(
                    {
                        "output": name,
                        "input": "b",
                        "made_with": "m",
                        "input_file": [1, 1, "h"],
                        "output_file": [1, 1, "h"],
                        "size": [1, 1],
                    }
                ).encode(),
                id=repr(name),
            )
            for name in ("a\0b", "\ud800", "/etc/passwd", "../b", 3)
        ),
    ],
)
def test_a_line_that_is_not_ours_is_none(tmp_path: Path, line: bytes) -> None:
    (tmp_path / ".sgt-manifest.jsonl").write_bytes(line + b"\n")
    with Manifest(tmp_path) as manifest:
        assert manifest.outputs() == []
