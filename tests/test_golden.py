"""The bundled styles on a fixed piece of a picture, against what they gave when somebody last looked.

Processors round differently, so a few values may differ by a step or two; SGT_UPDATE_GOLDEN=1 writes the
pictures anew (look at them before you commit them).
"""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage

from stylegan_tool.demo_files import examples_folder
from stylegan_tool.image_files.reading import read_picture
from stylegan_tool.models import bundled_styles, choose_model
from stylegan_tool.options import TileOption
from stylegan_tool.session import Session
from stylegan_tool.stylize import Stylizer

GOLDEN = Path(__file__).parent / "golden"
MEAN, MOST = 0.1, 4  # of 255


@pytest.mark.parametrize("direction", ["A2B", "B2A"])
@pytest.mark.parametrize("style", bundled_styles())
def test_the_bundled_styles_look_as_they_did(style: str, direction: str) -> None:
    image = read_picture(examples_folder() / "pictures" / "mountain.jpg").image[200:361, 300:523]
    session = Session(choose_model(style, direction=direction).path, provider="cpu")
    result = Stylizer(session, TileOption("off"))(image)
    golden = GOLDEN / f"{style}_{direction}.png"
    if os.environ.get("SGT_UPDATE_GOLDEN") == "1":
        PilImage.fromarray(result).save(golden)
    with PilImage.open(golden) as picture:
        difference = np.abs(np.asarray(picture).astype(int) - result)
    levels = {level: int((difference >= level).sum()) for level in (1, 2, 3, 5, 9)}
    assert difference.mean() <= MEAN, f"mean {difference.mean():.3f}; values that differ by at least: {levels}"
    assert difference.max() <= MOST, f"values that differ by at least: {levels}"
