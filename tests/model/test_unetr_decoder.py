"""Models of micro-sam: their instance decoder's answers, their files, and where they are found."""

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from napari_sam import EverythingConfig, Predictor, segment_everything
from napari_sam.model import micro_sam
from napari_sam.model.checkpoints import CheckpointError, read_checkpoint, write_checkpoint
from napari_sam.model.configs import UnetrConfig
from napari_sam.model.registry import known_models, lasting_name, load_model
from napari_sam.model.unetr_decoder import UnetrDecoder, unetr_config

PARITY = Path(__file__).parent.parent / "fixtures" / "parity"
SMALL = PARITY / "sam_small.safetensors"
EXPECTED = load_file(PARITY / "unetr_small.safetensors")
WIDTHS = (64, 32, 16, 8)


def drawn_anew(decoder):
    """Return the state dict that the reference had: random numbers by the tensors' names."""
    state = {}
    for name, tensor in decoder.state_dict().items():
        if not tensor.is_floating_point():
            state[name] = torch.zeros_like(tensor)
            continue
        values = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(tensor.shape)
        if name.endswith("running_var"):
            values = 0.5 + np.abs(values)
        elif tensor.ndim > 1:
            values = values * np.sqrt(2 / np.prod(tensor.shape[1:]))
        state[name] = torch.from_numpy(np.asarray(values, np.float32))
    return state


def decoder_state(transposed=True):
    return drawn_anew(UnetrDecoder(64, UnetrConfig(widths=WIDTHS, transposed=transposed)))


@pytest.fixture(scope="module")
def weights():
    return read_checkpoint(SMALL).state_dict()


@pytest.mark.parametrize("transposed", [True, False])
def test_its_maps_are_the_reference_s(transposed):
    state = decoder_state(transposed)
    assert unetr_config(state) == UnetrConfig(widths=WIDTHS, transposed=transposed)
    decoder = UnetrDecoder(64, unetr_config(state)).eval()
    decoder.load_state_dict(state)
    features = np.random.default_rng(1).standard_normal((1, 64, 3, 2)).astype(np.float32)
    with torch.inference_mode():
        maps = decoder(torch.from_numpy(features))[0].sigmoid()
    foreground, to_centre, to_boundary = EXPECTED[
        f"maps_{'transposed' if transposed else 'bilinear'}"
    ]
    expected = torch.stack([foreground, 1 - to_centre, 1 - to_boundary])
    assert maps.shape == (3, 48, 32)
    assert torch.allclose(maps, expected, atol=1e-6)


def saved_beside(folder, weights, state):
    torch.save(weights, folder / "vit_b.pt")
    torch.save(state, folder / "vit_b_decoder.pt")


def saved_beside_without_suffix(folder, weights, state):
    torch.save(weights, folder / "vit_b.pt")
    (folder / "vit_b.pt").rename(folder / "vit_b")
    torch.save({"encoder.pos_embed": torch.zeros(2), **state}, folder / "vit_b_decoder")


def saved_in_one(folder, weights, state):
    torch.save({"model_state": weights, "decoder_state": state}, folder / "vit_b.pt")


def saved_by_a_trainer(folder, weights, state):
    model_state = {f"sam.{name}": value for name, value in weights.items()}
    torch.save({"model_state": model_state, "decoder_state": state}, folder / "vit_b.pt")


@pytest.mark.parametrize(
    "save", [saved_beside, saved_beside_without_suffix, saved_in_one, saved_by_a_trainer]
)
def test_the_decoder_is_read_wherever_it_lies(tmp_path, weights, save):
    state = decoder_state()
    save(tmp_path, weights, state)
    model = read_checkpoint(next(p for p in tmp_path.iterdir() if "decoder" not in p.name))
    assert model.config.unetr == UnetrConfig(widths=WIDTHS)
    loaded = model.instance_decoder.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())
    write_checkpoint(model, tmp_path / "ours.safetensors")
    again = read_checkpoint(tmp_path / "ours.safetensors")
    assert again.config == model.config
    assert again.state_dict().keys() == model.state_dict().keys()


def test_a_decoder_that_does_not_fit_is_named(tmp_path, weights):
    state = decoder_state()
    del state["out_conv.bias"]
    saved_beside(tmp_path, weights, state)
    with pytest.raises(CheckpointError, match=r"lacks: instance_decoder\.out_conv\.bias"):
        read_checkpoint(tmp_path / "vit_b.pt")
    torch.save({"something": torch.zeros(2)}, tmp_path / "vit_b_decoder.pt")
    with pytest.raises(CheckpointError, match="no tensor 'deconv1"):
        read_checkpoint(tmp_path / "vit_b.pt")
    (tmp_path / "vit_b_decoder.pt").write_bytes(b"garbage")
    with pytest.raises(CheckpointError, match=r"vit_b_decoder\.pt cannot be read"):
        read_checkpoint(tmp_path / "vit_b.pt")


def test_everything_goes_by_the_decoder(tmp_path, weights):
    saved_beside(tmp_path, weights, decoder_state())
    predictor = Predictor(tmp_path / "vit_b.pt", device="cpu")
    assert predictor.has_instance_decoder
    assert not predictor.gives_hints  # the mask decoder has not learned to use any
    image = np.random.default_rng(0).integers(0, 255, (40, 60), np.uint8)
    maps = predictor.instance_maps(predictor.embed(image))
    assert maps.shape == (3, 40, 60)
    assert 0 <= maps.min() < maps.max() <= 1
    by_default = segment_everything(predictor, image)
    assert by_default.shape == (40, 60)
    instances = segment_everything(predictor, image, EverythingConfig(mode="instances"))
    assert np.array_equal(by_default, instances)


def test_maps_are_smoothed_where_no_diameter_is_known():
    assert EverythingConfig().smoothing(None) == 1.6
    assert EverythingConfig(seed_smoothing=0.1).smoothing(20) == pytest.approx(2)


def test_models_that_micro_sam_downloaded_are_known_by_name(tmp_path, monkeypatch, weights):
    monkeypatch.setenv(micro_sam.FOLDER_VARIABLE, str(tmp_path))
    names = {model.name for model in known_models()}
    assert "vit_b_lm" not in names
    folder = tmp_path / "models"
    folder.mkdir()
    torch.save(weights, folder / "vit_b_lm")
    torch.save(decoder_state(), folder / "vit_b_lm_decoder")
    (found,) = [model for model in known_models() if model.name not in names]
    assert (found.name, found.is_available) == ("vit_b_lm", True)
    assert load_model("vit_b_lm", "cpu").config.unetr is not None
    assert lasting_name("vit_b_lm") == "vit_b_lm"


def test_models_in_a_folder_of_ones_own_come_first(models_folder, tmp_path, monkeypatch):
    monkeypatch.setenv(micro_sam.FOLDER_VARIABLE, str(tmp_path / "theirs"))
    (tmp_path / "theirs" / "models").mkdir(parents=True)
    for path in (tmp_path / "theirs" / "models" / "vit_l_lm", models_folder / "vit_l_lm.pt"):
        path.touch()
    (found,) = [model for model in known_models() if model.name == "vit_l_lm"]
    assert found.local_path() == models_folder / "vit_l_lm.pt"
