"""The gallery's page as people meet it: in a browser, by mouse, keys and touch."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from stylegan_tool.__main__ import main
from tests.browser.pages import Tab, share_of
from tests.films import grey, make_film
from tests.galleries import BLUE, GREEN, RED, make_results, record_film, record_picture, write_flat

Open = Callable[..., Tab]
HOSTILE = "a\"'<img src=x onerror=alert(1)>&amp;</script><script>alert(2)</script>\n🎨.png"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return make_results(tmp_path)


def make_page(folder: Path) -> Path:
    assert main(["gallery", str(folder)]) == 0
    return folder / "gallery.html"


def stage_of(tab: Tab, name: str) -> str:
    return f'.work:has(.name:text-is("{name}")) .stage'


def red_share(tab: Tab, selector: str) -> float:
    return share_of(tab.shot(tab.page.locator(selector)), RED)


def test_pictures_load_and_nothing_else_does(results: Path, open_page: Open) -> None:
    tab = open_page(make_page(results))
    decoded = "() => Promise.all([...document.images].map(async (it) => (await it.decode(), it.naturalWidth)))"
    widths = tab.page.evaluate(decoded)
    assert widths == [300] * 5
    assert tab.page.title() == "painted"


def test_a_page_that_was_tampered_with_still_fetches_nothing(results: Path, open_page: Open) -> None:
    page = make_page(results)
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("</main>", '<script>document.title = "taken over"</script></main>'), encoding="utf-8")
    tab = open_page(page)
    assert tab.page.title() == "painted"
    assert any("Content Security Policy" in line for line in tab.said)
    tab.said.clear()


@pytest.mark.parametrize("at", [0.25, 0.8])
def test_the_mouse_moves_the_slider(results: Path, open_page: Open, at: float) -> None:
    tab = open_page(make_page(results))
    stage = stage_of(tab, "two.png")
    assert red_share(tab, stage) == pytest.approx(0.5, abs=0.06)
    box = tab.page.locator(stage).bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    tab.page.mouse.move(box["x"] + box["width"] / 2, middle)
    tab.page.mouse.down()
    tab.page.mouse.move(box["x"] + box["width"] * at, middle, steps=5)
    tab.page.mouse.up()
    clip = tab.page.locator(f"{stage} .layer.right").evaluate("layer => getComputedStyle(layer).clipPath")
    assert float(clip.removesuffix("%)").split()[-1]) == pytest.approx(100 * at, abs=0.5)
    assert red_share(tab, stage) == pytest.approx(1 - at, abs=0.06)


def test_arrow_keys_move_the_slider(results: Path, open_page: Open) -> None:
    tab = open_page(make_page(results))
    stage = stage_of(tab, "two.png")
    slider = tab.page.locator(f"{stage} .split")
    slider.focus()
    for key, value in (("ArrowRight", 52), ("Shift+ArrowRight", 62), ("ArrowLeft", 60), ("End", 100), ("Home", 0)):
        tab.page.keyboard.press(key)
        assert float(slider.input_value()) == value
    assert red_share(tab, stage) > 0.9
    tab.page.keyboard.press("End")
    assert red_share(tab, stage) < 0.02


def test_tab_reaches_everything_and_shows_where(results: Path, open_page: Open) -> None:
    tab = open_page(make_page(results))
    reached = []
    for _ in range(14):
        tab.page.keyboard.press("Tab")
        reached.append(tab.page.evaluate("() => document.activeElement.className || document.activeElement.tagName"))
        if reached[-1] == "split":
            outline = "() => getComputedStyle(document.activeElement.nextElementSibling.firstChild).outlineStyle"
            assert tab.page.evaluate(outline) == "solid"
    assert {"theme", "split", "tag left", "tag right", "enlarge", "SUMMARY"} <= set(reached)


def test_a_finger_moves_the_slider_and_scrolls_the_page(results: Path, open_page: Open) -> None:
    tab = open_page(make_page(results), viewport={"width": 390, "height": 500}, has_touch=True, is_mobile=True)
    stage = stage_of(tab, "one.png")
    box = tab.page.locator(stage).bounding_box()
    assert box is not None
    tab.page.touchscreen.tap(box["x"] + box["width"] * 0.2, box["y"] + 60)
    assert red_share(tab, stage) == pytest.approx(0.8, abs=0.09)
    touch = tab.page.context.new_cdp_session(tab.page)
    before = tab.page.locator(f"{stage} .split").input_value()

    def swipe(start: tuple[float, float], end: tuple[float, float]) -> None:
        points = [(start[0] + (end[0] - start[0]) * i / 8, start[1] + (end[1] - start[1]) * i / 8) for i in range(9)]
        touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": start[0], "y": start[1]}]})
        for x, y in points[1:]:
            touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x, "y": y}]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    x, y = box["x"] + box["width"] / 2, box["y"] + 150
    swipe((x, y), (x + 4, y - 140))
    tab.wait("() => scrollY > 20")
    assert tab.page.locator(f"{stage} .split").input_value() == before
    box = tab.page.locator(stage).bounding_box()
    assert box is not None
    y = max(20, box["y"]) + 20
    swipe((box["x"] + box["width"] * 0.2, y), (box["x"] + box["width"] * 0.6, y))
    assert float(tab.page.locator(f"{stage} .split").input_value()) == pytest.approx(60, abs=3)


def test_one_of_several_results_is_chosen(results: Path, open_page: Open) -> None:
    tab = open_page(make_page(results))
    stage = stage_of(tab, "one.png")
    tab.page.locator(f"{stage} select.tag.right").select_option("photo → green")
    assert share_of(tab.shot(tab.page.locator(stage)), GREEN) == pytest.approx(0.5, abs=0.06)
    tab.page.locator(f"{stage} select.tag.left").select_option("photo → red")  # two results against each other
    seen = tab.shot(tab.page.locator(stage))
    assert [share_of(seen, colour) > 0.4 for colour in (RED, GREEN, BLUE)] == [True, True, False]
    tab.page.locator(f"{stage} select.tag.left").select_option("photo → green")  # they change places
    assert tab.page.locator(f"{stage} select.tag.right").evaluate("it => it.selectedOptions[0].text") == "photo → red"


def test_one_way_alone_is_shown(results: Path, open_page: Open) -> None:
    tab = open_page(make_page(results))
    tab.page.locator('.ways [value*="green"]').check()
    assert tab.page.locator(".work:visible .name").all_text_contents() == ["one.png"]
    assert share_of(tab.shot(tab.page.locator(stage_of(tab, "one.png"))), GREEN) == pytest.approx(0.5, abs=0.06)
    tab.page.locator('.ways [value=""]').check()
    assert tab.page.locator(".work:visible").count() == 2
    assert share_of(tab.shot(tab.page.locator(stage_of(tab, "one.png"))), GREEN) == pytest.approx(0.5, abs=0.06)
    assert red_share(tab, stage_of(tab, "two.png")) == pytest.approx(0.5, abs=0.06)


def test_enlarged_moved_and_closed_by_keys(results: Path, open_page: Open) -> None:
    write_flat(results / "two.png", RED, (3000, 2000))
    record_picture(results, "two.png", write_flat(results.parent / "photos/two.png", BLUE, (3000, 2000)))
    tab = open_page(make_page(results))
    tab.page.locator(f"{stage_of(tab, 'one.png')} .split").focus()
    tab.page.keyboard.press("Enter")
    dialog = tab.page.locator("dialog.zoom")
    assert dialog.is_visible()
    assert tab.page.locator(".zoom-name").inner_text() == "one.png: source | photo → red"
    tab.page.keyboard.press("j")
    assert tab.page.locator(".zoom-name").inner_text() == "two.png: source | photo → red"
    assert red_share(tab, ".view") == pytest.approx(0.5 * 1000 * 2 / 3 / 800, abs=0.06)
    tab.page.keyboard.press("ArrowRight")
    tab.page.keyboard.press("z")  # pixel for pixel, both layers together
    boxes = [layer.bounding_box() for layer in tab.page.locator(".plate .layer").all()]
    assert boxes[0] == boxes[1]
    assert boxes[0] is not None
    assert boxes[0]["width"] == 1600
    tab.page.mouse.move(100, 600)
    tab.page.mouse.down()
    tab.page.mouse.move(40, 560, steps=4)
    tab.page.mouse.up()
    moved = [layer.bounding_box() for layer in tab.page.locator(".plate .layer").all()]
    assert moved[0] == moved[1]
    assert moved[0] is not None
    assert moved[0]["x"] == pytest.approx(boxes[0]["x"] - 60, abs=1)
    tab.page.keyboard.press("Escape")
    tab.wait("() => document.activeElement.className === 'enlarge'")
    assert not dialog.is_visible()
    assert float(tab.page.locator(f"{stage_of(tab, 'two.png')} .split").input_value()) == 52


def test_enlarged_by_the_mouse_and_by_two_fingers(results: Path, open_page: Open) -> None:
    tab = open_page(make_page(results), has_touch=True)
    tab.page.locator(f"{stage_of(tab, 'two.png')} .enlarge").click()
    width = "() => document.querySelector('.plate .layer').getBoundingClientRect().width"
    fitted = tab.page.evaluate(width)
    tab.page.mouse.move(500, 400)
    tab.page.mouse.wheel(0, -300)
    tab.wait(f"() => ({width})() > {fitted * 1.5}")
    tab.page.locator("[data-do=scale]").click()
    assert tab.page.evaluate(width) == pytest.approx(fitted)
    touch = tab.page.context.new_cdp_session(tab.page)
    for kind, apart in (("touchStart", 50), ("touchMove", 100), ("touchMove", 150)):
        points = [{"x": 500 - apart, "y": 400, "id": 1}, {"x": 500 + apart, "y": 400, "id": 2}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    tab.wait(f"() => ({width})() > {fitted * 2}")
    tab.page.locator("[data-do=close]").click()
    assert not tab.page.locator("dialog.zoom").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(results: Path, open_page: Open, scheme: str) -> None:
    tab = open_page(make_page(results), color_scheme=scheme)
    paper = "() => Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])"
    assert (tab.page.evaluate(paper) < 60) == (scheme == "dark")
    tab.page.locator(".theme").click()
    assert (tab.page.evaluate(paper) < 60) == (scheme == "light")
    tab.page.locator(".theme").click()
    assert (tab.page.evaluate(paper) < 60) == (scheme == "dark")


def test_hostile_names_are_text(tmp_path: Path, open_page: Open) -> None:
    out = tmp_path / "<b>&out"
    name = HOSTILE.replace("/", "\N{DIVISION SLASH}")
    source = write_flat(tmp_path / "photos" / name, BLUE)
    write_flat(out / name, RED)
    record_picture(out, name, source, {"model": "</script><script>alert(3)</script>", "style": "\"'<x>"})
    tab = open_page(make_page(out))
    assert tab.page.title() == "<b>&out"
    assert tab.page.locator(".name").inner_text() == name.replace("\n", "\\n")
    assert tab.page.locator("img.layer").count() == 2
    assert tab.page.locator("dd", has_text="alert(3)").count() == 1
    assert red_share(tab, ".stage") == pytest.approx(0.5, abs=0.06)


def test_a_phone_scrolls_downwards_alone(results: Path, open_page: Open) -> None:
    write_flat(results / ("very_long_name_" * 10 + ".png"), RED, (900, 90))
    record_picture(results, "very_long_name_" * 10 + ".png", results.parent / "photos/one.png")
    tab = open_page(make_page(results), viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True)
    tab.page.locator("summary").first.click()
    assert tab.page.evaluate("() => document.documentElement.scrollWidth") == 360


def test_films_play_in_step(tmp_path: Path, open_page: Open) -> None:
    frames = [grey(40 + 4 * number, 64, 48) for number in range(50)]
    source = make_film(tmp_path / "source.mp4", frames)
    (tmp_path / "out").mkdir()
    result = make_film(tmp_path / "out" / "result.mp4", frames[10:40])  # each frame tells its number by its grey
    record_film(result, source, start=Fraction(4, 10), end=Fraction(16, 10))
    tab = open_page(make_page(tmp_path / "out"))
    # The middle pixel of each canvas, whenever asked.
    tab.page.evaluate("""() => {
      window.levels = () => [...document.querySelectorAll('canvas.layer')].map(
        (canvas) => canvas.getContext('2d').getImageData(32, 24, 1, 1).data[0]);
      window.seen = [];
      const look = () => { seen.push(levels()); requestAnimationFrame(look); };
      look();
    }""")
    bar = tab.page.locator(".time")
    assert float(bar.get_attribute("max") or 0) == pytest.approx(1.2, abs=0.05)
    for time_s in (0.2, 1.0, 0.5):
        before = tab.page.evaluate("levels()")
        bar.evaluate(f"bar => {{ bar.value = {time_s}; bar.dispatchEvent(new Event('input')); }}")
        tab.wait(f"() => levels()[0] !== {before[0]} && !document.querySelector('video').seeking")
        first, second = tab.page.evaluate("levels()")
        assert abs(first - second) <= 2
        assert (first * 219 / 255 + 16 - 40) / 4 == pytest.approx(10 + time_s * 25, abs=1.1)
    tab.page.evaluate("seen.length = 0")
    tab.page.locator(".play").click()
    tab.wait("() => new Set(seen.map((pair) => pair[0])).size >= 8")
    assert tab.page.locator(".play").get_attribute("aria-pressed") == "true"
    tab.page.locator(".play").click()
    assert tab.page.locator("video").evaluate("video => video.paused && video.muted")
    assert all(abs(first - second) <= 2 for first, second in tab.page.evaluate("seen"))
    tab.said = [line for line in tab.said if "getImageData" not in line]  # advice on what this test does


def test_a_runs_epochs_are_turned_over(tmp_path: Path, open_page: Open) -> None:
    run = tmp_path / "photo2red-001"
    for epoch, colour in ((1, BLUE), (2, GREEN), (3, RED)):
        write_flat(run / f"samples/epoch_{epoch:04d}.png", colour, (256, 128))
    config = {"domain_a": "photo", "domain_b": "<red>", "epochs": 3, "metric": "mean", "augment": ["flip"]}
    (run / "config.json").write_text(json.dumps(config))
    lines = [{"epoch": e, "step": 4, "steps": 4 * e, "lr": 1e-4, "gan": 1 / e, "cycle": 0.5} for e in (1, 2, 3)]
    lines += [
        {"epoch": 2, "step": 4, "steps": 8, "swd_mean": 150.0},
        {"epoch": 3, "step": 4, "steps": 12, "swd_mean": 99.0},
    ]
    (run / "stats.jsonl").write_text(
        "".join(f"{json.dumps(line)}\n" for line in sorted(lines, key=lambda line: line["steps"]))
    )
    tab = open_page(make_page(run))
    assert red_share(tab, ".sheet") > 0.95
    assert "Best in validation: epoch 3 (mean of both directions: 99)" in tab.page.locator(".best").inner_text()
    tab.page.locator(".progress .time").focus()
    tab.page.keyboard.press("ArrowLeft")
    assert tab.page.locator(".progress .clock").inner_text() == "epoch 2"
    assert share_of(tab.shot(tab.page.locator(".sheet")), GREEN) > 0.95
    assert tab.page.locator(".panel").first.locator("output").inner_text() == "0.5"
    marker = tab.page.locator(".panel .now").first.evaluate("line => line.x1.baseVal.value")
    tab.page.locator(".panel svg").first.hover(position={"x": 40, "y": 40})
    assert tab.page.locator(".panel").first.locator("output").inner_text() == "1"
    tab.page.mouse.move(2, 2)
    assert tab.page.locator(".panel .now").first.evaluate("line => line.x1.baseVal.value") == marker
    tab.page.locator(".progress .play").click()
    tab.wait("() => document.querySelector('.progress .clock').textContent === 'epoch 3'")
    assert tab.page.locator(".progress .play").get_attribute("aria-pressed") == "false"
