"""Make a stylised film steady: its texture moves with the picture instead of being drawn anew for each frame.

A generator's brushwork does not follow the motion, so that a film stylised frame by frame flickers. Here each frame
is composed of two *layers*, stylised pictures of earlier frames carried to where their subject is now along the
optical flow of the source:

- The last result. Drawn through an interpolation once more with every frame, it alone would blur.
- A key picture, renewed every KEY_FRAMES frames, of which every frame takes a share (KEY_SHARE). The way from it to
  the present frame is composed flow by flow and the picture drawn through it once: it brings sharpness back, and
  takes over from the key before it so gently that no change is seen.

Then the statistics of the result are put right: colour and form (what a Gaussian of LOW_SIGMA pixels leaves) are
drawn towards the present frame's own picture, and the local contrast of the two finest bands is brought to what that
picture has, since interpolating costs the finest and builds up the next.

A layer counts where forward and backward flow agree, and where the source that its picture was made from, carried
the same way, still looks like the present source. Everywhere else the frame's own picture shows, so that neither an
occlusion nor a dissolve leaves a ghost; a cut starts afresh.

Pictures are uint8 (H,W,3) RGB; weights are float32 (h,w) in [0,1]. A motion is float32 (h,w,2), x and y: where from
here a pixel's place in another picture lies, in pixels of the small picture on which flow is computed.

Sources: Ruder et al. 2016, 'Artistic style transfer for videos', for the consistency of forward and backward flow;
Kroeger et al. 2016, 'Fast optical flow using dense inverse search', for the flow (OpenCV's DIS).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from stylegan_tool.options import SteadyOption
from stylegan_tool.pixels import Image, in_8_bits

Floats: TypeAlias = NDArray[np.float32]
Bytes: TypeAlias = NDArray[np.uint8]
Pixels: TypeAlias = NDArray[Any]  # (H,W,3): uint8, or float32 in the same steps

AUTO_STRENGTH = 1.0
FLOW_SIDE = 400  # pixels, the longer side of the picture on which flow is computed
SMALLEST_FLOW_SIDE = 32  # pixels, which the pyramid of DIS needs
PATCH = 16  # pixels; the usual 8 find little to hold on to in what is out of focus, and take as long
FLOW_SIGMA = 1.0  # pixels; sharp pictures draw the flow towards whole pixels
FLOW_GAP, FLOW_GAP_SHARE = 1.5, 0.05  # flows disagree from this on: squared pixels, and share of the squared motion
STILL, LEAST_CHANGED = 4.0, 0.3  # 8-bit steps that are no change, and share of a picture that a cut changes at least
PLAIN = 1.5  # 8-bit steps; a source that deviates less from its mean shows nothing
SAME_SCENE = 0.25  # mean trust between two sources; fast pans keep 0.7 and more, cuts 0.1 and less
SAME, OTHER = 12.0, 30.0  # 8-bit steps between two sources: up to the one the same thing, from the other on not
KEY_FRAMES = 16  # between two keys: more are steadier, and stretch the texture more in a zoom
KEY_SHARE = 1 / 6  # of each frame: less is steadier, more is sharper
KEY_REACH = 0.5  # share of the picture that the key must cover
LOW_SIGMA = 4.0  # pixels of the film
LOW_PULL = 0.5  # share of the difference in colour and form that is taken back
FINE_SIGMA = 0.8  # pixels of the film; what a Gaussian of it takes away is the finest band
FINE_SHARE = 0.95  # of the own picture's finest contrast that is asked for; the last of it costs most steadiness
SAME_FORM, OTHER_FORM = 25.0, 45.0  # 8-bit steps between results, coarsely: as SAME and OTHER for sources
MOST_GAIN, LEAST_GAIN = 2.0, 0.6  # of the finest band, and of the next
_QUARTER = 4  # what is left at this part of the size is below the finest two bands


def choose_strength(option: SteadyOption) -> float:
    """Return the strength from 0 to 1 that `option` means.

    `auto` is the same for every model so far; one that is stable by itself would be given less here.
    """
    return {"auto": AUTO_STRENGTH, "off": 0.0}.get(option.mode, option.strength)


def shrink(image: Image, longest: int) -> Bytes:
    """Return `image`, (H,W,3), no longer than `longest` on its longer side and no shorter than 1 on the other."""
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return cast("Bytes", image)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cast("Bytes", cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def warp(image: NDArray[Any], motion: Floats, interpolation: int) -> NDArray[Any]:
    """Return for each pixel p `image` at p + motion(p); beyond the edge stands the nearest pixel of the edge."""
    x, y = places(motion)
    return cast("NDArray[Any]", cv2.remap(image, x, y, interpolation, borderMode=cv2.BORDER_REPLICATE))


def places(motion: Floats) -> tuple[Floats, Floats]:
    """Return x and y of p + motion(p), each (h,w)."""
    height, width = motion.shape[:2]
    columns, rows = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    return motion[..., 0] + columns, motion[..., 1] + rows


def flow_agrees(back: Floats, forth: Floats, *, gap: float, gap_share: float) -> NDArray[np.bool_]:
    """Return, (h,w), where going `back` into the other picture and `forth` again ends near the start.

    Near means a squared distance of at most `gap` + `gap_share` * the squared lengths of both ways. Where `back`
    leads out of the picture, nothing agrees.
    """
    height, width = back.shape[:2]
    x, y = places(back)
    again = warp(forth, back, cv2.INTER_LINEAR)
    missed = back + again
    lengths = _squared(back) + _squared(again)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return cast("NDArray[np.bool_]", (_squared(missed) <= gap_share * lengths + gap) & inside)


def _squared(motion: Floats) -> Floats:
    return motion[..., 0] ** 2 + motion[..., 1] ** 2


@dataclass
class _Layer:
    """A stylised picture that is carried along.

    `source` (h,w,3) is the small source that it was made from; `motion` leads from the present frame into both;
    `seen` is 1 where the way there has never been lost.
    """

    picture: Pixels
    source: Floats
    motion: Floats
    seen: Floats

    @classmethod
    def of(cls, picture: Pixels, source: Floats) -> "_Layer":
        """Return a layer that lies where it was made."""
        height, width = source.shape[:2]
        return cls(picture, source, np.zeros((height, width, 2), np.float32), np.ones((height, width), np.float32))

    def carry(self, back: Floats, agrees: Floats) -> None:
        """Go on to the next frame, from which `back` leads to this one, reliably where `agrees` is 1."""
        self.motion = back + warp(self.motion, back, cv2.INTER_LINEAR)
        self.seen = agrees * warp(self.seen, back, cv2.INTER_LINEAR)

    def source_here(self) -> Floats:
        """Return the source as it lies in the present frame."""
        return warp(self.source, self.motion, cv2.INTER_LINEAR)

    def picture_here(self) -> Pixels:
        """Return the picture as it lies in the present frame."""
        height, width = self.picture.shape[:2]
        small_height, small_width = self.motion.shape[:2]
        motion = self.motion * np.array([width / small_width, height / small_height], np.float32)
        motion = cast("Floats", cv2.resize(motion, (width, height), interpolation=cv2.INTER_LINEAR))
        return warp(self.picture, motion, cv2.INTER_CUBIC)


def _largest(values: NDArray[Any]) -> Floats:
    """Return the largest of the three channels; NumPy's own maximum along the last axis takes five times as long."""
    return cast("Floats", np.maximum(np.maximum(values[..., 0], values[..., 1]), values[..., 2]))


