from collections.abc import Callable
from functools import cache
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from stylegan_tool.demo_files import examples_folder
from stylegan_tool.errors import UsageError
from stylegan_tool.flicker import FlickerMeter
from stylegan_tool.image_files.reading import read_picture
from stylegan_tool.options import SteadyOption
from stylegan_tool.pixels import Image
from stylegan_tool.steady import SourceMotion, Steadier, choose_strength, flow_agrees

HEIGHT, WIDTH = 96, 160
Film = list[Any]  # of uint8 (HEIGHT,WIDTH,3); OpenCV's types are wider than Image


@cache
def photo(name: str) -> Any:
    image = read_picture(examples_folder() / "pictures" / f"{name}.jpg").image
    return cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def pan(n_frames: int, name: str = "mountain", *, step: int = 2, start: int = 0) -> Film:
    """A camera that goes right by `step` pixels a frame: the motion back is (step, 0) everywhere."""
    picture = photo(name)
    lefts = [start + step * number for number in range(n_frames)]
    return [np.ascontiguousarray(picture[40 : 40 + HEIGHT, left : left + WIDTH]) for left in lefts]


def flickering() -> Callable[[Image], Image]:
    """A style whose texture has nothing to do with the motion: other noise for every picture that it is given."""
    seeds = iter(range(10_000))

    def stylize(image: Image) -> Image:
        rng = np.random.default_rng(next(seeds))
        texture = cv2.GaussianBlur(rng.normal(0, 60, image.shape).astype(np.float32), (0, 0), 0.7)
        result: NDArray[np.uint8] = np.clip(0.8 * image + 25 + texture, 0, 255).astype(np.uint8)
        return result

    return stylize


def stylized(film: Film) -> Film:
    return list(map(flickering(), film))


def steady(film: Film, pictures: Film, strength: float = 1.0) -> Film:
    steadier = Steadier(strength)
    return [steadier(source, picture) for source, picture in zip(film, pictures, strict=True)]


def blurred(difference: NDArray[Any]) -> NDArray[np.float32]:
    values: NDArray[np.float32] = np.abs(cv2.GaussianBlur(difference.astype(np.float32), (0, 0), 2)).max(-1)
    return values


# What it is for -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "step"), [("mountain", 1), ("meadow", 3), ("stream", 0)])
def test_flicker_goes_and_sharpness_colour_and_form_stay(name: str, step: int) -> None:
    film = pan(24, name, step=step)
    film[1:] = [
        np.clip(frame.astype(int) + number % 2, 0, 255).astype(np.uint8) for number, frame in enumerate(film[1:])
    ]
    pictures = stylized(film)
    meter = FlickerMeter()
    back = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    back[..., 0] = step
    holds = np.zeros((HEIGHT, WIDTH), np.bool_)
    holds[8:-8, 8 : -8 - step] = True
    for frames in zip(film, pictures, steady(film, pictures), strict=True):
        meter.add(*frames, motion=(back, holds))
    excess = meter.flicker.excess
    assert excess is not None
    assert excess < 0.35
    assert meter.flicker.sharpness_kept is not None
    assert meter.flicker.sharpness_kept > 0.85
    assert meter.flicker.distance < 3


def test_more_strength_is_steadier() -> None:
    film = pan(14)
    pictures = stylized(film)
    excess = []
    for strength in (0.0, 0.4, 0.8, 1.0):
        meter = FlickerMeter()
        for frames in zip(film, pictures, steady(film, pictures, strength), strict=True):
            meter.add(*frames)
        excess.append(meter.flicker.excess or 0.0)
    assert excess[0] == 1
    assert excess == sorted(excess, reverse=True)
    assert excess[-1] < 0.4


def contrast(image: Image, narrow: float, wide: float) -> float:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    bands = [cv2.GaussianBlur(grey, (0, 0), sigma) for sigma in (narrow, wide)]
    return float(np.abs(bands[0] - bands[1]).mean())


