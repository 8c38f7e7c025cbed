"""A plain PyTorch loop, as CycleGAN test scripts are written: read, resize, run, save, one after another.

`python -m bench.eager MODEL.onnx IN OUT`, where IN is a folder of pictures or a film. The weights are those of the
ONNX file, put back into the trainer's network, so that both sides of the comparison compute the same picture.
"""

import json
import sys
from pathlib import Path

import av
import numpy as np
import onnx
import torch
from av.video.stream import VideoStream
from onnx import numpy_helper
from PIL import Image as PilImage

from stylegan_train.networks import Generator

QUALITY = 95  # of JPEG files, as `sgt images` writes them


def load_generator(path: Path) -> Generator:
    """Return the network that `sgt export` made the file at `path` of, with its weights."""
    model = onnx.load(path)
    about = {entry.key: entry.value for entry in model.metadata_props}
    network = Generator(
        int(about["sgt.ngf"]),
        int(about["sgt.n_blocks"]),
        antialias=about["sgt.upsampling"] == "linear",
        clamp=any(node.op_type == "Clip" for node in model.graph.node),
    )
    weights = {one.name: torch.from_numpy(numpy_helper.to_array(one).copy()) for one in model.graph.initializer}
    names = network.state_dict().keys()
    network.load_state_dict({name: weights[name] for name in names})
    return network.eval()


def stylize(network: Generator, picture: PilImage.Image) -> PilImage.Image:
    """Picture in, picture out; sides are made multiples of 4, as those scripts do."""
    width, height = (side // 4 * 4 for side in picture.size)
    if (width, height) != picture.size:
        picture = picture.resize((width, height), PilImage.Resampling.BICUBIC)
    batch = torch.from_numpy(np.array(picture, np.float32)).permute(2, 0, 1)[None] / 255  # HWC -> NCHW
    with torch.no_grad():
        made = network((batch - 0.5) / 0.5)
    pixels = (made[0].permute(1, 2, 0).numpy() + 1) / 2 * 255
    return PilImage.fromarray(pixels.round().clip(0, 255).astype(np.uint8))


def run_folder(network: Generator, source: Path, target: Path) -> int:
    """Stylise the pictures of a folder, one after another."""
    target.mkdir(exist_ok=True)
    paths = sorted(source.iterdir())
    for path in paths:
        stylize(network, PilImage.open(path).convert("RGB")).save(target / path.name, quality=QUALITY)
    return len(paths)


def run_film(network: Generator, source: Path, target: Path) -> int:
    """Stylise a film frame by frame; without sound, which costs nothing."""
    frames = 0
    with av.open(str(source)) as film, av.open(str(target), "w") as out:
        shown = film.streams.video[0]
        stream = out.add_stream("libx264", rate=shown.average_rate, width=shown.width, height=shown.height)
        assert isinstance(stream, VideoStream)
        stream.codec_context.options = {"crf": "16", "preset": "veryfast"}  # as `sgt video` encodes
        for frame in film.decode(shown):
            picture = stylize(network, PilImage.fromarray(frame.to_ndarray(format="rgb24")))
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.array(picture))))
            frames += 1
        out.mux(stream.encode(None))
    return frames


def main() -> None:
    """Run the loop on what the command line names."""
    model, source, target = (Path(argument) for argument in sys.argv[1:])
    network = load_generator(model)
    done = run_folder(network, source, target) if source.is_dir() else run_film(network, source, target)
    print(json.dumps({"done": done}))


if __name__ == "__main__":
    main()
