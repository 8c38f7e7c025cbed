import base64
import hashlib
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PilImage
from PIL import ImageCms

from stylegan_tool.gallery.collect import Collection, Shown, Work
from stylegan_tool.gallery.embed import LONGEST, Embedded, embed_picture, limit_side
from stylegan_tool.gallery.page import Plate, gallery_page, run_page
from stylegan_tool.gallery.run import Run
from tests.galleries import RED, write_flat

PIXEL = Embedded("data:image/webp;base64,AAAA", 4, 3, 4, 3)


def page_of(name: str, way: str, settings: str) -> str:
    shown = Shown(Path("x"), name, way, (("Model", settings),))
    work = Work("picture", name, Path("y"), (shown,))
    return gallery_page(Collection(name, (work,)), [Plate(work, (shown,), (PIXEL, PIXEL))])


@given(*[st.text(st.characters(codec=None), max_size=12) for _ in range(3)])
def test_whatever_a_name_is_the_page_has_the_same_tags(name: str, way: str, settings: str) -> None:
    tags = re.compile(r"<(?![ =])[!/]?[a-z]+", re.IGNORECASE)
    text = page_of(name, way or "w", settings)
    text.encode()
    plain = page_of("a", "a", "a")
    assert tags.findall(text) == tags.findall(plain)


@pytest.mark.parametrize("name", ['"onload="x', "</script><b>", "a&amp;b", "\ud800", "a\nb\x1b[0m"])
def test_names_do_not_leave_their_place(name: str) -> None:
    text = page_of(name, name, name)
    assert '"onload' not in text
    assert "</script><b>" not in text
    assert "\x1b" not in text
    assert text.count("<script") == text.count("</script>") == 2


def test_the_policy_lets_the_pages_own_script_run_and_nothing_be_fetched() -> None:
    text = page_of("a", "w", "s")
    script = text.rpartition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = "default-src 'none'; img-src data:; media-src blob:; style-src 'unsafe-inline'; script-src"
    assert f"{allowed} 'sha256-{digest}';" in text
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    assert "url(" not in text


def test_a_run_without_samples_or_curves_has_a_page() -> None:
    config = {"domain_a": "</script>", "epochs": 9, "n_blocks": 1, "seed": 0, "clamp": True, "data": "/home/me/set"}
    run = Run("r", config, {}, 0, {"gan": [(0.5, 1.0), (1.0, 0.5)]}, 1.0)
    text = run_page(run, [])
    data = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
    assert data["run"]["panels"] == [{"lines": [{"points": [[0.5, 1.0], [1.0, 0.5]]}]}]
    assert "&lt;/script&gt; (A)" in text
    assert "1 of 9 epochs" in text
    assert re.findall(r"<dd>(.*?)</dd>", text)[1:] == ["9", "1", "0", "yes", "set"]


def test_pictures_are_scaled_down_to_srgb_with_their_alpha(tmp_path: Path) -> None:
    wide = np.zeros((40, 4000, 4), np.uint8)
    wide[..., 0], wide[..., 3] = 200, 128
    linear = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    PilImage.fromarray(wide).save(tmp_path / "x.png", icc_profile=linear)
    one = embed_picture(tmp_path / "x.png", LONGEST)
    assert (one.width, one.height, one.full_width, one.full_height) == (1600, 16, 4000, 40)
    image = PilImage.open(io.BytesIO(base64.b64decode(one.uri.removeprefix("data:image/webp;base64,"))))
    assert image.size == (1600, 16)
    assert image.mode == "RGBA"
    assert "icc_profile" not in image.info
    pixel = image.getpixel((800, 8))
    assert isinstance(pixel, tuple)
    assert abs(pixel[0] - 200) <= 4
    assert abs(pixel[3] - 128) <= 2
    small = embed_picture(write_flat(tmp_path / "small.png", RED, (9, 7)), LONGEST)
    assert (small.width, small.height) == (9, 7)


def test_many_pictures_are_smaller() -> None:
    assert limit_side(1) == limit_side(30) == 1600
    assert limit_side(100) == 960
    assert limit_side(10**6) == 640
