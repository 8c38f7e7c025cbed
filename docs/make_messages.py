"""Make docs/messages.md: every message that a failure can have, by exit code, read off the code itself.

    python docs/make_messages.py

Finds each construction of an `SgtError` in the three packages by their syntax trees, without importing them, and turns
its two texts into templates: what is filled in becomes a word in capitals. A sentence that a helper function gets from
its callers is looked up there. What is only known when it happens stands as REASON or MESSAGE.
tests/test_messages.py says by which rules messages are written.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "messages.md"
PACKAGES = ("stylegan_tool", "train/stylegan_train", "export/stylegan_export")

CODES = {  # what happened, and what a script does then
    2: ("the command line asks for what makes no sense or is ambiguous", "stops: only another command is of use"),
    3: ("an input cannot be read, or there is none", "sets that input aside, or has it made again"),
    4: ("a model is missing, damaged or unfit", "stops: another model must be named, or this one made again"),
    5: ("the output cannot be written, or something is in its place", "makes room or names another place, and goes on"),
    6: (
        "some files failed, all others are done; or a film is finished, with damaged places",
        "takes the results, and the failed names from --report FILE.json",
    ),
    7: ("something is not installed, no GPU, or no network", "stops; after a failed network, tries the same again"),
    8: ("the computation failed, mostly for want of memory", "tries again with less memory or smaller tiles"),
}

AREAS = (  # the first that a file's path begins with
    ("Command line", ("stylegan_tool/cli", "stylegan_tool/commands/model_options", "stylegan_tool/options",
                      "stylegan_tool/help",
                      "stylegan_tool/usage", "stylegan_tool/library")),
    ("Pictures and folders", ("stylegan_tool/folder", "stylegan_tool/image_files", "stylegan_tool/whole_files",
                              "stylegan_tool/pictures", "stylegan_tool/jpeg_xl", "stylegan_tool/commands/images")),
    ("Films", ("stylegan_tool/film", "stylegan_tool/flicker", "stylegan_tool/steady", "stylegan_tool/commands/video")),
    ("Several machines", ("stylegan_tool/cluster",)),
    ("Large pictures and memory", ("stylegan_tool/exact", "stylegan_tool/stylize", "stylegan_tool/tiling",
                                   "stylegan_tool/scratch")),
    ("Fetching models", ("stylegan_tool/download", "stylegan_tool/official", "stylegan_tool/commands/fetch")),
    ("Evaluation", ("stylegan_tool/evaluation", "stylegan_tool/inception", "stylegan_tool/commands/evaluate",
                    "train/stylegan_train/inception")),
    ("Demo and installation", ("stylegan_tool/demo", "stylegan_tool/diagnosis", "stylegan_tool/commands/demo",
                               "stylegan_tool/commands/doctor")),
    ("Import", ("export/stylegan_export/import", "train/stylegan_train/foreign")),
    ("Export", ("export/",)),
    ("Training", ("train/",)),
    ("Models, and where they run", ("stylegan_tool/",)),
)  # fmt: skip

# What a value is called on the page, by the name that the code has for it; others are that name in capitals.
WORDS = {
    "path": "FILE", "file": "FILE", "part": "FILE", "model": "MODEL", "origin": "FILE", "current": "FOLDER",
    "record": "FILE", "text": "TEXT", "target": "TARGET", "source": "SOURCE", "out": "FOLDER", "place": "FOLDER",
    "parent": "FOLDER", "runs": "FOLDER", "label": "MODEL", "error": "REASON", "strerror": "REASON", "what": "MESSAGE",
    "why": "REASON", "problem": "REASON", "hint": "As for MESSAGE alone.", "name": "NAME", "where": "MODEL",
    "there": "FILE",
    "foreign": "KIND", "in_the_way": "FILE, ...", "bad": "N", "SUFFIXES": "SUFFIX, ...", "least": "N", "smallest": "N",
    "format_bytes": "SIZE", "len": "N", "node": "MACHINE", "url": "URL", "URL": "URL", "names": "FILE and FILE",
    "models_folder": "FOLDER", "scratch_folder": "FOLDER", "beside": "FILE", "__version__": "VERSION",
    "container": "KIND", "foreign[0]": "FILE", "getattr": "REASON", "ceil": "N", "sep": "/", "status": "STATUS",
    "n_processes": "N", "n_gpus": "N", "error_index": "N", "has": "--direction DIRECTION (--to DOMAIN), ...",
    "max(SIDES[0], 2 * self.least_side)": "N", "_kinds": "KIND, ...", "kinds": "KIND, ...",
    "what_to_do": "As the reason says: make room, name a place where you may write, or choose a shorter name.",
    "first_line": "REASON", "filename": "FILE", "differs": "OPTION was OLD, now NEW; ...",
    # Lists, and what one of their members is.
    "known": "NAME", "PRESETS": "PRESET", "CODECS": "CODEC", "METRICS": "METRIC", "OFFICIAL": "NAME",
    "installed": "NAME",
    "AUGMENTATIONS": "AUGMENTATION", "CONTAINERS": "SUFFIX", "PICTURES": "SUFFIX", "keys": "NAME", "good": "CODEC",
    "directions": "DIRECTION", "options": "OPTION, ...", "list_streams": "SOUND, ...", "shared": "FILE",
    "broken": "NAME",
    "unknown": "NAME", "others": "NAME", "one": "NAME", "missing": "NAME", "missing[0]": "FILE",
    "_NAMES[codec]": "CODEC",
    # Numbers.
    "frames": "N", "arrived": "N", "n_bytes": "N", "here": "N", "repaired": "N", "changed": "N", "fewest": "N",
    "lowest": "N", "longest": "N", "halo": "N", "tile": "N", "number": "N", "end_s": "END", "start_s": "START",
    "length_s": "LENGTH", "device_id": "N",
    "session.label": "PROVIDER", "ran_on": "PROVIDER", "LABELS": "PROVIDER",
    "asked": "CODEC", "example_value": "VALUE", "shape_text": "SHAPE", "cause": "REASON", "named": "NAME",
    "place / recipe.folders[0]": "FOLDER", "path / recipe.folders[0]": "FOLDER",
    # A command line that cannot be, and the help of the command that was typed.
    "command_path": "sgt COMMAND", "shlex.join([*near, *rest])": "...", "' or '.join(error.possibilities)": "--OPTION",
    "lacking": "ARGUMENT, ...", "example(command)": "sgt COMMAND ...",
    "_typed(param, args)": "OPTION VALUE", "spell": "OPTION VALUE",
    "param.help": "what it is for, and what it takes.", "usage": "Usage: sgt COMMAND ARGUMENT ... [OPTIONS]",
    "wrong": "REASON",
    # What somebody else says.
    "error.hint": "As for MESSAGE alone.",
    "'; '.join(diagnosis.faults)": "ONNX Runtime cannot run a convolution on the CPU, or NAME and NAME are both "
    "installed and overwrite each other",
    "remedy": "pip uninstall -y NAME ... && pip install --force-reinstall stylegan-tool",
    "error.what.replace('sgt import', 'turning it into an .onnx')": "MESSAGE",
    "fsdecode": "FILE", "first": "TYPE SHAPE", "kind": "TYPE SHAPE", "dtype": "TYPE", "little": "NEW.tif",
    "numbered[before]": "FILE", "numbered[after]": "FILE", "found[0]": "N", "found[0][0]": "FOLDER",
}  # fmt: skip

_SENTENCES = frozenset(
    {"reason", "hint", "what", "failed", "remedy", "doing"}
)  # parameters that carry words of their callers
_DEEPEST = 4  # callers of callers that are looked up

# One sentence more, where a message and its hint are not enough; the key is how the message begins.
MORE = {
    "already there": "Which results are known to be its own stands in the folder's `.sgt` files: see folders.md.",
    "FOLDER keeps a part of this film": "The folder is beside the film and ends in `.sgt`: see film.md.",
    "--require-gpu": "Without the option the same command runs on the CPU, and says so.",
}

Scope: TypeAlias = ast.FunctionDef | ast.Module


@dataclass(frozen=True, order=True)
class Message:
    """One message as templates: `error` is its class, `place` its file and function, `hint` may be empty."""

    exit_code: int
    area: str
    what: str
    hint: str
    error: str = field(compare=False)
    place: str = field(compare=False)


@dataclass(frozen=True)
class Unit:
    """A file of the packages: its path in the repository, with '/', and its tree."""

    path: str
    tree: ast.Module

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """Return what holds each node."""
        return {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        """Give what holds `node`, from the inside out."""
        while node in self.parents:
            node = self.parents[node]
            yield node

    def scope(self, node: ast.AST) -> Scope:
        """Return the function that `node` stands in, or the module."""
        return next((one for one in self.around(node) if isinstance(one, ast.FunctionDef)), self.tree)


def find_messages(root: Path = ROOT) -> list[Message]:
    """Return all messages of the packages below `root`, sorted; alternatives of one construction are several."""
    paths = sorted(path for package in PACKAGES for path in (root / package).rglob("*.py"))
    units = [
        Unit(path.relative_to(root).as_posix(), ast.parse(path.read_text(encoding="utf-8"), str(path)))
        for path in paths
    ]
    code = _Code(units)
    return sorted({message for unit in units for message in code.messages_of(unit)})


class _Code:
    """All files together: which classes are errors, who calls whom, and what a text can be."""

    def __init__(self, units: Sequence[Unit]) -> None:
        self._units = units
        self.codes = _exit_codes(units)
        self._calls: defaultdict[str, list[tuple[Unit, ast.Call]]] = defaultdict(list)
        self._constants: defaultdict[str, dict[str, ast.expr]] = defaultdict(dict)  # by name, then by file
        for unit in units:
            for node in ast.walk(unit.tree):
                if isinstance(node, ast.Call):
                    self._calls[_last_name(node.func)].append((unit, node))
            for statement in unit.tree.body:
                if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                    self._constants[statement.targets[0].id][unit.path] = statement.value

    def messages_of(self, unit: Unit) -> Iterator[Message]:
        for node in ast.walk(unit.tree):
            if not isinstance(node, ast.Call):
                continue
            error = _last_name(node.func)
            if isinstance(node.func, ast.Call) and _last_name(node.func.func) == "type":
                error = self._caught(unit, node)  # type(error)(...): the same again, with more words
            if error not in self.codes or not node.args:
                continue
            scope = unit.scope(node)
            place = f"{unit.path}, {getattr(scope, 'name', 'module')}"
            for what, hint in self._both(unit, scope, node):
                yield Message(self.codes[error], _area(unit.path), what, hint, error, place)

    def _both(self, unit: Unit, scope: Scope, call: ast.Call) -> Iterator[tuple[str, str]]:
        hint = next((keyword.value for keyword in call.keywords if keyword.arg == "hint"), ast.Constant(""))
        for given in self._bindings(unit, scope, [call.args[0], hint]):
            text = _Text(self, unit, scope, given)
            yield from product(text.of(call.args[0]), text.of(hint))

    def _caught(self, unit: Unit, node: ast.AST) -> str:
        handler = next(one for one in unit.around(node) if isinstance(one, ast.ExceptHandler))
        return _last_name(handler.type) if handler.type is not None else ""

    def _bindings(self, unit: Unit, scope: Scope, used: Iterable[ast.expr], depth: int = 0) -> list[dict[str, str]]:
        """Return what the callers of `scope` pass for the sentences among its parameters; one entry for each."""
        if isinstance(scope, ast.Module) or depth > _DEEPEST:
            return [{}]
        parameters = [one.arg for one in [*scope.args.posonlyargs, *scope.args.args, *scope.args.kwonlyargs]]
        is_method = parameters[:1] == ["self"]
        parameters = parameters[is_method:]
        names = {one.id for expression in used for one in ast.walk(expression) if isinstance(one, ast.Name)}
        wanted = [name for name in parameters if name in _SENTENCES & names]
        if not wanted:
            return [{}]
        found: list[dict[str, str]] = []
        for caller, call in self._calls[scope.name]:
            if scope.name.startswith("_") and caller is not unit:
                continue
            if is_method is not (isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "self"):
                continue
            passed = _passed(scope, parameters, call)
            expressions = [passed.get(name, ast.Constant("")) for name in wanted]
            around = caller.scope(call)
            for given in self._bindings(caller, around, expressions, depth + 1):
                text = _Text(self, caller, around, given)
                found += [
                    dict(zip(wanted, values, strict=True))
                    for values in product(*(text.of(expression) for expression in expressions))
                ]
        return found or [{}]

    def constant(self, unit: Unit, name: str) -> ast.expr | None:
        """Return the value of a constant of the file, or of the only file that has one of that name."""
        values = self._constants[name]
        return values.get(unit.path) or (next(iter(values.values())) if len(values) == 1 else None)


@dataclass(frozen=True)
class _Text:
    """What an expression of strings can be, in one function, where callers pass `given`."""

    code: _Code
    unit: Unit
    scope: Scope
    given: dict[str, str]

    def of(self, node: ast.expr) -> list[str]:
        """Return the alternatives; a word in capitals where it is not known."""
        match node:
            case ast.Constant(value=str(text)):
                return [text]
            case ast.Constant(value=value):
                return [str(value)]
            case ast.JoinedStr(values=parts):
                return ["".join(texts) for texts in product(*(self.of(part) for part in parts))]
            case ast.FormattedValue(value=inner):
                return self.of(inner)
            case ast.BinOp(left=left, op=ast.Add(), right=right) if not isinstance(right, ast.Constant):
                return ["".join(texts) for texts in product(self.of(left), self.of(right))]
            case ast.IfExp(body=yes, orelse=no):
                return _either(self.of(yes), self.of(no))
            case ast.Name(id=name):
                return self._named(name)
            case _:
                return [_word(node)]

    def _named(self, name: str) -> list[str]:
        if name in self.given:
            return [self.given[name]]
        assigned = [
            one.value
            for one in ast.walk(self.scope)
            if isinstance(one, ast.Assign) and any(isinstance(to, ast.Name) and to.id == name for to in one.targets)
        ]
        if not assigned and name.strip("_").isupper():
            constant = self.code.constant(self.unit, name)
            if constant is not None and (isinstance(constant, ast.Constant) or _is_text(constant)):
                return self.of(constant)
        texts = [text for value in assigned if _is_text(value) for text in self.of(value)]
        return list(dict.fromkeys(texts)) or [WORDS.get(name, _capitals(name))]


def _either(yes: list[str], no: list[str]) -> list[str]:
    if yes == [""] or no == [""]:
        return [f"[{text}]" for text in (no if yes == [""] else yes)]
    return [*yes, *no]


def _is_text(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=str()) | ast.JoinedStr():
            return True
        case ast.IfExp(body=yes, orelse=no):
            return _is_text(yes) and _is_text(no)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _is_text(left) and _is_text(right)
    return False


def _word(node: ast.expr) -> str:
    """Return one speaking word for a value: what it is called where it is called anything."""
    if ast.unparse(node) in WORDS:
        return WORDS[ast.unparse(node)]
    match node:
        case ast.Attribute(attr="name" | "value" | "suffix", value=inner):
            return "SUFFIX" if node.attr == "suffix" else _word(inner)
        case ast.Attribute(attr=attribute):
            return WORDS.get(attribute.strip("_"), _capitals(attribute))
        case ast.Name(id=name):
            return WORDS.get(name, _capitals(name))
        case ast.Call(func=ast.Attribute(attr="join"), args=[inner]):
            word = _word(inner)
            return word if "..." in word else f"{word}, ..."
        case ast.Call(
            func=ast.Attribute(attr="absolute" | "with_suffix" | "removesuffix" | "partition" | "describe", value=inner)
        ):
            return _word(inner)
        case ast.Call(func=ast.Attribute(attr=method)) if method not in {"get", "replace"}:
            return WORDS.get(method, _capitals(method))
        case ast.Call(func=ast.Name(id="str" | "typed" | "sorted" | "min" | "max" | "float"), args=[inner, *_]):
            return _word(inner)
        case ast.Call(func=ast.Name(id=function)):
            return WORDS.get(function.strip("_"), _capitals(function))
        case ast.BoolOp(values=[first, *_]):
            return _word(first)
        case ast.Subscript(value=inner) | ast.Starred(value=inner) | ast.GeneratorExp(elt=inner):
            return _word(inner)
        case ast.List(elts=[inner, *_]):
            return _word(inner)
        case ast.BinOp(op=ast.Div(), right=ast.Constant(value=str(last))):
            return f"FOLDER/{last}"
        case ast.BinOp():
            return "N"
        case ast.IfExp(body=inner):
            return _word(inner)
    return "VALUE"


def _capitals(name: str) -> str:
    return name.strip("_").upper()


def _last_name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _passed(function: ast.FunctionDef, parameters: Sequence[str], call: ast.Call) -> dict[str, ast.expr]:
    """Return which expression each parameter gets; defaults where it gets none."""
    defaults = dict(zip(reversed(parameters), reversed(function.args.defaults), strict=False))
    by_place = dict(zip(parameters, call.args, strict=False))
    by_name = {one.arg: one.value for one in call.keywords if one.arg is not None}
    return {**defaults, **by_place, **by_name}


def _exit_codes(units: Iterable[Unit]) -> dict[str, int]:
    """Return the code of each class that comes from SgtError, its own or its parent's."""
    classes = [one for unit in units for one in ast.walk(unit.tree) if isinstance(one, ast.ClassDef)]
    codes = {"SgtError": 1}
    while True:
        before = len(codes)
        for one in classes:
            for base in map(_last_name, one.bases):
                if base in codes and one.name not in codes:
                    codes[one.name] = _own_code(one) or codes[base]
        if len(codes) == before:
            return codes