def _trust(source_here: Floats, source: Floats, seen: Floats) -> Floats:
    """Return how far a layer counts where, by what its source looks like here and the present one does."""
    apart = _largest(cv2.absdiff(source_here, source))
    alike = np.clip((OTHER - cv2.blur(apart, (3, 3))) / (OTHER - SAME), 0.0, 1.0)
    # Flow is smooth across the edges of things and stretches what is beside them, hence a pixel less.
    reached = cv2.erode((seen > 0.9).astype(np.float32), np.ones((3, 3), np.uint8))
    return cast("Floats", cv2.blur(reached * alike, (3, 3)))


@dataclass(frozen=True)
class Step:
    """What is known of a frame's source, small: `colours` (h,w,3), and the way `back` (h,w,2) to the frame before.

    `agrees` (h,w) is 1 where the way back can be relied on. `begins_scene` says that nothing leads back: at a cut, at
    the film's first frame, and beside a plain one.
    """

    colours: Floats
    back: Floats
    agrees: Floats
    begins_scene: bool
    is_cut: bool = False


class SourceMotion:
    """Follows the source of a film, frame after frame, and finds where scenes begin.

    A cut is where the way back, looked for everywhere, leads to the same thing nearly nowhere. Thresholds on how much
    a picture changes (the usual detectors) take every frame of a fast pan for a cut, and miss cuts in the dark.
    """

    def __init__(self, *, cuts_only: bool = False) -> None:
        """Start before the first frame; `cuts_only` leaves the motion out wherever it cannot be a cut."""
        self._cuts_only = cuts_only
        self._back_flow = _Flow(finest_scale=0)  # texture is carried by it
        self._forth_flow = _Flow(finest_scale=1)  # only a check, for a quarter of the time
        self._before: tuple[Bytes, Floats] | None = None

    def __call__(self, source: Image) -> Step:
        """Take the next frame, uint8 or uint16 (H,W,3) RGB, all of one size."""
        small = in_8_bits(shrink(source, FLOW_SIDE))
        grey, colours = _flow_picture(small), small.astype(np.float32)
        before, self._before = self._before, (grey, colours)
        if before is None:
            return Step(colours, *_no_motion(grey), begins_scene=True)
        grey_before, colours_before = before
        # A fade ends in a plain frame, gently: nothing is carried into it, or out of it.
        plain = any(cv2.meanStdDev(frame)[1].max() < PLAIN for frame in (colours, colours_before))
        # Black bars stay the same across a cut: what has not changed says nothing.
        changed = _largest(cv2.absdiff(colours, colours_before)) > STILL
        may_be_cut = changed.mean() > LEAST_CHANGED
        if self._cuts_only and not may_be_cut:
            return Step(colours, *_no_motion(grey), begins_scene=plain)
        back, forth = self._back_flow(grey, grey_before), self._forth_flow(grey_before, grey)
        agrees = flow_agrees(back, forth, gap=FLOW_GAP, gap_share=FLOW_GAP_SHARE).astype(np.float32)
        cut = False
        if may_be_cut:
            same = _trust(warp(colours_before, back, cv2.INTER_LINEAR), colours, agrees)
            cut = bool(same[changed].mean() < SAME_SCENE)
        return Step(colours, back, agrees, begins_scene=cut or plain, is_cut=cut)


