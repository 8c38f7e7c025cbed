"""A corpus of bad input without end, made on the spot: a family, a seed and a number name a case for good.

What each case must come to is known from how it was made: an exit code, or a few where chance decides how bad the
damage is.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np

from tests.faults.bad_films import FILM_KINDS
from tests.faults.bad_images import IMAGE_KINDS
from tests.faults.bad_models import MODEL_KINDS
from tests.faults.judge import Case

Maker: TypeAlias = Callable[[np.random.Generator, Path], Case]

FAMILIES: dict[str, tuple[Maker, ...]] = {"images": IMAGE_KINDS, "models": MODEL_KINDS, "films": FILM_KINDS}


def make_case(family: str, seed: int, number: int, folder: Path) -> Case:
    """Write the input of case `number` of a family below the empty `folder`; every kind comes once a round."""
    kinds = FAMILIES[family]
    rng = np.random.default_rng([list(FAMILIES).index(family), seed, number])
    return kinds[number % len(kinds)](rng, folder)
