import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch

from stylegan_tool.errors import InputError, UsageError
from stylegan_train.config import (
    PRESETS,
    TrainConfig,
    exchange_name,
    read_config,
    read_recipe,
    recipe_names,
)
from stylegan_train.networks import Discriminator, Generator


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_valid_and_resolve_themselves(preset: str) -> None:
    config = TrainConfig(preset=preset, **PRESETS[preset])
    assert TrainConfig.from_json(config.to_json()) == config


def test_the_reference_is_the_papers() -> None:
    config = TrainConfig()
    assert (config.ngf, config.n_blocks, config.ndf, config.disc_layers) == (64, 9, 64, 4)
    assert (config.epochs, config.decay_from, config.lr, config.betas) == (200, 100, 2e-4, (0.5, 0.999))
    assert (config.lambda_cycle, config.lambda_identity, config.lambda_stable) == (10, 5, 0)
    assert (config.load_size, config.crop_size, config.batch_size, config.pool_size) == ((286, 286), 256, 1, 50)
    assert config.load_size[0] == round(1.12 * config.crop_size - 0.5)


def test_compact_is_what_the_tool_says_it_is() -> None:
    preset = PRESETS["compact"]
    assert (preset["ngf"], preset["n_blocks"]) == (24, 5)
    generator = Generator(preset["ngf"], preset["n_blocks"])
    assert 3.6 < 4 * sum(param.numel() for param in generator.parameters()) / 1e6 < 4.0  # MB


@pytest.mark.parametrize(
    ("fields", "option"),
    [
        pytest.param({"ngf": 0}, "--ngf", id="no filters"),
        pytest.param({"n_blocks": 0}, "--n-blocks", id="no blocks"),
        pytest.param({"batch_size": 0}, "--batch-size", id="no pictures a step"),
        pytest.param({"epochs": 0}, "--epochs", id="no epochs"),
        pytest.param({"decay_from": -1}, "--decay-from", id="decay before the start"),
        pytest.param({"pool_size": -1}, "--pool-size", id="negative history"),
        pytest.param({"lambda_cycle": -1.0}, "--lambda-cycle", id="negative cycle"),
        pytest.param({"lambda_identity": -0.5}, "--lambda-identity", id="negative identity"),
        pytest.param({"lambda_stable": -1.0}, "--lambda-stable", id="negative stable"),
        pytest.param({"lambda_cycle": math.nan}, "--lambda-cycle", id="cycle is no number"),
        pytest.param({"lambda_identity": math.inf}, "--lambda-identity", id="infinite identity"),
        pytest.param({"lambda_stable": math.nan}, "--lambda-stable", id="stable is no number"),
        pytest.param({"seed": -1}, "--seed", id="negative seed"),
        pytest.param({"seed": 2**64}, "--seed", id="seed that torch cannot take"),
        pytest.param({"crop_size": 30}, "--crop-size", id="crop no multiple of 4"),
        pytest.param({"crop_size": 28}, "--crop-size", id="crop too small for four layers"),
        pytest.param({"crop_size": 0}, "--crop-size", id="no crop"),
        pytest.param({"load_size": (255, 286)}, "--load-size", id="load smaller than crop"),
        pytest.param({"load_size": (400, 300)}, "--load-size", id="range backwards"),
        pytest.param({"lr": 0.0}, "--lr", id="learns nothing"),
        pytest.param({"lr": -1e-4}, "--lr", id="negative learning rate"),
        pytest.param({"lr": math.nan}, "--lr", id="learning rate is no number"),
        pytest.param({"lr": math.inf}, "--lr", id="infinite learning rate"),
        pytest.param({"betas": (1.0, 0.999)}, "--betas", id="first beta 1"),
        pytest.param({"betas": (0.5, -0.1)}, "--betas", id="second beta negative"),
        pytest.param({"betas": (0.5, math.nan)}, "--betas", id="beta is no number"),
        pytest.param({"metric": "fid"}, "--metric fid", id="unknown metric"),
        pytest.param({"validate_every": -1}, "--validate-every", id="validated less than never"),
        pytest.param({"precision": "fp8"}, "--precision", id="unknown precision"),
        pytest.param({"load_size_b": (255, 286)}, "--load-size", id="B's load smaller than crop"),
        pytest.param({"augment": ("flip", "turn")}, "--augment turn", id="unknown augmentation"),
        pytest.param({"average": 1.0}, "--average", id="a mean that never moves"),
        pytest.param({"average": math.nan}, "--average", id="average is no number"),
        pytest.param({"workers": -1}, "--workers", id="negative workers"),
    ],
)
def test_what_is_out_of_range_names_its_option(fields: dict[str, object], option: str) -> None:
    with pytest.raises(UsageError) as caught:
        TrainConfig(**fields)  # type: ignore[arg-type]  # fields by name
    assert option in caught.value.what


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"pool_size": 0, "decay_from": 0, "seed": 0}, id="zeros"),
        pytest.param({"lambda_cycle": 0.0, "lambda_identity": 0.0}, id="no cycle, no identity"),
        pytest.param({"crop_size": 32, "load_size": (32, 32)}, id="the smallest crop, not larger than the picture"),
        pytest.param({"betas": (0.0, 0.0), "epochs": 1, "seed": 2**63 - 1}, id="the ends of the ranges"),
    ],
)
def test_the_ends_of_the_ranges_are_allowed(fields: dict[str, object]) -> None:
    TrainConfig(**fields)  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize("n_layers", [2, 3, 4])
