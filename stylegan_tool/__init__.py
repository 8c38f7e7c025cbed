"""Turn folders of pictures and whole videos into another style with CycleGAN (inference side, no torch)."""

__version__ = "0.1.0"
