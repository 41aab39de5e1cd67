"""Fine-tuning transformer networks: what changes, what stays, and that adapters merge exactly."""

import dataclasses

import numpy as np
import pytest
import torch

from napari_sam.model import read_checkpoint
from napari_sam.model.configs import DecoderConfig, SamConfig, ViTConfig
from napari_sam.model.sam import Sam
from napari_sam.segmentation.progress import run
from napari_sam.training.rating import RATERS
from napari_sam.training.recipe import read_recipe
from napari_sam.training.run_files import RunFiles
from napari_sam.training.samples import Sample
from napari_sam.training.trainer import Trainer, iter_train
from napari_sam.training.tuning import LowRankAdapter, Tuning, merged, prepare
from tests.training.toys import TINY

CONFIG = SamConfig(
    encoder=ViTConfig(
        image_size=64,
        embed_dim=32,
        depth=3,
        num_heads=2,
        mlp_dim=32,
        global_attn_indexes=(2,),
        window_size=2,
        out_channels=32,
    ),
    decoder=DecoderConfig(num_heads=2, mlp_dim=32, attention_dim=16, iou_head_hidden_dim=16),
)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Sam(CONFIG).eval()


@pytest.fixture
def discs():
    rows, cols = np.mgrid[:90, :110]
    labels = np.zeros((90, 110), np.int32)
    for label, (row, col) in enumerate([(20, 30), (60, 80), (60, 20)], start=1):
        labels[np.hypot(rows - row, cols - col) < 13] = label
    return [Sample(name="discs", source="mine", image=labels * 50.0, labels=labels)]


def recipe(tune):
    return dataclasses.replace(
        read_recipe("finetune"), tune=tune, steps=3, learning_rate=1e-2, warmup=1
    )


def changed(before, after):
    one, other = before.state_dict(), after.state_dict()
    assert one.keys() == other.keys()
    return {name for name in one if not torch.equal(one[name], other[name])}


@pytest.mark.parametrize(
    ("tune", "expected"),
    [
        ("decoder", set()),
        ("heads", set()),
        ("blocks:1", {"blocks.2", "neck.0"}),
        ("lora:2", {"blocks.0", "blocks.1", "blocks.2"}),
        ("all", {"patch_embed.proj", "blocks.0", "blocks.1", "blocks.2", "neck.0"}),
    ],
)
def test_only_what_is_tuned_changes(network, discs, tmp_path, tune, expected):
    path = run(iter_train(recipe(tune), discs, tmp_path / "mine.safetensors", start=network))
    names = changed(network, read_checkpoint(path))
    decoder = {name for name in names if name.startswith("mask_decoder.")}
    assert decoder
    if tune == "heads":
        assert all("iou_prediction_head" in name for name in decoder)
    encoder = {name for name in names if name.startswith("image_encoder.")}
    parts = {".".join(name.split(".")[1:3]) for name in encoder}
    assert expected <= parts
    if tune != "all":
        assert parts <= expected | {"neck.1", "neck.2", "neck.3"}
    if tune == "lora:2":
        assert all(name.endswith("attn.qkv.weight") for name in encoder)


@pytest.mark.parametrize("tune", ["decoder", "heads", "blocks:1", "lora:2"])
def test_networks_without_heads_are_always_prompted(network, discs, tmp_path, tune):
    plan = dataclasses.replace(recipe(tune), encoder_share=0.5, warmup=0)
    events = list(iter_train(plan, discs, tmp_path / "mine.safetensors", start=network))
    assert all("masks" in event.losses for event in events)


def test_heads_that_are_not_trained_are_no_reason_to_leave_prompts_out(discs, tmp_path):
    torch.manual_seed(0)
    start = Sam(dataclasses.replace(TINY.sam_config(), sizes=False))
    plan = dataclasses.replace(TINY, network={}, tune="heads", encoder_share=1.0, steps=1)
    (event,) = iter_train(plan, discs, tmp_path / "mine.safetensors", start=start)
    assert "masks" in event.losses


def test_a_resumed_fine_tuning_goes_on(network, discs, tmp_path):
    plan = dataclasses.replace(recipe("lora:2"), checkpoint_every=1)
    whole = run(iter_train(plan, discs, tmp_path / "whole.safetensors", start=network))
    job = iter_train(plan, discs, tmp_path / "parts.safetensors", start=network)
    next(job)
    job.close()
    parts = run(iter_train(plan, discs, tmp_path / "parts.safetensors", start=network))
    one, other = (read_checkpoint(path).state_dict() for path in (whole, parts))
    assert all(torch.allclose(one[name], other[name], atol=1e-4) for name in one)
    with pytest.raises(ValueError, match="tune"):
        run(iter_train(recipe("decoder"), discs, tmp_path / "parts.safetensors", start=network))


