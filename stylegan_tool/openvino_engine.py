"""Runs models with OpenVINO: the only file that imports it, and only when it is asked for.

Where the processor has fast bfloat16, products are computed in it and summed in float32; what goes in and out, and what
is kept between two stages of exact tiles, is float32 all the same.
"""

import sys
import threading
from pathlib import Path
from typing import Any, ClassVar

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


_MOST_KEPT = 64 * 2**20  # bytes that an engine may keep while another runs


class OpenVinoEngine:
    """A model, compiled for the CPU. Runs of all engines wait for each other: each takes all threads by itself.

    Attributes:
        inputs, outputs: names in the graph.
    """

    _lock = threading.Lock()
    _last: ClassVar["OpenVinoEngine | None"] = None

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
        self._request: Any = None
        self._kept_bytes = 0  # about: what went in and came out of the last run

    def run(self, inputs: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the outputs, in order."""
        with self._lock:
            self._take_turn()
            contiguous = {name: np.ascontiguousarray(value) for name, value in inputs.items()}
            self._request.infer(contiguous, share_inputs=True)
            # Copies: the next run writes to the same memory.
            made = [self._request.get_output_tensor(i).data.copy() for i in range(len(self.outputs))]
            self._kept_bytes = sum(one.nbytes for one in (*contiguous.values(), *made))
            return made

    def _take_turn(self) -> None:
        """Free what the engine that ran before has kept for its next run.

        A picture runs through a stage tile after tile before it comes to the next: if all of them kept theirs, they
        would hold several times what one needs. (The memory of its result stays with a compiled model.) Little is kept:
        the frames of a film come back to each stage soon.
        """
        last = OpenVinoEngine._last
        if last is not None and last is not self and last._kept_bytes > _MOST_KEPT:
            last._request = None
            last._compiled.release_memory()
        OpenVinoEngine._last = self
        if self._request is None:
            self._request = self._compiled.create_infer_request()
