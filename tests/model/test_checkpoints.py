"""Files: what loads, what is refused, and that nothing in them is ever run."""

import pickle
from pathlib import Path

import pytest
import torch

from napari_sam.model.checkpoints import (
    CheckpointError,
    model_digest,
    read_checkpoint,
    write_checkpoint,
)
from napari_sam.model.configs import ConvEncoderConfig, DecoderConfig, SamConfig
from napari_sam.model.sam import PromptBatch, Sam

SMALL = Path(__file__).parent.parent / "fixtures" / "parity" / "sam_small.safetensors"


@pytest.fixture(scope="module")
def weights():
    return read_checkpoint(SMALL).state_dict()


def tiny() -> Sam:
    torch.manual_seed(0)
    encoder = ConvEncoderConfig(channels=(8,) * 5, blocks=(1,) * 5, out_channels=32)
    decoder = DecoderConfig(
        num_heads=2, mlp_dim=16, attention_dim=16, iou_head_hidden_dim=16, local_prompts=True
    )
    return Sam(SamConfig(encoder=encoder, decoder=decoder, instances=True, object_diameter=30.0))


@pytest.mark.parametrize("nest", [None, "model", "model_state", "state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "sam.", "module.sam."])
def test_wrapped_state_dicts_load(weights, tmp_path, nest, prefix):
    content = {prefix + name: value for name, value in weights.items()}
    torch.save({nest: content, "epoch": 3} if nest else content, tmp_path / "w.pth")
    loaded = read_checkpoint(tmp_path / "w.pth").state_dict()
    assert all(torch.equal(loaded[name], weights[name]) for name in weights)


def test_missing_and_added_tensors_are_named(weights, tmp_path):
    changed = dict(weights)
    del changed["mask_decoder.iou_token.weight"]
    changed["mask_decoder.extra"] = torch.zeros(2)
    torch.save(changed, tmp_path / "w.pth")
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(tmp_path / "w.pth")
    assert "lacks: mask_decoder.iou_token.weight" in str(caught.value)
    assert "adds: mask_decoder.extra" in str(caught.value)


def test_wrong_shapes_are_named(weights, tmp_path):
    changed = {**weights, "prompt_encoder.no_mask_embed.weight": torch.zeros(1, 3)}
    torch.save(changed, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"no_mask_embed.weight \(1, 3\), expected \(1, 64\)"):
        read_checkpoint(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("image_encoder.patch_embed.proj.weight", ()),
        ("image_encoder.patch_embed.proj.weight", (32, 3, 0, 0)),
        ("image_encoder.pos_embed", (1,)),
        ("image_encoder.blocks.0.attn.rel_pos_h", (3,)),
        ("image_encoder.blocks.0.attn.rel_pos_h", (3, 0)),
        ("mask_decoder.mask_tokens.weight", ()),
    ],
)
def test_shapes_of_no_network_are_refused(weights, tmp_path, name, shape):
    torch.save({**weights, name: torch.zeros(shape)}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"w\.pth"):
        read_checkpoint(tmp_path / "w.pth")


def test_another_network_is_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 3).state_dict(), tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="not a Segment Anything checkpoint"):
        read_checkpoint(tmp_path / "w.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    "content", [b"", b"garbage" * 100, b"a,b,c\n1,2,3\n", b"error", b"Rar!\x1a"]
)
def test_garbage_is_refused(tmp_path, suffix, content):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="w"):
        read_checkpoint(path)


def test_a_cut_file_is_refused(weights, tmp_path):
    torch.save(weights, tmp_path / "w.pth")
    whole = (tmp_path / "w.pth").read_bytes()
    (tmp_path / "w.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        read_checkpoint(tmp_path / "w.pth")


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.write_text, (self.path, "boom")


@pytest.mark.parametrize(
    "save", [torch.save, lambda x, p: p.write_bytes(pickle.dumps(x, protocol=2))]
)
def test_code_in_a_file_is_not_run(tmp_path, save):
    save({"model": Bomb(tmp_path / "boom")}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="never run"):
        read_checkpoint(tmp_path / "w.pth")
    assert not (tmp_path / "boom").exists()


def test_no_file():
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_checkpoint("nowhere.pth")


@pytest.mark.parametrize("half", [False, True])
def test_our_own_files_round_trip(tmp_path, half):
    model = tiny().eval()
    write_checkpoint(model, tmp_path / "t.safetensors", half=half)
    loaded = read_checkpoint(tmp_path / "t.safetensors")
    assert loaded.config == model.config
    assert [path.name for path in tmp_path.iterdir()] == ["t.safetensors"]
    tolerance = 1e-3 if half else 0
    for name, value in model.state_dict().items():
        assert torch.allclose(loaded.state_dict()[name], value, atol=tolerance, rtol=tolerance)
    assert (model_digest(loaded) == model_digest(model)) != half
    assert torch.equal(loaded.pixel_mean, model.pixel_mean)


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "t.safetensors").mkdir()
    with pytest.raises(OSError, match=r"t\.safetensors"):
        write_checkpoint(tiny(), tmp_path / "t.safetensors")
    with pytest.raises(OSError, match="could not be written"):
        write_checkpoint(tiny(), tmp_path / "nowhere" / "t.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["t.safetensors"]


def test_suffixes_in_capitals_are_read(tmp_path):
    write_checkpoint(tiny(), tmp_path / "T.SAFETENSORS")
    assert read_checkpoint(tmp_path / "T.SAFETENSORS").config == tiny().config


@pytest.mark.parametrize("size", [(32, 32), (64, 96)])
def test_the_small_network_takes_any_size(size):
    model = tiny().eval()
    with torch.inference_mode():
        image = model.encode(torch.zeros(1, 3, *size))
        points = torch.tensor([[[3.0, 5.0]], [[20.0, 9.0]]])
        logits, iou = model.decode(image, PromptBatch(points, torch.ones(2, 1, dtype=torch.long)))
        maps = model.instance_maps(image)
    height, width = size
    assert image.features.shape == (1, 32, height // 8, width // 8)
    assert logits.shape == (2, 4, height // 2, width // 2)
    assert iou.shape == (2, 4)
    assert maps.shape == (1, 3, height, width)
