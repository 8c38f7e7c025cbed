"""Open the model that the options mean and say, in one line, which one and where it runs."""

from collections.abc import Callable, Sequence

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
    where: str = "",
) -> Session:
    """Return the opened model after saying 'photo -> vangogh (A2B), model vangogh (bundled), CPU'.

    Whoever gets B2A by its letters is told how to name the other way: letters are easily mistaken.

    Args:
        inputs: values of inputs beside the picture, NAME=VALUE.
        where: what to say instead of the provider's name, where the model is only looked at here.

    Raises:
        ModelError, UsageError: see models.choose_model.
        MissingError: a GPU is required and there is none, or none of the number `device_id`.
    """
    model = choose_model(name, direction=direction, to=to)
    session = Session(
        model.path, provider=provider, device_id=device_id, require_gpu=require_gpu, inputs=parse_inputs(inputs)
    )
    say(f"{model.describe()}, {where or session.label}")
    if session.reading and not model.info.schema:
        say(f"taken as {session.reading}; if colours are wrong: sgt models add --help")
    if session.note:
        say(session.note)
    if model.info.direction == "B2A" and direction is not None and to is None:
        other = [one.info for one in load_models(name) if one.info.direction == "A2B"]
        if other:
            say(f"({other[0].source} -> {other[0].target} would be --to {other[0].target})")
    return session
