"""`python -m stylegan_train ...`: `sgt train ...`, as torchrun starts it."""

import sys
from collections.abc import Sequence

from stylegan_tool.__main__ import main as sgt


def main(argv: Sequence[str] | None = None) -> int:
    """Run `sgt train` and return its exit code."""
    return sgt(["train", *(sys.argv[1:] if argv is None else argv)])


if __name__ == "__main__":
    raise SystemExit(main())
