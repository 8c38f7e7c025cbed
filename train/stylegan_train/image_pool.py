"""The history of fakes that a discriminator is shown, so that it does not forget old tricks.

Source: Shrivastava et al. 2017, 2.3, with the sizes of Zhu et al. 2017, section 4 (50 pictures).
"""

import random

import torch
from torch import Tensor


class ImagePool:
    """Up to `size` fakes of the past; 0 hands each batch through unchanged."""

    def __init__(self, size: int, rng: random.Random) -> None:
        self.size = size
        self.rng = rng
        self.images: list[Tensor] = []

    def query(self, batch: Tensor) -> Tensor:
        """Return a batch of the same shape: each picture is itself or, half of the time, an older one.

        While the pool fills, every picture is stored and returned; later a picture takes, with
        probability one half, the place of a random older one, which is returned in its stead.
        """
        if self.size == 0:
            return batch
        chosen = []
        for image in batch.detach():
            if len(self.images) < self.size:
                self.images.append(image.clone())
                chosen.append(image)
            elif self.rng.random() < 0.5:
                place = self.rng.randrange(self.size)
                chosen.append(self.images[place])
                self.images[place] = image.clone()
            else:
                chosen.append(image)
        return torch.stack(chosen)
