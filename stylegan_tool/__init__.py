"""Turn folders of pictures and whole videos into another style with CycleGAN (inference side, no torch)."""

import os

__version__ = "0.1.0"

# ONNX Runtime since 1.29 tells Microsoft which models are opened, and where and how long they run, unless this is said
# before it is loaded. Pictures, models and habits are nobody's business: it is said here, before anything can load it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
