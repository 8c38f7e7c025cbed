"""Where the example pictures and the clip are: beside the package in a checkout, inside it in a wheel."""

from pathlib import Path

from stylegan_tool.errors import InputError


def examples_folder() -> Path:
    """Return the folder with pictures/ and clip.mp4.

    Raises:
        InputError: this installation has none.
    """
    package = Path(__file__).parent
    for folder in (package / "examples", package.parent / "examples"):
        if (folder / "pictures").is_dir():
            return folder
    raise InputError(
        "this installation has no example pictures",
        hint="Reinstall it: pip install --force-reinstall stylegan-tool",
    )


def example_pictures() -> list[Path]:
    """Return the example pictures, sorted by name."""
    return sorted((examples_folder() / "pictures").glob("*.jpg"))
