import dataclasses
import multiprocessing

import numpy as np
import pytest
import torch
from safetensors import safe_open

from napari_sam.model import read_checkpoint
from napari_sam.model.checkpoints import write_checkpoint
from napari_sam.model.sam import Sam
from napari_sam.segmentation.progress import run
from napari_sam.training import prefetching
from napari_sam.training import trainer as trainer_module
from napari_sam.training.batches import SampleSource, draw_batch
from napari_sam.training.run_files import RunFiles
from napari_sam.training.samples import Sample
from napari_sam.training.synthetic import draw_scene
from napari_sam.training.trainer import Trainer, iter_train
from napari_sam.training.workers import LocalWorker
from tests.training.toys import TINY

BARE = dataclasses.replace(TINY, sources={})


def train(path, recipe=TINY, samples=(), **options):
    return run(iter_train(recipe, samples, path, **options))


def weights(path):
    return read_checkpoint(path).state_dict()


def test_a_stopped_and_resumed_run_equals_one_in_a_piece(tmp_path):
    whole = train(tmp_path / "whole.safetensors")
    job = iter_train(TINY, [], tmp_path / "parts.safetensors")
    for event in job:
        if event.step == 3:
            break
    job.close()
    parts = train(tmp_path / "parts.safetensors")
    one, other = weights(whole), weights(parts)
    assert all(torch.allclose(one[name], other[name], atol=1e-5) for name in one)


def test_several_processes_give_what_one_does(tmp_path):
    """Up to rounding, the losses and the weights do not depend on who computes the parts."""
    recipe = dataclasses.replace(TINY, steps=3)
    runs = []
    for count in (1, 2):
        path = tmp_path / f"{count}.safetensors"
        losses = [event.losses for event in iter_train(recipe, [], path, workers=count)]
        runs.append((losses, weights(path)))
    (one, alone), (two, together) = runs
    for here, there in zip(one, two, strict=True):
        assert here == pytest.approx(there, rel=2e-2)
    for name in alone:
        if "num_batches_tracked" not in name:
            assert torch.allclose(alone[name], together[name], atol=5e-3), name


def test_the_result_loads_and_says_its_shape(tmp_path):
    model = read_checkpoint(train(tmp_path / "tiny.safetensors"))
    assert model.config == TINY.sam_config()
    assert (tmp_path / "tiny.losses.csv").read_text().count("\n") == TINY.steps + 1


def test_another_recipe_is_refused_and_named(tmp_path):
    train(tmp_path / "tiny.safetensors")
    other = dataclasses.replace(TINY, learning_rate=0.5)
    with pytest.raises(ValueError, match="learning_rate"):
        train(tmp_path / "tiny.safetensors", other)
    longer = dataclasses.replace(TINY, steps=5)
    train(tmp_path / "tiny.safetensors", longer)


def test_other_images_and_other_weights_are_refused_and_named(tmp_path):
    path = tmp_path / "tiny.safetensors"
    train(path)
    with pytest.raises(ValueError, match=r"another run: data changed.*--restart"):
        list(iter_train(TINY, [draw_scene(1, size=64)], path))
    start = Sam(TINY.sam_config())
    with pytest.raises(ValueError, match="weights changed"):
        list(iter_train(TINY, [], path, start=start))
    list(iter_train(TINY, [], path, start=start, resume=False))
    with torch.no_grad():
        next(start.parameters()).add_(1)
    with pytest.raises(ValueError, match="weights changed"):
        list(iter_train(TINY, [], path, start=start))


def test_a_finished_run_writes_a_result_that_is_gone(tmp_path):
    path = train(tmp_path / "tiny.safetensors")
    before = weights(path)
    path.unlink()
    assert list(iter_train(TINY, [], path)) == []
    after = weights(path)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_state_always_has_its_result(tmp_path, monkeypatch):
    """Where the last result cannot be written, the run goes on from the state before."""

    def full(*_, **given):
        if given["metadata"]["step"] == "4":
            raise OSError("No space left")
        write_checkpoint(*_, **given)

    path = tmp_path / "tiny.safetensors"
    monkeypatch.setattr(trainer_module, "write_checkpoint", full)
    with pytest.raises(OSError, match="No space left"):
        train(path)
    monkeypatch.undo()
    assert [event.step for event in iter_train(TINY, [], path)] == [3, 4]
    with safe_open(path, "pt") as file:
        assert file.metadata()["step"] == "4"


@pytest.mark.parametrize("name", ["tiny.pth", "tiny", "dir.safetensors"])
def test_an_output_that_is_no_safetensors_file_is_refused(tmp_path, name):
    (tmp_path / "dir.safetensors").mkdir()
    for tune in ("all", "rater"):
        recipe = dataclasses.replace(TINY, tune=tune)
        job = iter_train(recipe, [], tmp_path / name, start=Sam(TINY.sam_config()))
        with pytest.raises(ValueError, match=r"as \.safetensors|is a folder"):
            next(job)


@pytest.mark.parametrize("tune", ["all", "instance_rater"])
def test_a_plot_that_no_training_made_is_not_written_over(tmp_path, tune):
    figure = tmp_path / "cells.svg"
    figure.write_text("<svg>a figure of the paper</svg>")
    recipe = dataclasses.replace(TINY, tune=tune)
    job = iter_train(recipe, [], tmp_path / "cells.safetensors", start=Sam(TINY.sam_config()))
    with pytest.raises(FileExistsError, match="no plot of a training"):
        next(job)
    assert figure.read_text() == "<svg>a figure of the paper</svg>"