def test_the_smallest_crop_trains(n_layers: int) -> None:
    smallest = max(16, 2 ** (n_layers + 1))
    config = TrainConfig(disc_layers=n_layers, crop_size=smallest, load_size=(smallest, smallest))
    batch = torch.rand(1, 3, config.crop_size, config.crop_size)
    assert Discriminator(2, n_layers)(Generator(2, 1)(batch)).isfinite().all()


def test_every_recipe_says_its_domains_and_its_folder() -> None:
    styles = ["photo2cezanne", "photo2monet", "photo2ukiyoe", "photo2vangogh"]
    assert recipe_names() == ["apple2orange", "horse2zebra", *styles, "summer2winter"]
    for name in recipe_names():
        recipe = read_recipe(name)
        assert f"{recipe.domain_a}2{recipe.domain_b}" == name
        assert recipe.folders[0] == name
        assert recipe.exchanged_folders[0] == f"{recipe.domain_b}2{recipe.domain_a}"


def test_the_published_sets_are_found() -> None:
    for style in ("vangogh", "monet", "cezanne", "ukiyoe"):
        assert f"{style}2photo" in read_recipe(f"photo2{style}").exchanged_folders
    recipe = read_recipe("summer2winter")
    assert recipe.folders == ("summer2winter", "summer2winter_yosemite")
    assert recipe.exchanged_folders == ("winter2summer", "winter2summer_yosemite")


@pytest.mark.parametrize(
    ("name", "domains", "exchanged"),
    [
        pytest.param("day2night", ("day", "night"), ("night2day",), id="domains in the name"),
        pytest.param("day2night_alps", ("day", "night"), ("night2day_alps",), id="with a suffix"),
        pytest.param("my-garden", ("A", "B"), (), id="a plain name"),
    ],
)
def test_any_other_name_is_a_folder(name: str, domains: tuple[str, str], exchanged: tuple[str, ...]) -> None:
    recipe = read_recipe(name)
    assert (recipe.domain_a, recipe.domain_b) == domains
    assert recipe.folders == (name,)
    assert recipe.exchanged_folders == exchanged


@pytest.mark.parametrize("name", ["", "../photo2vangogh", "runs/x-001", ".hidden", "a b", "/tmp"])
def test_a_name_that_is_no_folders_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="no recipe"):
        read_recipe(name)


@pytest.mark.parametrize(
    ("name", "exchanged"),
    [
        ("photo2vangogh", "vangogh2photo"),
        ("summer2winter_yosemite", "winter2summer_yosemite"),
        ("horse2zebra", "zebra2horse"),
        ("garden", None),
        ("2photo", None),
        ("photo2", None),
    ],
)
def test_names_are_exchanged_and_back(name: str, exchanged: str | None) -> None:
    assert exchange_name(name) == exchanged
    if exchanged is not None:
        assert exchange_name(exchanged) == name


def test_the_config_comes_back_from_its_file(tmp_path: Path) -> None:
    config = TrainConfig(
        name="day2night",
        domain_a="day",
        domain_b="night",
        data="/päth",
        exchanged=True,
        load_size=(256, 300),
        lr=1e-5,
        load_size_b=(256, 256),
        augment=("flip", "colour"),
        average=0.99,
    )
    path = tmp_path / "config.json"
    path.write_text(config.to_json(), encoding="utf-8")
    assert read_config(path) == config
    assert json.loads(config.to_json()).keys() == {field.name for field in dataclasses.fields(TrainConfig)}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param('{"name": "x"', id="cut off"),
        pytest.param("{}", id="no fields"),
        pytest.param("[1, 2]", id="a list"),
        pytest.param("null", id="nothing"),
        pytest.param(TrainConfig().to_json().replace('"ngf"', '"nfg"'), id="an unknown field"),
        pytest.param(TrainConfig().to_json().replace('"ngf": 64', '"ngf": "many"'), id="text for a number"),
        pytest.param(TrainConfig().to_json().replace("286,", '"a",'), id="text for a size"),
        pytest.param(TrainConfig().to_json().replace('"ngf": 64', '"ngf": 0'), id="out of range"),
    ],
)
def test_a_damaged_config_is_an_input_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"config\.json"):
        read_config(path)


def test_a_run_from_before_there_was_validation_goes_on(tmp_path: Path) -> None:
    fields = json.loads(TrainConfig(name="x", validate_every=9, metric="a2b").to_json())
    del fields["validate_every"], fields["metric"]
    (tmp_path / "config.json").write_text(json.dumps(fields), encoding="utf-8")
    assert read_config(tmp_path / "config.json") == TrainConfig(name="x")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param('"ngf"', '"width"', "it has width", id="unknown"),
        pytest.param('"ngf": 64,', "", "it lacks ngf", id="missing"),
    ],
)
def test_a_config_of_another_version_says_how_to_go_on(old: str, new: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "my runs" / "config.json"
    path.parent.mkdir()
    path.write_text(TrainConfig().to_json().replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=f"of another version of this tool: {said}") as caught:
        read_config(path)
    assert caught.value.hint.endswith(f"sgt train NAME --init '{path.parent}'")


def test_a_missing_config_says_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_config(tmp_path / "config.json")
    assert "run folder" in caught.value.hint