def _own_code(one: ast.ClassDef) -> int:
    for statement in one.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="exit_code")], value=ast.Constant(value=int(code))):
                return code
    return 0


def _area(path: str) -> str:
    return next(area for area, beginnings in AREAS if path.startswith(beginnings))


INTRODUCTION = """# What the messages say

A failure prints two lines to standard error: `sgt: ` and what happened, to which file; below it what to do now, with
the command to type where there is one. Tracebacks are bugs: report them with what `sgt doctor` prints.

The exit code says the same to a script:

| code | what happened | what a script does |
| --- | --- | --- |
| 0 | all is done | goes on |
| 1 | a bug of this tool: a traceback | stops, and keeps the traceback |
{codes}
| 130 | Ctrl-C: what is done is kept | runs the same command again to go on |

Below, words in capitals stand for what the message names (FILE, N, REASON: what the system or a library said), and
[brackets] for what is not always there. Misspelt options and missing arguments end with 2, too, and say which option.
This page is made from the code by `python docs/make_messages.py`.
"""


def page(messages: Sequence[Message]) -> str:
    """Return docs/messages.md."""
    rows = "\n".join(f"| {code} | {what} | {do} |" for code, (what, do) in CODES.items())
    lines = [INTRODUCTION.format(codes=rows)]
    for code, (title, _) in CODES.items():
        lines += [f"## {code}: {title}", ""]
        for area, _ in AREAS:
            here = [one for one in messages if (one.exit_code, one.area) == (code, area)]
            found = dict.fromkeys((one.what, one.hint) for one in here if one.what != "MESSAGE")  # told elsewhere
            if found:
                lines += [f"### {area}", "", *(_entry(*one) for one in found), ""]
    return "\n".join(lines)


def _entry(what: str, hint: str) -> str:
    more = [sentence for beginning, sentence in MORE.items() if what.startswith(beginning)]
    below = " ".join(one for one in [_escaped(hint), *more] if one)
    return f"- **{_escaped(what)}**" + (f"<br>\n  {below}" if below else "")


def _escaped(text: str) -> str:
    """What Markdown would take for its own."""
    return re.sub(r"([*<>\[\]])", r"\\\1", text.replace("....", "..."))


if __name__ == "__main__":
    PAGE.write_text(page(find_messages()), encoding="utf-8")
