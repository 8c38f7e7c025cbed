from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from stylegan_tool.errors import MissingError, OutputError, UsageError
from stylegan_tool.film import encoders
from stylegan_tool.film import encoding as encoding_module
from stylegan_tool.film.encoders import list_encoders
from stylegan_tool.film.encoding import CODECS, choose_encoding
from stylegan_tool.film.facts import Facts, Light, light_of
from stylegan_tool.film.plan import FULL, Colours

FILMS = Path(__file__).parents[3].parent / "shared/data/videos"
FACTS = Facts(640, 360, Fraction(25), Fraction(1, 1000), Colours(1, 1, 1, 1))
HLG = Colours(9, 1, 9, 18)


def choose(name: str, codec: str | None = None, **facts: Any) -> tuple[str, str, tuple[str, ...]]:
    encoding, notes = choose_encoding(replace(FACTS, **facts), Path(name), codec=codec)
    return encoding.encoder, encoding.pixel_format, notes


@pytest.mark.parametrize(
    ("name", "facts", "encoder", "pixel_format", "noted"),
    [
        pytest.param("a.mp4", {}, "libx264", "yuv420p", "", id="mp4"),
        pytest.param("a.M4V", {}, "libx264", "yuv420p", "", id="m4v"),
        pytest.param("a.mov", {}, "libx264", "yuv420p", "", id="mov"),
        pytest.param("a.mkv", {}, "libx264", "yuv420p", "", id="mkv"),
        pytest.param("a.webm", {}, "libvpx-vp9", "yuv420p", "", id="webm"),
        pytest.param("a.gif", {}, "ffv1", "bgr0", "", id="gif"),
        pytest.param("a/%05d.png", {}, "ffv1", "bgr0", "", id="pictures"),
        pytest.param("a.mp4", {"bits": 10}, "libx265", "yuv420p10le", "", id="10 bits"),
        pytest.param("a.mov", {"bits": 12}, "libx265", "yuv420p10le", "12 bits", id="12 bits"),
        pytest.param("a.webm", {"bits": 10}, "libsvtav1", "yuv420p10le", "", id="10 bits in webm"),
        pytest.param("a.gif", {"bits": 10}, "ffv1", "bgr0", "become 8", id="10 bits in gif"),
        pytest.param("a/%05d.png", {"bits": 10}, "ffv1", "gbrp16le", "", id="10 bits in png"),
        pytest.param("a/%05d.jpg", {"bits": 10}, "ffv1", "bgr0", "become 8", id="10 bits in jpeg"),
        pytest.param("a.mp4", {"bits": 10, "colours": HLG}, "libx265", "yuv420p10le", "HDR (HLG) is kept", id="HDR"),
        pytest.param(
            "a.webm", {"bits": 10, "colours": HLG}, "libsvtav1", "yuv420p10le", "(HLG) is kept", id="HDR in webm"
        ),
        pytest.param("a.mov", {"has_alpha": True}, "prores_ks", "yuva444p10le", "", id="alpha in mov"),
        pytest.param("a.webm", {"has_alpha": True}, "libvpx-vp9", "yuva420p", "", id="alpha in webm"),
        pytest.param("a.mkv", {"has_alpha": True}, "ffv1", "bgra", "", id="alpha in mkv"),
        pytest.param("a.mkv", {"has_alpha": True, "bits": 10}, "ffv1", "gbrap10le", "", id="deep alpha in mkv"),
        pytest.param("a.mp4", {"has_alpha": True}, "libx264", "yuv420p", "kept in .mov", id="alpha in mp4"),
        pytest.param("a.gif", {"has_alpha": True}, "ffv1", "bgra", "", id="alpha in gif"),
        pytest.param("a/%d.png", {"has_alpha": True, "bits": 16}, "ffv1", "gbrap16le", "", id="deep alpha in png"),
        pytest.param("a/%d.jpg", {"has_alpha": True}, "ffv1", "bgr0", "in .png", id="alpha in jpeg"),
        pytest.param("a.mkv", {"pixel_shape": Fraction(4, 3)}, "libx264", "yuv420p", "", id="pixel shape"),
        pytest.param("a.gif", {"pixel_shape": Fraction(4, 3)}, "ffv1", "bgr0", "stretched", id="pixel shape in gif"),
    ],
)
def test_the_suffix_and_the_film_choose(
    name: str, facts: dict[str, Any], encoder: str, pixel_format: str, noted: str
) -> None:
    chosen = choose(name, **facts)
    assert chosen[:2] == (encoder, pixel_format)
    assert any(noted in note for note in chosen[2]) if noted else chosen[2] == ()


