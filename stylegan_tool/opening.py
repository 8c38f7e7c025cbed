"""Open the model that the options mean and say, in one line, which one and where it runs."""

from collections.abc import Callable, Sequence
from pathlib import Path

from stylegan_tool.hashes import hash_bytes, hash_file
from stylegan_tool.interface import parse_inputs
from stylegan_tool.models import choose_model, load_models
from stylegan_tool.session import Session


def open_model(
    name: str | None,
    *,
    direction: str | None,
    to: str | None,
    provider: str,
    require_gpu: bool,
    say: Callable[[str], None],
    device_id: int | None = None,
    inputs: Sequence[str] = (),
    ray: str | None = None,
) -> Session:
    """Return the opened model after saying 'photo -> vangogh (A2B), model vangogh (bundled), CPU'.

    Whoever gets B2A by its letters is told how to name the other way: letters are easily mistaken.

    Args:
        inputs: values of inputs beside the picture, NAME=VALUE.
        ray: address of the cluster that runs it; here it is then only looked at, on the CPU.

    Raises:
        ModelError, UsageError: see models.choose_model.
        MissingError: a GPU is required and there is none, or none of the number `device_id`.
    """
    model = choose_model(name, direction=direction, to=to)
    if ray is not None:
        provider, require_gpu = "cpu", False
    session = Session(
        model.path, provider=provider, device_id=device_id, require_gpu=require_gpu, inputs=parse_inputs(inputs)
    )
    say(f"{model.describe()}, {session.label if ray is None else f'Ray at {ray}'}")
    if session.reading and not model.info.schema:
        say(f"taken as {session.reading}; if colours are wrong: sgt models add --help")
    if session.note:
        say(session.note)
    if model.info.direction == "B2A" and direction is not None and to is None:
        other = [one.info for one in load_models(name) if one.info.direction == "A2B"]
        if other:
            say(f"({other[0].source} -> {other[0].target} would be --to {other[0].target})")
    return session


def hash_model(session: Session) -> str:
    """Return what tells a model from others: of its graph as it runs, further inputs included."""
    source = session.source
    return hash_file(source) if isinstance(source, Path) else hash_bytes(source)
