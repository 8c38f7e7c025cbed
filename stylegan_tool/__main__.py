"""`sgt` and `python -m stylegan_tool`: the only place where errors become exit codes."""

import io
import sys
from collections.abc import Callable, Sequence

from stylegan_tool.errors import SgtError, of_system

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (see errors.py); tracebacks are for bugs alone."""
    from stylegan_tool.cli import app

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal cannot show is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    return exit_code(lambda: app(args=None if argv is None else list(argv), prog_name="sgt"))


def exit_code(run: Callable[[], object]) -> int:
    """Call `run`, say what it fails by, and return the exit code."""
    try:
        run()
    except SystemExit as stop:
        if stop.code == INTERRUPTED:  # Typer has caught the interrupt
            print("sgt: stopped", file=sys.stderr)
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except SgtError as error:
        return _tell(error)
    except (OSError, MemoryError) as error:
        told = of_system(error)
        if told is None:
            raise
        return _tell(told)
    except KeyboardInterrupt:
        print("sgt: stopped", file=sys.stderr)
        return INTERRUPTED
    return 0


def _tell(error: SgtError) -> int:
    print(f"sgt: {error}", file=sys.stderr)
    return error.exit_code


def entrypoint() -> None:
    """Exit with main's code."""
    raise SystemExit(main())


if __name__ == "__main__":
    entrypoint()