GOOD = {
    ".mp4": {"h264", "hevc", "av1", "vp9"},
    ".m4v": {"h264", "hevc", "av1", "vp9"},
    ".mov": {"h264", "hevc", "prores"},
    ".mkv": set(CODECS),
    ".webm": {"vp9", "av1"},
}


@pytest.mark.parametrize("suffix", GOOD)
@pytest.mark.parametrize("codec", CODECS)
def test_codecs_go_where_they_play_and_the_refusal_says_where(suffix: str, codec: str) -> None:
    if codec in GOOD[suffix]:
        choose(f"a{suffix}", codec)
        return
    with pytest.raises(OutputError, match="does not play") as caught:
        choose(f"a{suffix}", codec)
    assert all(name in caught.value.hint for name in GOOD[suffix])
    assert all(other in caught.value.hint for other in GOOD if codec in GOOD[other])


@pytest.mark.parametrize("name", ["a.avi", "a", "a/%05d.xyz"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(OutputError, match="can be written") as caught:
        choose(name)
    assert ".png" in caught.value.hint


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "h264"), ("a.webm", "vp9")])
def test_hdr_is_never_written_in_8_bits(name: str, codec: str) -> None:
    with pytest.raises(OutputError, match="HLG") as caught:
        choose(name, codec, bits=10, colours=HLG)
    assert "av1" in caught.value.hint
    assert choose("a.webm", bits=10, colours=HLG, has_alpha=True)[0] == "libsvtav1"
    with pytest.raises(OutputError, match="HLG"):
        choose("a.gif", bits=10, colours=HLG)


def test_fewer_bits_because_the_codec_was_asked_for_are_a_note() -> None:
    encoder, pixel_format, notes = choose("a.mp4", "h264", bits=10)
    assert (encoder, pixel_format) == ("libx264", "yuv420p")
    assert notes == ("the film has 10 bits a channel and is written with 8, as H.264 is here",)


@pytest.mark.parametrize(
    ("codec", "name", "padded"),
    [
        ("h264", "a.mp4", (162, 122)),
        ("hevc", "a.mp4", (162, 122)),
        ("prores", "a.mov", (162, 122)),
        ("vp9", "a.webm", (161, 121)),
        ("av1", "a.webm", (161, 121)),
        ("ffv1", "a.mkv", (161, 121)),
    ],
)
def test_odd_sizes(codec: str, name: str, padded: tuple[int, int]) -> None:
    encoding, notes = choose_encoding(replace(FACTS, width=161, height=121), Path(name), codec=codec)
    assert (encoding.width, encoding.height) == (161, 121)
    assert (encoding.padded_width, encoding.padded_height) == padded
    assert bool(notes) == (padded != (161, 121))
    if notes:
        assert notes[0].startswith("161x121: written as 162x122, the last column and row repeated:")


@pytest.mark.parametrize(("codec", "size"), [("av1", (17, 300)), ("hevc", (90, 8)), ("hevc", (48, 300))])
def test_what_is_too_small_for_an_encoder_is_refused(codec: str, size: tuple[int, int]) -> None:
    with pytest.raises(OutputError, match="too small"):
        choose("a.mp4", codec, width=size[0], height=size[1])


def test_prores_is_of_limited_range_and_lossless_of_full() -> None:
    full = replace(FACTS, colours=Colours(1, FULL, 1, 1))
    assert choose_encoding(full, Path("a.mov"), codec="prores")[0].colours.range == 1
    assert choose_encoding(full, Path("a.mp4"))[0].colours.range == FULL
    assert choose_encoding(FACTS, Path("a.gif"))[0].colours.range == FULL