@pytest.mark.parametrize("band", [(0.5, 1.0), (1.0, 2.0), (2.0, 4.0)], ids=str)
def test_a_steady_style_is_left_as_it_is_however_long_the_film(band: tuple[float, float]) -> None:
    """Half a pixel a frame is the worst for interpolation: what it takes or adds must not build up."""
    picture = read_picture(examples_folder() / "pictures" / "mountain.jpg").image
    film = []
    for left in range(1, 211, 3):
        window: Any = np.ascontiguousarray(picture[100 : 100 + 2 * HEIGHT, left : left + 2 * WIDTH])
        film.append(cv2.resize(window, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA))
    results = steady(film, film)
    ratios = [contrast(made, *band) / contrast(own, *band) for made, own in zip(results, film, strict=True)]
    assert min(ratios) > 0.98
    assert max(ratios) < 1.08
    assert max(np.abs(made.astype(int) - own).mean() for made, own in zip(results, film, strict=True)) < 4


def test_a_style_that_changes_on_the_way_is_followed() -> None:
    """The texture shown is never old: it has gone over to the new one some time after the next key."""
    still = pan(1)[0]
    film = [np.clip(still.astype(int) + number % 2, 0, 255).astype(np.uint8) for number in range(60)]
    rng = np.random.default_rng(0)
    textures = [rng.normal(0, 25, still.shape) for _ in range(2)]
    pictures = [np.clip(frame + textures[number > 8], 0, 255).astype(np.uint8) for number, frame in enumerate(film)]
    results = steady(film, pictures)
    distances = [np.abs(result.astype(int) - pictures[-1]).mean() for result in results]
    assert distances[9] > 15
    assert distances[-1] < 3


# What must never happen -----------------------------------------------------------------------------------


def test_equal_source_frames_give_equal_frames() -> None:
    film = pan(9)
    film[4] = film[5] = film[3].copy()
    results = steady(film, stylized(film))
    assert np.array_equal(results[4], results[3])
    assert np.array_equal(results[5], results[3])
    assert not np.array_equal(results[6], results[5])


def test_a_scene_starts_afresh() -> None:
    film = pan(8) + pan(8, "sunset")
    pictures = stylized(film)
    results = steady(film, pictures)
    assert np.array_equal(results[8], pictures[8])
    assert not np.array_equal(results[9], pictures[9])


def test_two_halves_joined_at_a_cut_are_the_film_in_one_go() -> None:
    first, second = pan(20), pan(20, "coffee", step=1)
    pictures = stylized(first + second)
    whole = steady(first + second, pictures)
    halves = steady(first, pictures[:20]) + steady(second, pictures[20:])
    assert all(np.array_equal(one, other) for one, other in zip(whole, halves, strict=True))


def test_it_knows_no_frame_but_those_before() -> None:
    film = pan(12)
    pictures = stylized(film)
    other = film[:8] + pan(4, "cat")
    assert np.array_equal(steady(film, pictures)[7], steady(other, pictures)[7])


@pytest.mark.parametrize("n_frames", [6, 12, 40])
def test_a_dissolve_leaves_no_ghost(n_frames: int) -> None:
    """Compared with a film that has been nothing but the second scene: what is left of the first would show."""
    still, after = pan(1)[0], pan(1, "sunset")[0]
    shares = [0.0] * 4 + [float(share) for share in np.linspace(0, 1, n_frames)] + [1.0] * 4
    film = [np.rint((1 - share) * still + share * after).astype(np.uint8) for share in shares]
    results = steady(film, [np.clip(0.8 * frame + 25, 0, 255).astype(np.uint8) for frame in film])
    for source, result in zip(film, results, strict=True):
        assert blurred(result - (0.8 * source + 25)).max() < 8


def normalized(film: Film) -> Film:
    """What a generator makes of a fade: full contrast up to the last frame but one, then a plain grey."""
    results = []
    for frame in film:
        deviation = float(frame.std())
        full = (frame - frame.mean()) * (50 / deviation if deviation > 0.5 else 0) + 128
        results.append(np.clip(full, 0, 255).astype(np.uint8))
    return results


