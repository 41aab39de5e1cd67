"""Training and evaluating from the shell: what is refused, and what a run leaves."""

import signal

import numpy as np
import pytest
import tifffile
import torch

from napari_sam.cli import main
from napari_sam.model.checkpoints import write_checkpoint
from napari_sam.model.sam import Sam
from napari_sam.training import workers
from napari_sam.training.trainer import Trainer
from tests.training.toys import TINY

RECIPE = (
    'tune = "decoder"\nsteps = 3\npart_size = 1\ncrop_size = 64\nobjects_per_part = 2\n'
    "windows = [[4, 1.0]]\nencoder_share = 0.0\n"
)


@pytest.fixture
def data(tmp_path):
    """A folder with one image of two squares."""
    labels = np.zeros((64, 64), np.uint8)
    labels[10:30, 10:30], labels[35:60, 30:60] = 1, 2
    for name, pixels in (("images", (labels > 0) * np.uint8(200)), ("labels", labels)):
        (tmp_path / "data" / name).mkdir(parents=True)
        tifffile.imwrite(tmp_path / "data" / name / "a.tif", pixels)
    return tmp_path / "data"


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "start.safetensors"
    write_checkpoint(Sam(TINY.sam_config()), path)
    return path


@pytest.fixture
def words(tmp_path, data, weights):
    """The words of a short training without its output."""
    (tmp_path / "tiny.toml").write_text(RECIPE)
    recipe = str(tmp_path / "tiny.toml")
    return ["train", "--config", recipe, "--weights", str(weights), "--data", str(data)]


def test_weights_are_not_written_over(words, weights, capsys):
    before = weights.read_bytes()
    assert main([*words, "-o", str(weights)]) == 1
    assert "holds the weights to begin from" in capsys.readouterr().err
    assert weights.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "message"),
    [("mine.pth", "not as 'mine.pth'"), ("mine", "not as 'mine'"), ("dir.safetensors", "a folder")],
)
def test_other_outputs_are_refused_before_data_are_read(words, tmp_path, capsys, name, message):
    (tmp_path / "dir.safetensors").mkdir()
    assert main([*words, "--data", "nowhere", "-o", str(tmp_path / name)]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("presses", "steps"), [(1, "1"), (2, None)])
def test_the_first_interrupt_waits_for_the_step(
    words, tmp_path, monkeypatch, capfd, presses, steps
):
    take_step = Trainer.train_step
    before = signal.getsignal(signal.SIGINT)

    def interrupted(self, team):
        for _ in range(presses):
            signal.raise_signal(signal.SIGINT)
        return take_step(self, team)

    monkeypatch.setattr(Trainer, "train_step", interrupted)
    output = tmp_path / "mine.safetensors"
    assert main([*words, "-o", str(output)]) == 130
    told = capfd.readouterr().err
    assert "Stopping after this step" in told
    assert "goes on from here" in told
    assert output.is_file() == (steps is not None)
    assert signal.getsignal(signal.SIGINT) is before
    monkeypatch.undo()
    assert main([*words, "-o", str(output)]) == 0
    rows = (tmp_path / "mine.losses.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "1", "2", "3"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [([], [3]), (["--threads", "2"], [2]), (["--workers", "2", "--threads", "2"], [4])],
)
def test_threads_are_all_there_are_or_those_given(words, tmp_path, monkeypatch, given, expected):
    """Each of several processes takes its share of what this one has."""
    seen = []

    class Counting(workers.LocalWorker):
        def __init__(self, model, recipe, source, count=1):
            seen.append(torch.get_num_threads())
            super().__init__(model, recipe, source)

    for name in ("LocalWorker", "WorkerPool"):
        monkeypatch.setattr(f"napari_sam.training.trainer.{name}", Counting)
    (tmp_path / "tiny.toml").write_text("parts = 2\n" + RECIPE)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert main([*words, "-o", str(tmp_path / "m.safetensors"), "--steps", "1", *given]) == 0
    finally:
        torch.set_num_threads(before)
    assert seen == expected


def test_a_rater_that_is_only_fitted_again_is_told_of(data, weights, tmp_path, capsys):
    recipe = tmp_path / "rater.toml"
    recipe.write_text('tune = "instance_rater"\nsteps = 1\nfits = 20\n')
    words = ["train", "--config", str(recipe), "--weights", str(weights), "--data", str(data)]
    output = str(tmp_path / "rated.safetensors")
    assert main([*words, "-o", output]) == 0
    assert "only fitted again" not in capsys.readouterr().out
    assert main([*words, "-o", output]) == 0
    assert "only fitted again, in 20 steps" in capsys.readouterr().out


def test_the_help_names_all_recipes(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    told = capsys.readouterr().out
    for name in ("nano_cpu", "nano_rater", "nano_instances", "finetune"):
        assert name in told


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--json", "{dir}"], "is a folder"),
        (["--figure", "{dir}"], "is a folder"),
        (["--figure", "{dir}/worst.txt"], "No picture can be written as 'worst.txt'"),
        (["--figure", "{dir}/worst"], "No picture can be written as 'worst'"),
    ],
)
def test_files_that_cannot_be_written_are_refused_before_data_are_read(
    tmp_path, capsys, given, message
):
    given = [word.format(dir=tmp_path) for word in given]
    assert main(["evaluate", "--data", "nowhere", *given]) == 1
    assert message in capsys.readouterr().err


def test_the_table_is_told_before_files_are_written(data, weights, monkeypatch, capsys, tmp_path):
    def fail(*_):
        raise OSError("No space left")

    monkeypatch.setattr("napari_sam.training.evaluation.Evaluation.write_json", fail)
    words = ["evaluate", "--data", str(data), "--model", str(weights), "--clicks", "1"]
    assert main([*words, "--most-clicks", "1", "--json", str(tmp_path / "scores.json")]) == 1
    told = capsys.readouterr()
    assert "| data | 2 |" in told.out
    assert "No space left" in told.err


def test_images_without_objects_are_evaluated_and_not_trained_on(words, data, weights, capsys):
    for name in ("images", "labels"):
        tifffile.imwrite(data / name / "b.tif", np.zeros((64, 64), np.uint8))
    assert main([*words, "--steps", "1", "-o", str(data.parent / "mine.safetensors")]) == 0
    assert "1 samples" in capsys.readouterr().out
    for name in ("images", "labels"):
        (data / name / "a.tif").unlink()
    few = ["--model", str(weights), "--clicks", "1", "--most-clicks", "1"]
    assert main(["evaluate", "--data", str(data), *few]) == 0
    assert "| data | 0 |" in capsys.readouterr().out