@pytest.mark.parametrize(("codec", "name"), [("h264", "a.mp4"), ("hevc", "a.mp4"), ("av1", "a.mp4"), ("vp9", "a.webm")])
def test_more_quality_is_a_lower_crf(codec: str, name: str) -> None:
    values = [
        int(dict(choose_encoding(FACTS, Path(name), codec=codec, quality=quality)[0].options)["crf"])
        for quality in (1, 40, 60, 80, 90, 100)
    ]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == len(values)
    assert dict(choose_encoding(FACTS, Path(name), codec=codec)[0].options)["crf"] == str(values[3])


def test_prores_quality_is_a_profile() -> None:
    profiles = [
        dict(choose_encoding(FACTS, Path("a.mov"), codec="prores", quality=quality)[0].options)["profile"]
        for quality in (1, 40, 60, 80, 90, 100)
    ]
    assert profiles == ["0", "1", "2", "3", "4", "5"]


@pytest.mark.parametrize(
    ("name", "codec", "quality"),
    [("a.mkv", "ffv1", 50), ("a.gif", None, 50), ("a.gif", "h264", None), ("a.mp4", "h263", None), ("a.mp4", None, 0)],
)
def test_what_makes_no_sense_is_refused(name: str, codec: str | None, quality: int | None) -> None:
    with pytest.raises(UsageError) as caught:
        choose_encoding(FACTS, Path(name), codec=codec, quality=quality)
    assert caught.value.hint


@pytest.mark.parametrize(("name", "codec"), [("a.webm", "vp9"), ("a.mkv", "ffv1")])
def test_pixels_that_are_not_square_are_kept_or_refused(name: str, codec: str) -> None:
    with pytest.raises(OutputError, match="not square"):
        choose(name, codec, pixel_shape=Fraction(4, 3))
    assert choose_encoding(replace(FACTS, pixel_shape=Fraction(4, 3)), Path("a.mp4"))[0].pixel_shape == Fraction(4, 3)


def test_a_missing_encoder_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding_module, "has_encoder", lambda name: False)
    with pytest.raises(MissingError, match="libx264"):
        choose("a.mp4")


def test_hardware_where_it_works_and_software_where_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "_opens", lambda name, pixel_format: (name, pixel_format) == ("hevc_qsv", "p010le"))
    deep = replace(FACTS, bits=10)
    encoding, notes = choose_encoding(deep, Path("a.mp4"), hardware=True)
    assert (encoding.encoder, encoding.pixel_format, encoding.is_deep) == ("hevc_qsv", "p010le", True)
    assert any("hevc_qsv" in note for note in notes)
    encoding, notes = choose_encoding(FACTS, Path("a.mp4"), hardware=True)
    assert encoding.encoder == "libx264"
    assert notes == ("no hardware encoder for H.264 works here: encoded by libx264",)


def test_list_encoders_knows_what_this_project_uses(capfd: pytest.CaptureFixture[str]) -> None:
    found = list_encoders()
    assert capfd.readouterr().err == ""
    for name in ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "prores_ks", "ffv1", "aac", "libopus"):
        assert found[name] is True


def test_light_that_cannot_be_kept_is_named() -> None:
    light = Light(content=(1000, 400))
    assert (
        "max-cll=1000,400"
        in dict(choose_encoding(replace(FACTS, bits=10, colours=HLG, light=light), Path("a.mp4"))[0].options)[
            "x265-params"
        ]
    )
    notes = choose("a.mov", "prores", bits=10, colours=HLG, light=light)[2]
    assert any("content light level" in note for note in notes)


def test_a_real_hlg_film_has_its_facts() -> None:
    path = FILMS / "hevc10_aac_rot90_hlg_1080p.mp4"
    if not path.exists():
        pytest.skip(f"the shared films are not here: {path}")
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    assert int(frame.color_trc) == 18
    assert light_of(frame) is None