@pytest.mark.parametrize("target", [0, 255], ids=["black", "white"])
@pytest.mark.parametrize("noise", [0.0, 0.8])
def test_a_fade_leaves_no_ghost(target: int, noise: float) -> None:
    fading = [frame + (target - frame.astype(float)) * number / 16 for number, frame in enumerate(pan(17))]
    back = [frame + (target - frame.astype(float)) * (1 - number / 8) for number, frame in enumerate(pan(9, "sunset"))]
    rng = np.random.default_rng(0)
    frames = [*fading, *[np.full((HEIGHT, WIDTH, 3), float(target))] * 4, *back]
    film = [np.clip(frame + rng.normal(0, noise, frame.shape), 0, 255).astype(np.uint8) for frame in frames]
    pictures = normalized(film)
    for result, picture in zip(steady(film, pictures), pictures, strict=True):
        assert blurred(result.astype(float) - picture).mean() < 6
    assert all(np.array_equal(*pair) for pair in zip(steady(film, pictures)[17:21], pictures[17:21], strict=True))


def test_what_fades_beside_a_caption_leaves_no_ghost() -> None:
    film = [np.rint(frame * (1 - number / 24)).astype(np.uint8) for number, frame in enumerate(pan(25))]
    film += [film[-1]] * 3
    for frame in film:
        frame[80:90, 10:60:4] = 255
    pictures = normalized([frame[:78] for frame in film])
    pictures = [np.concatenate([picture, frame[78:]]) for picture, frame in zip(pictures, film, strict=True)]
    result = steady(film, pictures)[-1]
    assert blurred(result.astype(float) - pictures[-1])[:70].mean() < 8


@pytest.mark.parametrize("brighter", [10, 20])
def test_a_flash_does_not_linger(brighter: int) -> None:
    film = pan(12)
    film[6] = np.clip(film[6].astype(int) + brighter, 0, 255).astype(np.uint8)
    pictures = stylized(film)
    for result, picture in zip(steady(film, pictures), pictures, strict=True):
        assert abs(float(result.mean()) - float(picture.mean())) < 1


def test_a_thing_that_passes_leaves_no_trail() -> None:
    background = pan(1, "meadow")[0]
    film = []
    for number in range(22):
        frame = background.copy()
        left = 6 + 6 * number
        frame[30:62, left : left + 24] = photo("coffee")[60:92, 80:104]
        film.append(frame)
    clear = [np.clip(0.8 * frame + 25, 0, 255).astype(np.uint8) for frame in film]
    results = steady(film, clear)
    for own, result in zip(clear, results, strict=True):
        assert np.percentile(blurred(result.astype(np.float32) - own), 99.5) < 12


def test_what_comes_into_the_picture_is_not_drawn_out_of_its_edge() -> None:
    """A smooth source looks much the same a few pixels on, so that only the flow can tell."""
    film = [cv2.GaussianBlur(frame, (0, 0), 4) for frame in pan(12, "sunset", step=4)]
    pictures = stylized(film)
    results = steady(film, pictures)
    contrasts = [
        [np.abs(np.diff(frame[:, -4:].astype(int), axis=1)).mean() for frame in frames[2:]]
        for frames in (results, pictures)
    ]
    assert min(np.array(contrasts[0]) / contrasts[1]) > 0.85