def _no_motion(grey: Bytes) -> tuple[Floats, Floats]:
    return np.zeros((*grey.shape, 2), np.float32), np.zeros(grey.shape, np.float32)


class Steadier:
    """Steadies the stylised frames of one film, given one after the other.

    Args:
        strength: how much of the layers is mixed in, 0 <= strength <= 1; 0 leaves every frame as it is.

    Knows the frames before and none after. Holds three pictures of the film's size and a few small ones; at work it
    takes about 60 bytes a pixel (0.5 GB at 3840x2160), four times as much for 16 bits, which are computed in floats.
    """

    def __init__(self, strength: float = 1.0) -> None:
        if not 0 <= strength <= 1:
            raise ValueError(f"strength is from 0 to 1, not {strength}")
        self.strength = strength
        self._follow = SourceMotion()
        self._source: Image | None = None  # of the frame before; what follows is there from the first frame on
        self._result: Image
        self._key: _Layer
        self._key_age = 0  # frames
        self._last: _Layer

    def __call__(self, source: Image, stylized: Image, step: Step | None = None) -> Image:
        """Return the steady frame, of the same type, for the film's next `source` and its `stylized` picture.

        The first frame, and the first after a cut, is `stylized` itself. A source equal to the one before gives
        the result before, bit for bit.

        Args:
            source, stylized: uint8 or uint16 (H,W,3) RGB.
            step: what a SourceMotion of the caller's says of `source`; by default one of its own is asked.

        Raises:
            ValueError: the two are not uint8 or uint16 (H,W,3) of one size, or the size is another than before.
        """
        self._check(source, stylized)
        if self.strength == 0:
            self._source = source  # for the size
            return stylized
        if self._source is not None and np.array_equal(source, self._source):
            return self._result
        step = step or self._follow(source)
        own = _working(stylized)
        if step.begins_scene or self._source is None:
            self._last = _Layer.of(own, step.colours)
            self._key, self._key_age = _Layer.of(own, step.colours), 0
        else:
            self._last = self._compose(step, own)
        self._source, self._result = source, _finished(self._last.picture, stylized.dtype)
        return self._result

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that the next frame depends on, for `restore`; empty before the first frame.

        What a SourceMotion of its own knows is not in it: a steadier that goes on from here is to be given steps.
        """
        if self._source is None or self.strength == 0:
            return {}
        arrays = {"source": self._source, "result": self._result, "key_age": np.array(self._key_age)}
        for name, layer in (("key", self._key), ("last", self._last)):
            arrays |= {f"{name}.{field.name}": getattr(layer, field.name) for field in fields(_Layer)}
        return arrays

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from where `state` was taken."""
        if not state:
            return
        self._source, self._result = state["source"], state["result"]
        self._key_age = int(state["key_age"])
        self._key, self._last = (
            _Layer(**{field.name: state[f"{name}.{field.name}"] for field in fields(_Layer)})
            for name in ("key", "last")
        )

    def _check(self, source: Image, stylized: Image) -> None:
        first = source if self._source is None else self._source
        for image in (source, stylized):
            good = image.dtype in (np.uint8, np.uint16) and image.ndim == 3 and image.shape[2] == 3
            if not good or image.shape != first.shape or image.dtype != first.dtype:
                raise ValueError(f"frames are {first.dtype} of {first.shape}, not {image.dtype} {image.shape}")

    def _compose(self, step: Step, stylized: Pixels) -> _Layer:
        """Carry both layers to the present frame; return what they and the frame's own picture make together."""
        colours = step.colours
        layers = (self._key, self._last)
        for layer in layers:
            layer.carry(step.back, step.agrees)
        sources = [layer.source_here() for layer in layers]
        key_trust, last_trust = (
            _trust(there, colours, layer.seen) for layer, there in zip(layers, sources, strict=True)
        )
        key_weight = KEY_SHARE * key_trust
        weights = [key_weight, last_trust * (1 - key_weight)]
        picture = self._mix([layer.picture_here() for layer in layers], weights, stylized)
        made_from = cast("Floats", _blend(sources, weights, colours))
        self._key_age += 1
        if self._key_age >= KEY_FRAMES or key_trust.mean() < KEY_REACH:
            self._key, self._key_age = _Layer.of(stylized, colours), 0
        return _Layer.of(picture, made_from)

    def _mix(self, pictures: Sequence[Pixels], weights: Sequence[Floats], own: Pixels) -> Pixels:
        """Return the pictures by their weights and the frame's own for the rest, with the statistics put right."""
        height, width = own.shape[:2]
        large = [cv2.resize(self.strength * weight, (width, height)) for weight in weights]
        mixed = _blend(pictures, cast("list[Floats]", large), own)
        return _match_contrast(_keep_to(mixed, own), own)


