"""Training of what masks, and instances, are rated by in use."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_sam.model import read_checkpoint
from napari_sam.model.configs import SamConfig, ViTConfig
from napari_sam.model.rater import EVIDENCE
from napari_sam.model.sam import Sam
from napari_sam.segmentation.predictor import Predictor
from napari_sam.segmentation.progress import run
from napari_sam.training import judge_prompts as judging
from napari_sam.training.judge_prompts import judge_prompts
from napari_sam.training.rater_examples import RaterExamples
from napari_sam.training.rating import RATERS, fit, with_rater
from napari_sam.training.recipe import Recipe, read_recipe
from napari_sam.training.samples import Sample
from napari_sam.training.trainer import iter_train
from tests.training.toys import TINY

RECIPE = Recipe(
    tune="rater",
    steps=3,
    fits=300,
    checkpoint_every=2,
    learning_rate=5e-3,
    sources={"drawn": 1.0},
)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Sam(TINY.sam_config()).eval()


@pytest.fixture
def samples():
    rng = np.random.default_rng(0)
    drawn = []
    for index in range(2):
        labels = np.zeros((90, 110), np.int32)
        for label, (row, col) in enumerate(((25, 30), (60, 70), (30, 85)), start=1):
            rows, cols = np.ogrid[:90, :110]
            labels[np.hypot(rows - row, cols - col) < 8 + 3 * index] = label
        image = ndimage.gaussian_filter(100.0 * (labels > 0), 1) + rng.normal(0, 5, labels.shape)
        drawn.append(Sample(name=f"discs {index}", source="drawn", image=image, labels=labels))
    return drawn


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(judging, "_CLICKS", 2)


def of(name):
    return dataclasses.replace(RECIPE, tune=name)


def train(network, samples, path, recipe=RECIPE, **options):
    return run(iter_train(recipe, samples, path, start=network, **options))


@pytest.mark.parametrize("name", RATERS)
def test_only_the_rater_is_trained(network, samples, tmp_path, name):
    other = with_rater(network, next(one for one in RATERS if one != name))
    path = train(other, samples, tmp_path / "rated.safetensors", of(name))
    rated = read_checkpoint(path)
    assert rated.config == dataclasses.replace(network.config, rater=True, instance_rater=True)
    after = rated.state_dict()
    for key, value in other.state_dict().items():
        assert torch.allclose(value.float(), after[key].float(), atol=2e-3), key
    trained = getattr(rated, name)
    assert trained.mlp[-1].weight.abs().max() > 0
    assert trained.spread.min() > 0


@pytest.mark.parametrize("name", RATERS)
def test_a_stopped_and_resumed_run_equals_one_in_a_piece(network, samples, tmp_path, name):
    recipe = of(name)
    whole = read_checkpoint(train(network, samples, tmp_path / "whole.safetensors", recipe))
    parts = tmp_path / "parts.safetensors"
    job = iter_train(recipe, samples, parts, start=network)
    for event in job:
        if event.step == 2:
            break
    job.close()
    again = iter_train(recipe, samples, parts, start=network)
    assert [event.step for event in again] == [3]
    rated, expected = (getattr(one, name).mlp[0].weight for one in (read_checkpoint(parts), whole))
    assert torch.allclose(rated, expected, atol=1e-4)
    assert parts.with_suffix(".losses.csv").read_text().count("\n") == 1 + RECIPE.steps


def test_a_run_that_is_closed_saves_first(network, samples, tmp_path):
    recipe = dataclasses.replace(of("instance_rater"), checkpoint_every=100)
    path = tmp_path / "rated.safetensors"
    job = iter_train(recipe, samples, path, start=network)
    next(job)
    job.close()
    again = list(iter_train(recipe, samples, path, start=network))
    assert [event.step for event in again] == [2, 3]
    assert "rating" in path.with_suffix(".svg").read_text()


def test_starting_over_deletes_nothing_where_it_cannot_start(network, samples, tmp_path):
    recipe = of("instance_rater")
    path = train(network, samples, tmp_path / "rated.safetensors", recipe)
    before = {one.name: one.read_bytes() for one in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="nothing to train on"):
        train(network, [], path, recipe, resume=False)
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == before


def test_a_finished_run_is_fitted_again_as_the_recipe_says_now(network, samples, tmp_path):
    recipe, path = of("instance_rater"), tmp_path / "rated.safetensors"

    def weights():
        return read_checkpoint(path).instance_rater.mlp[-1].weight.float()

    train(network, samples, path, recipe)
    first = weights()
    train(network, samples, path, dataclasses.replace(recipe, fits=5))
    hardly = weights()
    train(network, samples, path, recipe)
    assert hardly.abs().max() < 0.5 * first.abs().max()
    assert torch.allclose(weights(), first, atol=1e-3)
    assert path.with_suffix(".losses.csv").read_text().count("\n") == 1 + RECIPE.steps


def test_the_state_of_another_recipe_is_refused(network, samples, tmp_path):
    short = dataclasses.replace(of("instance_rater"), steps=1, checkpoint_every=1)
    other = dataclasses.replace(short, seed=1)
    path = train(network, samples, tmp_path / "rated.safetensors", short)
    with pytest.raises(ValueError, match="seed changed"):
        train(network, samples, path, other)
    train(network, samples, path, other, resume=False)


def test_networks_without_use_for_a_rater_are_refused(samples, tmp_path):
    encoder = ViTConfig(
        image_size=64,
        embed_dim=32,
        depth=1,
        num_heads=2,
        mlp_dim=32,
        global_attn_indexes=(0,),
        out_channels=32,
    )
    with pytest.raises(ValueError, match="closer looks"):
        train(Sam(SamConfig(encoder=encoder)), samples, tmp_path / "rated.safetensors")
    blind = Sam(dataclasses.replace(TINY.sam_config(), instances=False))
    with pytest.raises(ValueError, match="has an instance decoder"):
        train(blind, samples, tmp_path / "rated.safetensors", of("instance_rater"))
    with pytest.raises(ValueError, match="give weights"):
        run(iter_train(RECIPE, samples, tmp_path / "rated.safetensors"))


def test_a_simulated_person_judges_every_answer(network, samples):
    predictor = Predictor(with_rater(network))
    judged = judge_prompts(predictor, samples[0], np.random.default_rng(0))
    assert judged.evidence.shape == (len(judged.iou), len(EVIDENCE))
    assert ((judged.iou >= 0) & (judged.iou <= 1)).all()
    boxed = judged.evidence[:, EVIDENCE.index("boxed")] == 1
    clicks = judged.evidence[:, EVIDENCE.index("clicks")]
    assert set(clicks[boxed].tolist()) == {0}
    assert set(clicks[~boxed].tolist()) == {1, 2}
    prompts = 3 * (1 + judging._CLICKS)
    assert float(judged.weight.sum()) == pytest.approx(prompts)
    same = judge_prompts(predictor, samples[0], np.random.default_rng(0))
    assert torch.allclose(same.evidence, judged.evidence, atol=1e-5)


def test_an_image_without_objects_teaches_nothing(network, samples):
    empty = dataclasses.replace(samples[0], labels=np.zeros_like(samples[0].labels))
    judged = judge_prompts(Predictor(with_rater(network)), empty, np.random.default_rng(0))
    assert judged.evidence.shape == (0, len(EVIDENCE))
    with pytest.raises(ValueError, match="are the labels empty"):
        fit(with_rater(network).rater, judged, RECIPE)


def test_ratings_come_closer_to_the_truth(network):
    """Here clicks that are not obeyed halve the IoU, and nothing else matters."""
    rng = torch.Generator().manual_seed(0)
    evidence = torch.rand(2000, len(EVIDENCE), generator=rng)
    obeyed = evidence[:, EVIDENCE.index("clicks_obeyed")].round()
    evidence[:, EVIDENCE.index("clicks_obeyed")] = obeyed
    judged = RaterExamples(evidence, evidence[:, 0] * (0.5 + 0.5 * obeyed), torch.ones(2000))
    assert judged.error > 0.1
    model = with_rater(network)
    assert fit(model.rater, judged, RECIPE) < 0.04
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_the_shipped_recipe_names_what_it_trains():
    assert read_recipe("nano_rater").tune == "rater"
    assert read_recipe("nano_instances").tune == "instance_rater"
