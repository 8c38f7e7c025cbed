"""`sgt` and `python -m stylegan_tool`: the only place where errors become exit codes."""

import os
import sys
from collections.abc import Sequence

from stylegan_tool.errors import SgtError

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (see errors.py); tracebacks are for bugs alone."""
    from stylegan_tool.cli import app

    try:
        app(args=None if argv is None else list(argv), prog_name="sgt")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except SgtError as error:
        print(f"sgt: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("sgt: stopped", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has gone (sgt models list | head): nothing is left to say, also not at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0


def entrypoint() -> None:
    """Exit with main's code."""
    raise SystemExit(main())


if __name__ == "__main__":
    entrypoint()