def test_merged_adapters_compute_the_same(network):
    prepare(network, Tuning.parse("lora:4"))
    adapters = [m for m in network.modules() if isinstance(m, LowRankAdapter)]
    assert len(adapters) == 3
    for adapter in adapters:
        torch.nn.init.normal_(adapter.up, std=0.1)
    pixels = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        expected = network.encode(pixels).features
        plain = merged(network)
        assert torch.allclose(plain.encode(pixels).features, expected, atol=1e-4)
    assert plain.state_dict().keys() == Sam(CONFIG).state_dict().keys()


def test_adapters_change_nothing_at_first(network):
    pixels = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        before = network.encode(pixels).features
        prepare(network, Tuning.parse("lora:4"))
        assert torch.allclose(network.encode(pixels).features, before, atol=1e-5)


@pytest.mark.parametrize("text", ["", "encoder", "blocks", "blocks:0", "lora:x"])
def test_other_words_are_refused(text):
    with pytest.raises(ValueError, match="lora:N"):
        Tuning.parse(text)


def test_what_a_network_lacks_cannot_be_tuned(network):
    with pytest.raises(ValueError, match="3 blocks, not 4"):
        prepare(network, Tuning.parse("blocks:4"))
    small = Sam(read_recipe("nano").sam_config())
    with pytest.raises(ValueError, match="convolutional"):
        prepare(small, Tuning.parse("lora:4"))


def test_fine_tuning_needs_weights(tmp_path):
    with pytest.raises(ValueError, match="give weights"):
        Trainer(read_recipe("finetune"), RunFiles(tmp_path / "x.safetensors"))


def test_frozen_norms_keep_their_statistics(tmp_path, discs):
    small = dataclasses.replace(
        read_recipe("nano"),
        network={
            "encoder": {"channels": [16] * 5, "blocks": [1] * 5, "out_channels": 32},
            "decoder": {"num_heads": 2, "mlp_dim": 32, "attention_dim": 16},
        },
    )
    start = Sam(small.sam_config()).eval()
    plan = dataclasses.replace(
        small,
        network={},
        tune="heads",
        hint_share=0.0,
        frozen_norm_share=1.0,
        wide_share=1.0,
        size_weight=1.0,
        warmup=1,
        steps=2,
        parts=1,
        part_size=2,
        objects_per_part=4,
        crop_size=128,
        windows=((8, 1.0),),
        sources={"mine": 1.0},
    )
    path = run(iter_train(plan, discs, tmp_path / "mine.safetensors", start=start))
    names = changed(start.half().float(), read_checkpoint(path))
    parts = {".".join(name.split(".")[:2]) for name in names}
    assert parts == {
        "size_decoder.context",
        "size_decoder.head",
        "mask_decoder.mask_scorer",
        "mask_decoder.iou_prediction_head",
    }


@pytest.mark.parametrize("tune", ["all", "decoder"])
def test_a_share_of_what_was_known_is_kept(tmp_path, discs, tune):
    torch.manual_seed(0)
    start = Sam(TINY.sam_config()).eval()
    plan = dataclasses.replace(TINY, network={}, tune=tune, encoder_share=0.0)
    results = {}
    for share in (0.0, 0.25, 1.0):
        recipe = dataclasses.replace(plan, kept_share=share)
        path = run(iter_train(recipe, discs, tmp_path / f"{share}.safetensors", start=start))
        results[share] = read_checkpoint(path).state_dict()
    known = start.half().float().state_dict()
    moved = {name for name in known if not torch.equal(results[0.0][name], known[name])}
    assert {name.split(".")[0] for name in moved} >= {"mask_decoder"}
    for name, value in known.items():
        if value.is_floating_point():
            assert torch.equal(results[1.0][name], value), name
            expected = torch.lerp(results[0.0][name], value, 0.25)
            assert torch.allclose(results[0.25][name], expected, atol=2e-3), name


@pytest.mark.parametrize("tune", ["all", "decoder"])
def test_raters_stay_as_they_are_while_others_are_trained(tmp_path, discs, tune):
    torch.manual_seed(0)
    rated = Sam(dataclasses.replace(TINY.sam_config(), rater=True, instance_rater=True))
    for name in RATERS:
        torch.nn.init.normal_(getattr(rated, name).mlp[-1].weight)
    again = dataclasses.replace(
        TINY, network={}, tune=tune, steps=2, encoder_share=0.0, weight_decay=50.0
    )
    path = run(iter_train(again, discs, tmp_path / "tuned.safetensors", start=rated))
    tuned = read_checkpoint(path)
    for name in RATERS:
        after = getattr(tuned, name).state_dict()
        for key, value in getattr(rated, name).state_dict().items():
            assert torch.allclose(after[key], value, atol=1e-3), (name, key)
    assert {name.split(".")[0] for name in changed(rated, tuned)} >= {"mask_decoder"}