def _working(image: Image) -> Pixels:
    """Return 8 bits as they are, and 16 as floats in 8-bit steps: OpenCV blends no 16 bits."""
    return image if image.dtype == np.uint8 else (image / np.float32(257)).astype(np.float32)


def _finished(picture: Pixels, dtype: np.dtype[Any]) -> Image:
    """Return what `_working` has worked on in the film's own type."""
    if picture.dtype == np.uint8:
        return cast("Image", picture)
    return cast("Image", np.rint(np.clip(picture, 0, 255) * np.float32(257)).astype(dtype))


class _Flow:
    """OpenCV's DIS on pictures of any size; `finest_scale` 0 is pixels, 1 half as fine."""

    def __init__(self, *, finest_scale: int) -> None:
        self._dis: Any = cv2.DISOpticalFlow.create(cv2.DISOpticalFlow_PRESET_FAST)
        self._dis.setFinestScale(finest_scale)
        self._dis.setPatchSize(PATCH)
        self._dis.setPatchStride(PATCH // 2)

    def __call__(self, grey: Bytes, other: Bytes) -> Floats:
        """Return the motion from `grey` to `other`, (h,w,2)."""
        height, width = grey.shape
        bottom, right = max(0, SMALLEST_FLOW_SIDE - height), max(0, SMALLEST_FLOW_SIDE - width)
        pair = (cv2.copyMakeBorder(one, 0, bottom, 0, right, cv2.BORDER_REPLICATE) for one in (grey, other))
        return cast("Floats", np.ascontiguousarray(self._dis.calc(*pair, None)[:height, :width]))


def _flow_picture(small: Bytes) -> Bytes:
    return cast("Bytes", cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), (0, 0), FLOW_SIGMA))


