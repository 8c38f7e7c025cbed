"""KID and FID by torch-fidelity, for `sgt evaluate`: here, because they need torch.

KID (Binkowski et al. 2018) is an unbiased estimate, so that sets of some dozens of pictures can be compared by it; it
may fall below 0. FID (Heusel et al. 2017) is biased by the number of pictures, badly below some thousands, and stands
here for equal N alone.

The network's weights are a file that the user puts in place (stylegan_tool/inception_weights.py).
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from stylegan_tool.errors import MissingError
from stylegan_tool.inception_weights import WEIGHTS

PROTOCOL = (
    f"{WEIGHTS}, layer 2048, by torch-fidelity, which scales the squares to 299 px as TensorFlow 1 did; KID x1e3, "
    "polynomial kernel over all N of a draw (unbiased); FID is biased by N, so compare equal N alone"
)

Square: TypeAlias = NDArray[np.uint8]  # (side,side,3)
Features: TypeAlias = torch.Tensor  # (pictures,2048), float32
Extract: TypeAlias = Callable[[torch.Tensor], Features]  # of uint8 (N,3,H,W)


def load_inception(weights: Path) -> Extract:
    """Return the network that makes features of pictures; `weights` is the checked file.

    Raises:
        MissingError: torch-fidelity is not installed or does not load.
    """
    network = _import_library().FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights)
    )

    def extract(batch: torch.Tensor) -> Features:
        features: Features = network(batch)[0]
        return features

    return extract


def _import_library() -> ModuleType:
    try:
        import torch_fidelity
    except ImportError as error:
        raise MissingError(
            f"torch-fidelity is not installed ({error})",
            hint="Install it: pip install 'stylegan-tool[metrics]'   (in a checkout: pip install '.[metrics]')",
        ) from error
    except RuntimeError as error:  # from torchvision, which it imports, where that was built for another torch
        raise MissingError(
            f"torch-fidelity does not load: {error}",
            hint="Install a torchvision that was built for this torch: pip install --upgrade torch torchvision",
        ) from error
    module: ModuleType = torch_fidelity
    return module


def extract_features(
    squares: Mapping[int, Square], extract: Extract, done: Callable[[], None] = lambda: None
) -> dict[int, Features]:
    """Return the features of each picture, (1,D), one picture at a time; `done` is called after each."""
    features = {}
    with torch.inference_mode():
        for index, square in squares.items():
            batch = torch.from_numpy(np.ascontiguousarray(square.transpose(2, 0, 1)[None]))  # HWC -> NCHW
            features[index] = extract(batch).to(torch.float32)
            done()
    return features


def kid_and_fid(one: Sequence[Features], other: Sequence[Features]) -> tuple[float, float]:
    """Return KID times 1000 and FID of two sets of the same size, 2 pictures or more."""
    _import_library()
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    sets = [torch.cat(list(features)) for features in (one, other)]
    n = min(len(features) for features in sets)
    kid = kid_features_to_metric(*sets, kid_subsets=1, kid_subset_size=n, verbose=False)[KEY_METRIC_KID_MEAN]
    statistics = [fid_features_to_statistics(features.to(torch.float64)) for features in sets]
    return 1000 * float(kid), float(fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID])