def test_off_is_frame_by_frame_bit_for_bit() -> None:
    film = pan(5)
    pictures = stylized(film)
    assert all(np.array_equal(one, other) for one, other in zip(steady(film, pictures, 0.0), pictures, strict=True))


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (8, 8), (17, 33), (3, 500), (400, 16), (97, 101)])
def test_every_size_works(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    film = [cv2.GaussianBlur(rng.integers(0, 256, (*size, 3), np.uint8), (0, 0), 2) for _ in range(4)]
    film = [frame.reshape(*size, 3) for frame in film]
    results = steady(film, stylized(film))
    assert all(result.shape == (*size, 3) and result.dtype == np.uint8 for result in results)


def test_what_it_was_given_is_not_changed() -> None:
    film = pan(5)
    pictures = stylized(film)
    copies = [frame.copy() for frame in (*film, *pictures)]
    steadier, results, kept = Steadier(), [], []
    for source, picture in zip(film, pictures, strict=True):
        results.append(steadier(source, picture))
        kept.append(results[-1].copy())
    assert all(np.array_equal(one, other) for one, other in zip((*film, *pictures), copies, strict=True))
    assert all(np.array_equal(one, other) for one, other in zip(results, kept, strict=True))


def test_another_size_or_type_is_refused() -> None:
    frame = pan(1)[0]
    with pytest.raises(ValueError, match="uint8"):
        Steadier()(frame, frame.astype(np.uint16))
    steadier = Steadier()
    steadier(frame, frame)
    with pytest.raises(ValueError, match="uint8"):
        steadier(frame[:50], frame[:50])
    with pytest.raises(ValueError, match="strength"):
        Steadier(1.5)


# Around it ------------------------------------------------------------------------------------------------


def cuts(film: Film) -> list[int]:
    follow = SourceMotion()
    return [number for number, frame in enumerate(film) if follow(frame).is_cut]


def darker(film: Film, share: float) -> Film:
    return [np.rint(frame * share).astype(np.uint8) for frame in film]


def test_cuts_are_found_at_once_in_the_light_and_in_the_dark() -> None:
    film = pan(6) + pan(6, "sunset") + pan(2, "coffee") + pan(6)
    assert cuts(film) == [6, 12, 14]
    assert cuts(darker(film, 0.35)) == [6, 12, 14]


def test_a_cut_between_black_bars_is_found() -> None:
    film = pan(4) + pan(4, "sunset")
    for frame in film:
        frame[:20] = frame[-20:] = 0
    assert cuts(film) == [4]


@pytest.mark.parametrize("step", [2, 4, 8])
@pytest.mark.parametrize("name", ["stream", "mountain", "meadow"])
def test_a_pan_over_fine_detail_is_no_cut(name: str, step: int) -> None:
    assert cuts(pan(12, name, step=step)) == []


def test_somebody_who_moves_before_a_wall_is_no_cut() -> None:
    rng = np.random.default_rng(0)
    film = [np.full((HEIGHT, WIDTH, 3), 120, np.uint8) for _ in range(6)]
    for frame in film:  # what moves cannot be followed at all
        frame[30:70, 60:100] = rng.integers(0, 256, (40, 40, 3))
    assert cuts(film) == []


def test_noise_in_the_dark_is_no_cut() -> None:
    rng = np.random.default_rng(0)
    assert cuts([rng.integers(0, 12, (HEIGHT, WIDTH, 3), np.uint8) for _ in range(8)]) == []


def test_flow_that_does_not_lead_back_or_leads_out_disagrees() -> None:
    back = np.zeros((10, 20, 2), np.float32)
    forth = np.zeros((10, 20, 2), np.float32)
    back[:, 10:, 0], forth[:, 13:, 0] = 3, -3
    agrees = flow_agrees(back, forth, gap=0.5, gap_share=0.01)
    assert agrees[:, :17].all()
    assert not agrees[:, 17:].any()
    assert not flow_agrees(back, np.zeros_like(forth), gap=0.5, gap_share=0.01)[:, 10:].any()


@pytest.mark.parametrize(("text", "strength"), [("auto", 1.0), ("off", 0.0), ("0", 0.0), ("0.7", 0.7), ("1", 1.0)])
def test_steady_option(text: str, strength: float) -> None:
    assert choose_strength(SteadyOption.parse(text)) == strength


@pytest.mark.parametrize("text", ["", "on", "1.1", "-0.1", "nan", "70%"])
def test_steady_option_refuses(text: str) -> None:
    with pytest.raises(UsageError, match="--steady"):
        SteadyOption.parse(text)
