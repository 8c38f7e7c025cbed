"""The processes that share a run, as one of them sees the others; here: a run of one process, which has no others.

Every exchange is nothing then. `distributed.Team` is the same for several processes; this file knows no torch, so that
an ordinary run does not pay for it, and what trains does not ask how many they are.
"""

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")


def is_launched() -> bool:
    """Whether a launcher (torchrun, `sgt train --devices`) has started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE") or 1) > 1


class Alone:
    """One process; `rank` is its place among `size`, `local_rank` among those of its machine."""

    rank = 0
    size = 1
    local_rank = 0

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes, logs and shows progress."""
        return self.rank == 0

    def places(self, batch_size: int) -> range:
        """Return which pictures of a batch are this process's; `size` divides `batch_size`."""
        share = batch_size // self.size
        return range(self.rank * share, (self.rank + 1) * share)

    def cut(self, batch: "Tensor") -> "Tensor":
        """Return this process's part of what was drawn for the whole batch."""
        places = self.places(len(batch))
        return batch[places.start : places.stop]

    def gather(self, part: "Tensor") -> "Tensor":
        """Return the whole batch, of which each process has a part: the reverse of `cut`."""
        return part

    def average(self, values: "Tensor") -> "Tensor":
        """Return the mean over all processes."""
        return values

    def average_gradients(self, params: Iterable["Tensor"]) -> None:
        """Replace each gradient by its mean over all processes."""

    def share(self, make: Callable[[], T]) -> T:
        """Return, in every process, what `make` returns in the one that leads; it is called in no other."""
        return make()

    def any(self, answer: bool) -> bool:
        """Return, in every process alike, whether any of them says yes."""
        return answer


ALONE = Alone()
