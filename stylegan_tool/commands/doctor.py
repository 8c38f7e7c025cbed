"""`sgt doctor`: what is installed, and where a model really runs."""

import typer


def doctor() -> None:
    """Check the installation: versions, FFmpeg's encoders, and where models can run.

    sgt doctor       # for you, and to be copied into a bug report
    sgt models list  # which models are here
    sgt demo         # and whether they run: on the pictures that ship

    Runs one convolution on each provider and reads from ONNX Runtime's own profile where it ran. Exit code 7
    if something is broken; a missing GPU is not.
    """
    from stylegan_tool.diagnosis import diagnose
    from stylegan_tool.errors import MissingError

    diagnosis = diagnose()
    for line in diagnosis.lines:
        typer.echo(line)
    if diagnosis.faults:
        raise MissingError("; ".join(diagnosis.faults), hint=diagnosis.remedy)
