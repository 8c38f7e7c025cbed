"""A checkpoint of another project becomes an installed model: recognised, exported, compared, registered."""

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from stylegan_export.cli import describe_run
from stylegan_export.parity import measure_parity
from stylegan_export.to_onnx import build_onnx, write_onnx
from stylegan_tool import __version__
from stylegan_tool.errors import ModelError, UsageError, typed
from stylegan_tool.installed import check_free, install_model
from stylegan_tool.model_info import DIRECTIONS, SCHEMA, ModelInfo
from stylegan_tool.official import OFFICIAL
from stylegan_train.checkpoint import load_generator
from stylegan_train.config import read_config
from stylegan_train.foreign import Traits, build_foreign, find_generators
from stylegan_train.foreign_files import read_foreign

# How projects call the two generators, in file names and as keys.
_A2B = re.compile(r"(?:^|[_.])(?:net)?(?:G|gen)_?(?:A|AB|A2B|ab|a2b)(?:$|[_.])")
_B2A = re.compile(r"(?:^|[_.])(?:net)?(?:G|gen)_?(?:B|BA|B2A|ba|b2a)(?:$|[_.])")
_WAYS = ((_A2B, "A2B"), (_B2A, "B2A"))
_SET = re.compile(r"([a-z]+)2([a-z]+)(?:$|[_.-])")
# Names that say nothing of the model: its folder does.
_PLAIN = re.compile(r"(?:latest|best|\d+)?_?(?:net)?_?(?:G|gen|generator|checkpoint|model|weights)\w*", re.IGNORECASE)
_PRETRAINED = "_pretrained"
_MMAGIC = re.compile(r"(?:^|\.)generators\.(\w+)$")


@dataclass(frozen=True)
class Origin:
    """What is known of a generator beside its weights; empty: not known."""

    name: str = ""
    direction: str = ""
    source: str = ""
    target: str = ""


@dataclass(frozen=True)
class _Candidate:
    path: Path
    generator: nn.Module
    network: ModelInfo  # what is known of it by its weights
    words: str  # the same for people
    origin: Origin
    key: str = ""  # in the file


def origin_of(path: Path, key: str = "") -> Origin:
    """Return what a file's and its folder's names, and the name of the network in it, say.

    Args:
        key: what stands before 'model.' in the names of the weights, such as 'G_A'.
    """
    stem, folder = path.stem, path.absolute().parent.name.removesuffix(_PRETRAINED)
    own_name = folder if _PLAIN.fullmatch(stem) and _is_set(folder) else stem
    name = re.sub(r"[^A-Za-z0-9._-]", "-", own_name).strip("-._") or "imported"
    direction = next((way for text in (key, stem) for pattern, way in _WAYS if pattern.search(text)), "")
    if not direction:
        known = next((text for text in (stem, folder) if text in OFFICIAL), "")
        if known:
            return Origin(known, "A2B", *OFFICIAL[known])
        if re.fullmatch(r"(?:latest|\d+)_net_G", stem):
            direction = "A2B"  # of one-sided translation there is no other
    domains = next((match for text in (stem, folder) if (match := _SET.match(text))), None)
    if domains is None or not direction:
        return Origin(name, direction)
    a, b = domains[1], domains[2]
    return Origin(name, direction, *((a, b) if direction == "A2B" else (b, a)))


def _is_set(folder: str) -> bool:
    return folder in OFFICIAL or _SET.match(folder) is not None


def import_checkpoints(
    paths: Iterable[Path],
    *,
    name: str | None = None,
    source: str | None = None,
    target: str | None = None,
    overwrite: bool = False,
    say: Callable[[str], None],
) -> list[Path]:
    """Import the generators in `paths` as one model and return the installed .onnx files.

    Args:
        name: of the model; by default from the file's or its folder's name.
        source, target: the domains that the (first) generator takes and makes; by default from those names.

    Raises:
        InputError: a file cannot be read.
        ModelError: it holds no generator that is known, or the exported file differs from torch.
        UsageError: what it makes of what cannot be told from names.
        OutputError: there is such a model already.
    """
    candidates = [candidate for path in paths for candidate in _candidates(path)]
    candidates = _with_domains(candidates, source, target)
    model_name = name or candidates[0].origin.name
    directions = [candidate.origin.direction for candidate in candidates]
    if len(set(directions)) < len(directions):
        raise UsageError(
            f"more than one generator of direction {directions[0]}: {', '.join(str(one.path) for one in candidates)}",
            hint="Import them one by one, each with its own --name.",
        )
    check_free(model_name, directions, overwrite=overwrite)
    # All are made before any is kept: no half of a model is left by a failure of the other.
    made = [_export(candidate, model_name, say) for candidate in candidates]
    return [
        install_model(model_name, direction, content, overwrite=overwrite)
        for direction, content in zip(directions, made, strict=True)
    ]


def _candidates(path: Path) -> list[_Candidate]:
    """Return the generators in a file; what else it holds is passed over if there is one."""
    content = read_foreign(path)
    if {"gen_ab", "gen_ba", "epoch"} <= content.keys():
        return _own(path, content)
    networks = find_generators(content)
    found: list[_Candidate] = []
    refusals: list[ModelError] = []
    for key, state in networks.items():
        domain = _MMAGIC.search(key)
        try:
            # mmagic reads pictures by OpenCV, and keeps its order of channels.
            generator, traits = build_foreign(state, bgr=domain is not None)
        except ModelError as error:
            refusals.append(error)
            continue
        origin = origin_of(path, key)
        if domain is not None:
            origin = replace(origin, direction="", source="", target=domain[1])
        found.append(_Candidate(path, generator, _network_info(traits), traits.describe(), origin, key))
    if not found:
        refusal = refusals[0] if refusals else _what_else(content)
        raise ModelError(f"{path} is not imported: {refusal.what}", hint=refusal.hint)
    found = _averaged(found)
    return _pair(found) if len(found) == 2 and all(one.origin.target for one in found) else found