def _blend(images: Sequence[NDArray[Any]], weights: Sequence[Floats], rest: NDArray[Any]) -> NDArray[Any]:
    """Return the mean of (H,W,3) images by their weights, `rest` having what is left to 1, in the first's memory."""
    mixed, total = images[0], weights[0]
    for image, weight in zip(images[1:], weights[1:], strict=True):
        cv2.blendLinear(mixed, image, total, weight, dst=mixed)
        total = cast("Floats", total + weight)
    return cast("NDArray[Any]", cv2.blendLinear(mixed, rest, total, 1 - total, dst=mixed))


def _quarter(values: NDArray[Any]) -> NDArray[Any]:
    height, width = values.shape[:2]
    size = (max(1, width // _QUARTER), max(1, height // _QUARTER))
    return cast("NDArray[Any]", cv2.resize(values, size, interpolation=cv2.INTER_AREA))


def _enlarge(values: NDArray[Any], like: NDArray[Any]) -> NDArray[Any]:
    return cast("NDArray[Any]", cv2.resize(values, like.shape[1::-1], interpolation=cv2.INTER_LINEAR))


def _keep_to(mixed: Pixels, own: Pixels) -> Pixels:
    """Bring what a Gaussian of LOW_SIGMA leaves of `mixed` nearer to what it leaves of `own`, in place.

    The mean of the whole frame is brought there in full: a flash or a fade must not linger. Where the two show
    different things `own` is taken: what was carried may have faded too gently to be noticed.
    """
    difference = cv2.subtract(_quarter(own), _quarter(mixed), dtype=cv2.CV_32F)
    mean = difference.mean(axis=(0, 1))
    low = LOW_PULL * cv2.GaussianBlur(difference - mean, (0, 0), LOW_SIGMA / _QUARTER) + mean
    cv2.add(mixed, _enlarge(low, mixed), dst=mixed, dtype=cv2.CV_8U if mixed.dtype == np.uint8 else cv2.CV_32F)
    distance = np.sqrt(cv2.blur(_largest(cv2.multiply(difference, difference)), (9, 9)))
    if distance.max() <= SAME_FORM:
        return mixed
    like = np.clip((OTHER_FORM - distance) / (OTHER_FORM - SAME_FORM), 0.0, 1.0).astype(np.float32)
    return _blend([mixed], [cast("Floats", _enlarge(like, mixed))], own)


def _match_contrast(mixed: Pixels, own: Pixels) -> Pixels:
    """Give the two finest bands of `mixed` the local contrast that they have in `own`, in place.

    The finest is only amplified and the next only weakened, each the other way round from what carrying does.
    """
    (own_fine, own_middle), (mixed_fine, mixed_middle) = _contrasts(own), _contrasts(mixed)
    # The half step keeps flat places, where both are near 0, as they are.
    fine = _enlarge(np.clip((FINE_SHARE * own_fine + 0.5) / (mixed_fine + 0.5), 1.0, MOST_GAIN), mixed)
    middle = _enlarge(np.clip((own_middle + 0.5) / (mixed_middle + 0.5), LEAST_GAIN, 1.0), mixed)
    blurred, low = _blurred_and_low(mixed)
    # That is low + middle * (blurred - low) + fine * (mixed - blurred).
    return _blend([mixed, blurred], [fine, cast("Floats", middle - fine)], low)


def _contrasts(image: Pixels) -> tuple[Floats, Floats]:
    """Return the local contrast of the finest band (its absolute Laplacian) and of the next, at a quarter the size."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    bands = np.abs(cv2.Laplacian(grey, cv2.CV_32F)), cv2.absdiff(*_blurred_and_low(grey))
    return cast("tuple[Floats, Floats]", tuple(cv2.blur(_quarter(band), (5, 5)) for band in bands))


def _blurred_and_low(image: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the image without its finest band, and without its two finest."""
    return cv2.GaussianBlur(image, (5, 5), FINE_SIGMA), _enlarge(_quarter(image), image)
