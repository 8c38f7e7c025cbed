"""What a model says of itself: the contract that travels inside an .onnx, in metadata_props under `sgt.`.

Everything is text there. A file without these entries is somebody else's and gets `ModelInfo()`, whose
defaults promise nothing but RGB in [-1,1].
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from stylegan_tool.errors import ModelError

PREFIX = "sgt."
SCHEMA = 1

Direction: TypeAlias = Literal["A2B", "B2A"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)


@dataclass(frozen=True)
class ModelInfo:
    """One generator. Sizes in pixels; an empty text or 0 means 'not known'."""

    schema: int = 0
    style: str = ""
    direction: str = ""  # A2B or B2A
    domain_a: str = ""
    domain_b: str = ""
    size_multiple: int = 4  # height and width must be multiples of it
    smallest_size: int = 8  # each side at least this
    trained_size: int = 0  # the crops that it was trained on
    receptive_field: int = 96  # how far to each side an output pixel looks, statistics aside
    ngf: int = 64
    n_blocks: int = 0
    upsampling: str = ""
    normalization: str = ""
    precision: str = ""
    tool_version: str = ""
    run: str = ""
    training_data: str = ""
    data_license: str = ""
    parity_max_abs: str = ""  # largest difference from torch, in units of [-1,1]
    parity_mean_abs: str = ""  # the mean, on pictures
    parity_psnr_db: str = ""  # of 8-bit pictures against torch's
    parity_checked: str = ""
    # How somebody else's network takes pictures; empty: as ours do, or not yet found out.
    layout: str = ""  # NCHW or NHWC
    channel_order: str = ""  # RGB or BGR
    input_range: str = ""  # -1..1, 0..1 or 0..255
    output_range: str = ""
    fixed_height: int = 0  # 0: any
    fixed_width: int = 0

    @property
    def source(self) -> str:
        """The domain that it takes, such as 'photo'; empty if not known."""
        return {"A2B": self.domain_a, "B2A": self.domain_b}.get(self.direction, "")

    @property
    def target(self) -> str:
        """The domain that it makes."""
        return {"A2B": self.domain_b, "B2A": self.domain_a}.get(self.direction, "")

    def to_metadata(self) -> dict[str, str]:
        """Return every field as text, for metadata_props."""
        return {PREFIX + key: str(value) for key, value in dataclasses.asdict(self).items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], *, path: str = "the model") -> "ModelInfo":
        """Read what `to_metadata` wrote; entries of others are left alone.

        Raises:
            ModelError: written by a later version, or a number is none.
        """
        ours = {key.removeprefix(PREFIX): text for key, text in metadata.items() if key.startswith(PREFIX)}
        if not ours:
            return cls()
        fields: dict[str, int | str] = {}
        try:
            for field in dataclasses.fields(cls):
                if field.name in ours:
                    fields[field.name] = int(ours[field.name]) if field.type is int else ours[field.name]
        except ValueError as error:
            raise ModelError(
                f"{path} is damaged in what it says of itself: {error}", hint="Export or download it again."
            ) from error
        info = cls(**fields)  # type: ignore[arg-type]  # each value has its field's type by the line above
        if info.schema > SCHEMA:
            raise ModelError(
                f"{path} was written by a later version of this tool (schema {info.schema})",
                hint="Update this one: pip install -U stylegan-tool",
            )
        at_least_1 = (info.size_multiple, info.smallest_size, info.ngf)
        at_least_0 = (info.receptive_field, info.fixed_height, info.fixed_width)
        if info.direction not in (*DIRECTIONS, "") or min(at_least_1) < 1 or min(at_least_0) < 0:
            raise ModelError(f"{path} is damaged in what it says of itself", hint="Export or download it again.")
        return info