def _own(path: Path, content: dict[str, Any]) -> list[_Candidate]:
    """Return the generators of a checkpoint by `sgt train`; what its weights do not show stands in config.json."""
    beside = path.with_name("config.json")
    if not beside.is_file():
        raise ModelError(
            f"{path} is a checkpoint of `sgt train` without its run's config.json, which says what weights do not",
            hint=f"Copy the run's {beside.name} into {path.parent}, or export the run itself: sgt export RUN",
        )
    config = read_config(beside)
    candidates = []
    for direction, key in zip(DIRECTIONS, ("gen_ab", "gen_ba"), strict=True):
        info = describe_run(config, direction, path.parent, "not stated")
        origin = Origin(path.absolute().parent.name, direction, info.source, info.target)
        words = f"{config.ngf} filters, {config.n_blocks} blocks, by sgt train"
        candidates.append(_Candidate(path, load_generator(content[key], config), info, words, origin))
    return candidates


def _averaged(found: list[_Candidate]) -> list[_Candidate]:
    """Of the same generator with and without averaged weights, return the former: it is what results were made with."""
    averaged = [one for one in found if "ema" in one.key.lower()]
    ways = {one.origin for one in averaged}
    return [one for one in found if one in averaged or one.origin not in ways]


def _pair(found: list[_Candidate]) -> list[_Candidate]:
    """Two generators that are named by what they make: each takes what the other makes, and photographs are A."""
    a, b = sorted((one.origin.target for one in found), key=lambda domain: (domain != "photo", domain))
    ways = {b: ("A2B", a), a: ("B2A", b)}
    return [
        replace(one, origin=replace(one.origin, direction=ways[domain][0], source=ways[domain][1]))
        for one in found
        for domain in (one.origin.target,)
    ]


def _what_else(content: Mapping[str, object]) -> ModelError:
    hint = "Name the file of a generator, such as latest_net_G_A.pth."
    keys = [str(key) for key in content]
    if "param_groups" in keys or any("optim" in key for key in keys):
        return ModelError("it holds an optimiser's state, and no network", hint=hint)
    if keys and all(key.startswith("mlp_") for key in keys):
        return ModelError(
            "it is CUT's network of features (netF), which makes no pictures",
            hint="Name the generator beside it, such as latest_net_G.pth.",
        )
    if not keys:
        return ModelError("it is empty", hint=hint)
    return ModelError(f"it holds no network that is known; its first entries are {', '.join(keys[:3])}", hint=hint)


def _with_domains(candidates: list[_Candidate], source: str | None, target: str | None) -> list[_Candidate]:
    """Fill in what the user says; who says nothing must have names that say it."""
    first = candidates[0].origin.direction
    completed = []
    for candidate in candidates:
        origin = candidate.origin
        given = (source, target) if origin.direction == first else (target, source)
        origin = replace(
            origin,
            direction=origin.direction or ("A2B" if source and target and len(candidates) == 1 else ""),
            source=given[0] or origin.source,
            target=given[1] or origin.target,
        )
        if not (origin.direction and origin.source and origin.target):
            raise UsageError(
                f"the names of {candidate.path} do not say what it makes of what",
                hint=f"Say it: sgt import {typed(candidate.path)} --from photo --to painting",
            )
        completed.append(replace(candidate, origin=origin))
    return completed


def _network_info(traits: Traits) -> ModelInfo:
    return ModelInfo(
        size_multiple=traits.size_multiple,
        smallest_size=max(8, 2 * traits.size_multiple),
        receptive_field=traits.receptive_field_px,
        ngf=traits.ngf,
        n_blocks=traits.n_blocks,
        upsampling=traits.doubling,
        normalization=traits.norm,
    )


def _info(candidate: _Candidate, name: str) -> ModelInfo:
    origin = candidate.origin
    forward = origin.direction == "A2B"
    digest = hashlib.sha256(candidate.path.read_bytes()).hexdigest()
    return replace(
        candidate.network,
        schema=SCHEMA,
        style=name,
        direction=origin.direction,
        domain_a=origin.source if forward else origin.target,
        domain_b=origin.target if forward else origin.source,
        precision="fp32",
        tool_version=__version__,
        run=f"imported from {candidate.path.name}, sha256 {digest[:16]}",
    )


def _export(candidate: _Candidate, name: str, say: Callable[[str], None]) -> bytes:
    """Return the candidate as .onnx, after comparing it with torch."""
    info = _info(candidate, name)
    model = build_onnx(candidate.generator)
    with tempfile.TemporaryDirectory(prefix="sgt-") as folder:
        path = Path(folder) / f"{info.direction}.onnx"
        write_onnx(model, info.to_metadata(), path)
        parity = measure_parity(candidate.generator, path, str(candidate.path), multiple=info.size_multiple)
        info = replace(info, parity_max_abs=f"{parity.max_abs:.2e}", parity_checked=parity.checked)
        write_onnx(model, info.to_metadata(), path)
        say(
            f"{candidate.path.name}: {candidate.words}; {info.source} -> {info.target} ({info.direction}); "
            f"differs from torch by {parity.max_abs:.1e} at most"
        )
        return path.read_bytes()