def test_a_run_that_is_closed_saves_first(tmp_path):
    path = tmp_path / "tiny.safetensors"
    recipe = dataclasses.replace(TINY, checkpoint_every=100)
    job = iter_train(recipe, [], path)
    next(job)
    assert not path.is_file()
    job.close()
    assert path.is_file()
    assert [event.step for event in iter_train(recipe, [], path)] == [2, 3, 4]


def test_a_long_run_is_saved_by_the_clock(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer_module, "_LONG", 0.0)
    path = tmp_path / "tiny.safetensors"
    job = iter_train(dataclasses.replace(TINY, checkpoint_every=100), [], path)
    next(job)
    assert path.is_file()
    job.close()


@pytest.mark.parametrize("fault", [{"recipe": BARE}, {"workers": 0}])
def test_starting_over_deletes_nothing_where_it_cannot_start(tmp_path, fault):
    path = train(tmp_path / "tiny.safetensors")
    before = {one.name: one.read_bytes() for one in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=r"nothing to train on|workers must be"):
        train(path, **fault, resume=False)
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == before


def test_workers_without_a_part_to_compute_are_told_of(tmp_path, caplog):
    train(tmp_path / "tiny.safetensors", dataclasses.replace(TINY, parts=1, steps=1), workers=2)
    assert "2 workers were asked for, but a step of this recipe has parts for 1" in caplog.text


def test_given_tensors_without_a_place_are_counted(tmp_path, caplog):
    given = Sam(dataclasses.replace(TINY.sam_config(), kinds=False, rater=True))
    Trainer(TINY, RunFiles(tmp_path / "grown.safetensors"), start=given)
    lost = sum(name.startswith("rater.") for name in given.state_dict())
    assert f"{lost} of the {len(given.state_dict())} given tensors found no place" in caplog.text


def test_losses_are_plotted_at_the_end_without_scores(tmp_path):
    train(tmp_path / "tiny.safetensors")
    assert "masks" in (tmp_path / "tiny.svg").read_text()


def test_starting_over_forgets_the_state(tmp_path):
    train(tmp_path / "tiny.safetensors")
    events = list(iter_train(TINY, [], tmp_path / "tiny.safetensors", resume=False))
    assert [event.step for event in events] == [1, 2, 3, 4]
    assert (tmp_path / "tiny.losses.csv").read_text().count("\n") == TINY.steps + 1


def test_the_loss_falls_on_one_batch(tmp_path, monkeypatch):
    recipe = dataclasses.replace(TINY, steps=1000, encoder_share=0, learning_rate=3e-3)
    trainer = Trainer(recipe, RunFiles(tmp_path / "tiny.safetensors"))
    worker = LocalWorker(trainer.model, recipe, SampleSource([], recipe.sources))
    again = lambda *given: draw_batch(*given[:4], 0, given[5])  # noqa: E731
    monkeypatch.setattr(prefetching, "draw_batch", again)
    losses = [sum(trainer.train_step(worker).values()) for _ in range(25)]
    worker.close()
    assert losses[-1] < 0.8 * losses[0]


def test_a_deeper_network_begins_as_the_given_one(tmp_path):
    given = Trainer(TINY, RunFiles(tmp_path / "given.safetensors")).model
    encoder = {**TINY.network["encoder"], "blocks": [1, 1, 1, 2, 3]}
    deeper = dataclasses.replace(TINY, network={**TINY.network, "encoder": encoder})
    grown = Trainer(deeper, RunFiles(tmp_path / "grown.safetensors"), start=given).model
    pixels = torch.rand(1, 3, 64, 64)
    before, after = (model.eval().encode(pixels).features for model in (given, grown))
    assert torch.equal(before, after)
    assert len(grown.state_dict()) > len(given.state_dict())


def test_a_dead_process_is_named(tmp_path):
    job = iter_train(TINY, [], tmp_path / "tiny.safetensors", workers=2)
    next(job)
    for process in multiprocessing.active_children():
        process.kill()
    with pytest.raises(RuntimeError, match="start again to resume"):
        next(job)


def test_an_error_in_a_process_is_raised_here(tmp_path):
    empty = Sample(
        name="e", source="e", image=np.zeros((64, 64)), labels=np.zeros((64, 64), np.int32)
    )
    recipe = dataclasses.replace(TINY, sources={"e": 1.0})
    with pytest.raises(ValueError, match="no object"):
        train(tmp_path / "tiny.safetensors", recipe, samples=[empty], workers=2)


def test_scores_are_logged_and_plotted(tmp_path):
    recipe = dataclasses.replace(TINY, evaluate_every=2)
    sample = draw_scene(3, size=64)
    events = list(iter_train(recipe, [], tmp_path / "tiny.safetensors", validation=[sample]))
    assert [bool(event.scores) for event in events] == [False, True, False, True]
    assert 0 <= events[-1].scores["3 clicks"] <= 1
    assert (tmp_path / "tiny.scores.csv").read_text().count("\n") == 3
    assert "3 clicks" in (tmp_path / "tiny.svg").read_text()
