"""`sgt import`: files of other projects, as they lie in their folders, become models that run."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from stylegan_export.importing import Origin, import_checkpoints, origin_of
from stylegan_tool.__main__ import main
from stylegan_tool.errors import InputError, ModelError, OutputError, UsageError
from stylegan_tool.image_files.reading import read_picture
from stylegan_tool.installed import installed_models, models_folder
from stylegan_tool.models import choose_model, load_models
from stylegan_tool.options import TileOption
from stylegan_tool.pixels import to_batch, to_image
from stylegan_tool.session import Session
from stylegan_tool.stylize import Stylizer
from tests import foreign_networks as nets
from tests.models import REPOSITORY, SHARED_DATA

REAL = SHARED_DATA / "models" / "vintagify_G_A2B_epoch33_fp16.pth"


def _save(path: Path, content: Any, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path, **options)
    return path


def _network(seed: int = 0) -> nn.Module:
    return nets.randomise(nets.jz(4, 1), seed)


@pytest.mark.parametrize(
    ("path", "key", "expected"),
    [
        ("monet2photo/latest_net_G_A.pth", "", ("monet2photo", "A2B", "monet", "photo")),
        ("monet2photo/200_net_G_B.pth", "", ("monet2photo", "B2A", "photo", "monet")),
        ("style_vangogh_pretrained/latest_net_G.pth", "", ("style_vangogh", "A2B", "photo", "vangogh")),
        ("loads/style_ukiyoe.pth", "", ("style_ukiyoe", "A2B", "photo", "ukiyoe")),
        ("saved_models/horse2zebra/G_BA_12.pth", "", ("horse2zebra", "B2A", "zebra", "horse")),
        ("cat2dog_CUT/latest_net_G.pth", "", ("cat2dog_CUT", "A2B", "cat", "dog")),
        ("x/photo2comic.pt", "netG_B2A", ("photo2comic", "B2A", "comic", "photo")),
        ("x/G_A2B_epoch33_fp16.pth", "", ("G_A2B_epoch33_fp16", "A2B", "", "")),
        ("x/my style.pth", "", ("my-style", "", "", "")),
    ],
)
def test_names_say_direction_and_domains(path: str, key: str, expected: tuple[str, str, str, str]) -> None:
    assert origin_of(Path(path), key) == Origin(*expected)


def test_both_directions_become_one_model(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = in_folder / "checkpoints" / "horse2zebra"
    for seed, name in enumerate(("G_A", "G_B")):
        _save(folder / f"latest_net_{name}.pth", _network(seed).state_dict())
    assert main(["import", *(str(folder / f"latest_net_{name}.pth") for name in ("G_A", "G_B"))]) == 0
    shown = capsys.readouterr()
    assert "4 filters, 1 blocks, transposed convolutions, instance norm; zebra -> horse (B2A)" in shown.err
    assert "--model horse2zebra" in shown.err
    assert [one.info.target for one in load_models("horse2zebra")] == ["zebra", "horse"]
    assert choose_model("horse2zebra", to="horse").info.receptive_field == 3 + 1 + 2 + 8 + 2 + 1 + 3


def test_what_is_installed_computes_what_was_trained(tmp_path: Path, noise_image: np.ndarray[Any, Any]) -> None:
    """Through the file, odd sizes and bytes: padded by reflection, cropped, rounded."""
    network = nets.randomise(nets.cut(4, 2))
    path = _save(tmp_path / "cat2dog" / "latest_net_G.pth", network.state_dict())
    (made,) = import_checkpoints([path], say=lambda line: None)
    image = noise_image[:69, :83]
    padded = np.pad(image, ((0, 3), (0, 1), (0, 0)), mode="reflect")
    with torch.inference_mode():
        expected = network(torch.from_numpy(to_batch(padded))).numpy()[:, :, :69, :83]
    stylized = Stylizer(Session(made), TileOption("off"))(image)
    assert np.abs(stylized.astype(int) - to_image(expected, np.dtype(np.uint8))).max() <= 1
    tiled = Stylizer(Session(made), TileOption("fixed", 64))(np.tile(image, (3, 3, 1)))
    untiled = Stylizer(Session(made), TileOption("off"))(np.tile(image, (3, 3, 1)))
    assert np.abs(tiled.astype(int) - untiled).max() <= 1


def test_mmagic_both_in_one_file(tmp_path: Path) -> None:
    to_photo, to_monet = nets.randomise(nets.mmagic(4, 1)), nets.randomise(nets.mmagic(4, 1), 1)
    state = {f"generators.photo.{name}": value for name, value in to_photo.state_dict().items()}
    state |= {f"generators.monet.{name}": value for name, value in to_monet.state_dict().items()}
    state |= {f"discriminators.photo.{name}": v for name, v in nets.patch_discriminator().state_dict().items()}
    path = _save(tmp_path / "cyclegan_monet.pth", {"state_dict": state, "meta": {"epoch": 1}})
    import_checkpoints([path], name="monet-mm", say=lambda line: None)
    model = choose_model("monet-mm", to="monet")
    assert (model.info.direction, model.info.source) == ("A2B", "photo")
    batch = np.random.default_rng(0).uniform(-1, 1, (1, 3, 32, 40)).astype(np.float32)
    with torch.inference_mode():
        expected = to_monet(torch.from_numpy(batch).flip(1)).flip(1).numpy()
    assert np.abs(Session(model.path).run(batch) - expected).max() <= 1e-4


def test_what_names_do_not_say_is_asked_for(tmp_path: Path) -> None:
    path = _save(tmp_path / "mystery.pth", _network().state_dict())
    with pytest.raises(UsageError, match="do not say what it makes") as caught:
        import_checkpoints([path], say=lambda line: None)
    assert f"sgt import {path} --from photo --to painting" in caught.value.hint
    assert installed_models() == {}
    import_checkpoints([path], source="photo", target="comic", say=lambda line: None)
    assert choose_model("mystery", to="comic").info.direction == "A2B"


def test_an_installed_model_is_not_replaced_unasked(tmp_path: Path) -> None:
    path = _save(tmp_path / "photo2comic" / "latest_net_G_A.pth", _network().state_dict())
    import_checkpoints([path], say=lambda line: None)
    with pytest.raises(OutputError):
        import_checkpoints([path], say=lambda line: None)
    import_checkpoints([path], overwrite=True, say=lambda line: None)


def test_a_checkpoint_of_ours_is_imported_with_what_its_run_knows(trained: Path) -> None:
    import_checkpoints([trained / "checkpoint.pt"], say=lambda line: None)
    model = choose_model(trained.name, to="vangogh")
    assert (model.info.direction, model.info.source, model.info.upsampling) == ("A2B", "photo", "nearest")
    assert [one.info.target for one in load_models(trained.name)] == ["vangogh", "photo"]


def test_averaged_weights_are_preferred(tmp_path: Path) -> None:
    plain, averaged = _network(0), _network(1)
    content = {"params": plain.state_dict(), "params_ema": averaged.state_dict()}
    (made,) = import_checkpoints([_save(tmp_path / "style_monet.pth", content)], say=lambda line: None)
    batch = np.random.default_rng(0).uniform(-1, 1, (1, 3, 32, 40)).astype(np.float32)
    with torch.inference_mode():
        expected = averaged(torch.from_numpy(batch)).numpy()
    assert np.abs(Session(made).run(batch) - expected).max() <= 1e-4


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = _save(tmp_path / "style_monet.pth", _network().state_dict())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="is damaged"):
        import_checkpoints([path], say=lambda line: None)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_old_and_new_files_are_read(tmp_path: Path, *, zipped: bool) -> None:
    path = tmp_path / "style_monet.pth"
    _save(path, _network().state_dict(), _use_new_zipfile_serialization=zipped)
    assert import_checkpoints([path], say=lambda line: None) == [models_folder() / "style_monet" / "A2B.onnx"]


def test_safetensors_are_read(tmp_path: Path) -> None:
    path = tmp_path / "style_monet.safetensors"
    safetensors.torch.save_file(_network().state_dict(), path)
    assert import_checkpoints([path], say=lambda line: None)


class _Hostile:
    def __init__(self, created: Path) -> None:
        self.created = created

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.created),)


@pytest.mark.parametrize("kind", ["zip", "old", "pickle"])
def test_no_code_is_run(tmp_path: Path, kind: str) -> None:
    created, path = tmp_path / "created", tmp_path / "style_monet.pth"
    content = {"model.1.weight": _Hostile(created)}
    if kind == "pickle":
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        _save(path, content, _use_new_zipfile_serialization=kind == "zip")
    with pytest.raises(ModelError, match="only by running code") as caught:
        import_checkpoints([path], say=lambda line: None)
    assert "mkdir" in caught.value.what
    assert "state_dict()" in caught.value.hint
    assert not created.exists()
    with pytest.raises(FileNotFoundError):  # the file is hostile indeed: read as pickle, it creates the folder
        created.stat()
    if kind == "pickle":
        pickle.loads(path.read_bytes())
        assert created.is_dir()


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        pytest.param(b"", InputError, "empty", id="empty"),
        pytest.param(b"<!DOCTYPE html><html>", InputError, "is a web page", id="web page"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\n", InputError, "pointer", id="git-lfs"),
        pytest.param(b"no checkpoint at all", InputError, "is damaged, or no checkpoint", id="text"),
        pytest.param(b"PK\x03\x04 and then nothing", InputError, "is damaged, or no checkpoint", id="broken zip"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, error: type[Exception], message: str) -> None:
    path = tmp_path / "style_monet.pth"
    path.write_bytes(content)
    with pytest.raises(error, match=message):
        import_checkpoints([path], say=lambda line: None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(lambda: nets.patch_discriminator().state_dict(), "a discriminator", id="discriminator"),
        pytest.param(lambda: nets.unet().state_dict(), "a U-Net", id="U-Net"),
        pytest.param(lambda: {"state": {}, "param_groups": []}, "an optimiser's state", id="optimiser"),
        pytest.param(lambda: {"mlp_0.0.weight": torch.zeros(3)}, "netF", id="CUT's netF"),
        pytest.param(lambda: {"conv1.weight": torch.zeros(3)}, "first entries are conv1.weight", id="something else"),
        pytest.param(dict, "it is empty", id="nothing"),
        pytest.param(
            lambda: {"gen_ab": {}, "gen_ba": {}, "epoch": 1}, "without its run's config.json", id="ours, moved"
        ),
    ],
)
def test_what_is_no_generator_is_named(tmp_path: Path, content: Any, message: str) -> None:
    path = _save(tmp_path / "style_monet.pth", content())
    with pytest.raises(ModelError, match=message) as caught:
        import_checkpoints([path], say=lambda line: None)
    assert str(path) in caught.value.what
    assert caught.value.hint


def test_a_missing_file_is_exit_code_3(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "absent.pth"]) == 3
    assert "absent.pth" in capsys.readouterr().err


@pytest.mark.skipif(not REAL.is_file(), reason="the shared models are not here")
def test_a_real_checkpoint_of_full_size_tiles_exactly() -> None:
    import_checkpoints([REAL], name="vintage", source="photo", target="vintage", say=lambda line: None)
    session = Session(choose_model("vintage").path)
    image = read_picture(REPOSITORY / "examples" / "pictures" / "cat.jpg").image
    tiled = Stylizer(session, TileOption("fixed", 256))(image)
    untiled = Stylizer(session, TileOption("off"))(image)
    assert np.abs(tiled.astype(int) - untiled).max() <= 1
    assert 2 < np.abs(untiled.astype(int) - image).mean() < 60
