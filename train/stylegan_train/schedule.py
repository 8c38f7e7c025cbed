"""The learning rate: constant, then linear to zero (Zhu et al. 2017, section 4)."""


def lr_factor(epoch: float, *, epochs: int, decay_from: int) -> float:
    """Return what the learning rate is multiplied with at `epoch` (0-based, fractions allowed).

    1 for epoch <= decay_from, then a straight line that reaches 0 at `epochs`.
    """
    if epoch <= decay_from:
        return 1.0
    return max(0.0, (epochs - epoch) / (epochs - decay_from))
