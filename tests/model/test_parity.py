"""The network is the official one: same answers from the same weights."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_sam.model.checkpoints import config_from_tensors, read_checkpoint
from napari_sam.model.sam import Sam
from napari_sam.segmentation.predictor import Predictor
from napari_sam.segmentation.prompts import Prompts

FIXTURES = Path(__file__).parent.parent / "fixtures" / "parity"
CASES = ("point", "points", "box", "point_box")


@pytest.fixture(scope="module", params=["sam_small", "sam_small_b"])
def official(request):
    """A predictor, what the official code answered, and the embedding of its image."""
    answers = dict(np.load(FIXTURES / f"{request.param}.npz"))
    model = read_checkpoint(FIXTURES / f"{request.param}.safetensors")
    predictor = Predictor(model, precision="float32")
    return predictor, answers, predictor.embed(answers["image"])


def relative_error(found, expected) -> float:
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def prompts_of(answers, case, mask_input=None) -> Prompts:
    xy = answers.get(f"{case}/point_coords_xy")
    box = answers.get(f"{case}/box_xy")
    return Prompts(
        points=None if xy is None else xy[:, ::-1],
        point_labels=answers.get(f"{case}/point_labels_xy"),
        box=None if box is None else box[[1, 0, 3, 2]],
        mask_input=mask_input,
    )


def test_features(official):
    _, answers, embedding = official
    assert relative_error(embedding.features, answers["features"]) < 1e-3


@pytest.mark.parametrize("output", ["multi", "single"])
@pytest.mark.parametrize("case", CASES)
def test_answers(official, case, output):
    predictor, answers, embedding = official
    prompts = prompts_of(answers, case)
    logits, iou = predictor.decode(embedding, [prompts], multimask_output=output == "multi")
    assert relative_error(logits[0], answers[f"{case}/{output}/low_res_logits"]) < 1e-3
    assert relative_error(iou[0], answers[f"{case}/{output}/iou"]) < 1e-3
    full = predictor.upscale(embedding, logits)[0]
    assert relative_error(full, answers[f"{case}/{output}/logits"]) < 1e-2


def test_a_mask_as_prompt(official):
    predictor, answers, embedding = official
    if "points_mask/single/iou" not in answers:
        pytest.skip("this fixture has no such case")
    before = answers["point/single/low_res_logits"][0]
    prompts = prompts_of(answers, "points", before)
    logits, iou = predictor.decode(embedding, [prompts], multimask_output=False)
    assert relative_error(logits[0], answers["points_mask/single/low_res_logits"]) < 1e-3
    assert relative_error(iou[0], answers["points_mask/single/iou"]) < 1e-3


def test_many_objects_in_one_call_answer_as_each_alone(official):
    predictor, answers, embedding = official
    prompts = [prompts_of(answers, case) for case in (*CASES, *reversed(CASES))]
    together = predictor.predict(embedding, prompts)
    for prompt, answer in zip(prompts, together, strict=True):
        alone = predictor.predict(embedding, prompt)
        assert relative_error(answer.low_res_logits, alone.low_res_logits) < 1e-4
        assert answer.best == alone.best


@pytest.mark.parametrize(
    ("name", "depth", "heads"), [("vit_b", 12, 12), ("vit_l", 24, 16), ("vit_h", 32, 16)]
)
def test_official_files_fit(name, depth, heads):
    with gzip.open(FIXTURES / "official_tensors.json.gz") as file:
        shapes = json.load(file)[name]
    tensors = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    config = config_from_tensors(tensors)
    assert (config.encoder.depth, config.encoder.num_heads) == (depth, heads)
    assert config.encoder.image_size == 1024
    with torch.device("meta"):
        state = Sam(config).state_dict()
    assert {key: list(value.shape) for key, value in state.items()} == shapes
