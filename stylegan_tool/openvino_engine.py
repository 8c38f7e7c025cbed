"""Runs models with OpenVINO: the only file that imports it, and only when it is asked for.

Where the processor has fast bfloat16, products are computed in it and summed in float32; what goes in and out, and what
is kept between two stages of exact tiles, is float32 all the same.
"""

import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylegan_tool.errors import MissingError

# Unless told otherwise, importing OpenVINO writes to ~/intel and sends an event to Google Analytics: nobody who runs a
# style has agreed to that. Where that package is missing, it goes without, so here it is missing.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # what makes an import fail
try:
    import openvino
except ImportError as error:
    raise MissingError(
        "--provider openvino: OpenVINO is not installed",
        hint="Install it: pip install 'stylegan-tool[openvino]'   (in a checkout: pip install '.[openvino]')",
    ) from error

_core = openvino.Core()


def has_bfloat16() -> bool:
    """Return whether this processor has fast bfloat16."""
    return "BF16" in _core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def version() -> str:
    """Return OpenVINO's version."""
    return str(openvino.__version__).partition("-")[0]


class OpenVinoEngine:
    """A model, compiled for the CPU; may be run from several threads at once.

    Attributes:
        inputs, outputs: names in the graph.
    """

    def __init__(self, model: Path | bytes, *, precise: bool = False) -> None:
        """Compile `model`.

        Args:
            precise: in float32 all through.

        Raises:
            RuntimeError: OpenVINO cannot read or compile it.
        """
        read = _core.read_model(model if isinstance(model, bytes) else str(model))
        precision = "bf16" if has_bfloat16() and not precise else "f32"
        self._compiled = _core.compile_model(read, "CPU", {"INFERENCE_PRECISION_HINT": precision})
        # As they are read: compiling drops casts, and what they took and made are then two names of one thing.
        self.inputs = [port.get_any_name() for port in read.inputs]
        self.outputs = [port.get_any_name() for port in read.outputs]
        self._local = threading.local()

    def run(self, inputs: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the outputs, in order."""
        if not hasattr(self._local, "request"):
            self._local.request = self._compiled.create_infer_request()
        request = self._local.request
        request.infer({name: np.ascontiguousarray(value) for name, value in inputs.items()}, share_inputs=True)
        # Copies: the next run writes to the same memory.
        return [request.get_output_tensor(i).data.copy() for i in range(len(self.outputs))]
