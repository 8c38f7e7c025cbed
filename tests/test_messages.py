"""The rules by which messages are written, held over every one that the code has; and docs/messages.md is current."""

import re

import pytest

from docs.make_messages import PAGE, Message, find_messages, page

MESSAGES = find_messages()

# Words with which a message may begin in a capital letter, since they are always written so.
PROPER = ("KID", "ONNX Runtime", "OpenVINO", "WORLD_SIZE", "JPEG XL")
# What can be typed: a program and what it takes, an option, code for another project, an address.
COMMAND = re.compile(
    r"(sgt|pip|mkdir|mv|rm|df|ls|git|ray|unset|nvidia-smi|chmod|tiffcp)( |$)|--[a-z]|torch\.save\(|https?://|frames/|SGT_MODELS="
)
# What a message holds that is filled in when it happens begins with a word in capitals, as the page shows it.
FILLED_IN = re.compile(r"'?[A-Z][A-Z_0-9]*\b")


def ids(messages: list[Message]) -> list[str]:
    return [f"{one.place}: {one.what}" for one in messages]


def test_the_page_is_what_the_script_makes_of_the_code() -> None:
    """If this fails: python docs/make_messages.py"""
    assert PAGE.read_text(encoding="utf-8") == page(MESSAGES)


def test_all_exit_codes_and_the_messages_of_every_room_are_found() -> None:
    assert {one.exit_code for one in MESSAGES} == {2, 3, 4, 5, 6, 7, 8}
    rooms = {one.place.split("/")[0] for one in MESSAGES}
    assert rooms == {"stylegan_tool", "train", "export"}
    assert len(MESSAGES) > 250
    assert any(one.error == "PlaceLostError" for one in MESSAGES)


def test_a_sentence_that_a_helper_gets_from_its_callers_is_found() -> None:
    assert any(one.what.startswith("cannot read FILE: JPEG XL needs pip install") for one in MESSAGES)


@pytest.mark.parametrize("message", MESSAGES, ids=ids(MESSAGES))
def test_a_message_says_what_happened_and_what_to_do(message: Message) -> None:
    what, hint = message.what, message.hint
    assert begins_rightly(what)
    assert what.endswith(", ...") or what.endswith("; ...") or what[-1] not in ".!:;, "
    assert hint
    assert hint[0].isupper() or hint[0] in "`'" or COMMAND.match(hint)
    assert hint.endswith(".") or ends_in_a_command(hint)
    assert "  " not in what


def begins_rightly(what: str) -> bool:
    """In lower case, for `sgt: ` stands before it; or with a file, an option or a name."""
    return what[0].islower() or what.startswith("--") or what.startswith(PROPER) or bool(FILLED_IN.match(what))


def ends_in_a_command(hint: str) -> bool:
    """The whole hint is what to type, or what its last words lead to; a remark in brackets may follow."""
    told = re.sub(r"   \(.*\)$", "", hint)
    words = [told, *re.split(r"(?:: |\bor |\bwith |\bby |\bsuch as |\bfor torchrun )", told)[-2:]]
    return any(COMMAND.match(one) or re.fullmatch(r"(TARGET|FOLDER/.*)", one) for one in words)


@pytest.mark.parametrize(
    ("what", "right"),
    [
        pytest.param("cannot read FILE: REASON", True, id="lower"),
        pytest.param("FILE is empty", True, id="file"),
        pytest.param("--tile x is no number", True, id="option"),
        pytest.param("ONNX Runtime cannot open FILE", True, id="proper"),
        pytest.param("Cannot read FILE", False, id="capital"),
        pytest.param("The loss is NaN", False, id="article"),
    ],
)
def test_the_rule_of_beginnings(what: str, right: bool) -> None:
    assert begins_rightly(what) is right


@pytest.mark.parametrize(
    ("hint", "right"),
    [
        pytest.param("Make it: mkdir -p FOLDER", True, id="command"),
        pytest.param("Type the same command: it goes on", False, id="no-command"),
        pytest.param("Install it: pip install a   (in a checkout: pip install b)", True, id="remark"),
        pytest.param("Name another folder for the results", False, id="no-stop"),
    ],
)
def test_the_rule_of_endings(hint: str, right: bool) -> None:
    assert ends_in_a_command(hint) is right
