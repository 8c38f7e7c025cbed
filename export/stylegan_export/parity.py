"""Is the exported file the trained network? ONNX Runtime against torch, on the same batches.

Differences are in units of [-1,1]; 1e-4 is a seventieth of a step of 8 bits.

Flat pictures are left out of the figure: where a channel's variance is 0, each InstanceNorm multiplies
rounding by 1/sqrt(eps) = 316. They must still give finite numbers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from stylegan_tool.demo_files import example_pictures
from stylegan_tool.errors import ModelError
from stylegan_tool.image_files.reading import read_picture
from stylegan_tool.pixels import Batch, to_batch
from stylegan_tool.session import Session

LIMIT = 1e-4
# (N, H, W): the traced batch and others, odd sizes, sizes far from the traced one.
NOISE_SHAPES = ((1, 64, 64), (2, 64, 64), (1, 33, 47), (2, 97, 61), (1, 256, 192))
PICTURE_SIZE = 253  # odd


@dataclass(frozen=True)
class Parity:
    """The largest absolute difference over all checks, in units of [-1,1]."""

    max_abs: float
    checked: str


def _batches(multiple: int) -> Iterator[Batch]:
    """The batches, their sides cut to multiples of what the network takes."""

    def cut(side: int) -> int:
        return side // multiple * multiple

    rng = np.random.default_rng(0)
    for n, height, width in NOISE_SHAPES:
        yield rng.uniform(-1, 1, (n, 3, cut(height), cut(width))).astype(np.float32)
    picture = to_batch(read_picture(example_pictures()[0]).image)
    yield np.ascontiguousarray(picture[:, :, : cut(PICTURE_SIZE), : cut(PICTURE_SIZE + 60)])


def measure_parity(generator: nn.Module, path: Path, name: str, *, multiple: int = 1, limit: float = LIMIT) -> Parity:
    """Compare the .onnx at `path` with `generator`; messages call it `name`.

    Sides are cut to multiples of `multiple`.

    Raises:
        ModelError: they differ by more than `limit`, or a black picture gives no finite numbers.
    """
    largest_each = []
    with torch.inference_mode():
        session = Session(path, provider="cpu")
        for batch in _batches(multiple):
            expected = generator(torch.from_numpy(batch)).numpy()
            result = session.run(batch)
            if result.shape != expected.shape:
                raise ModelError(
                    f"{name} gives {result.shape} for {batch.shape}, torch gives {expected.shape}",
                    hint="The file is not kept. Report this with what `sgt doctor` prints.",
                )
            largest_each.append(np.abs(result - expected).max())
        black = session.run(np.full((1, 3, 64, 64), -1, np.float32))
    largest = float(np.max(largest_each))  # unlike max(), it lets no NaN fall out
    if not np.isfinite(black).all() or not largest <= limit:
        what = f"differs from torch by {largest:.2g}" if np.isfinite(black).all() else "turns black into NaN"
        raise ModelError(
            f"{name} {what} (at most {limit:g} is accepted)",
            hint="The file is not kept. Train further, or with another --seed; or report what `sgt doctor` prints.",
        )
    *noise, (_, _, height, width) = [batch.shape for batch in _batches(multiple)]
    shapes = ", ".join(f"{n}x{tall}x{wide}" for n, _, tall, wide in noise)
    return Parity(largest, f"noise {shapes}, a picture of {width}x{height}, black")
