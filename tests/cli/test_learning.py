"""Training and evaluating from the shell: what is refused, and what a run leaves."""

import numpy as np
import pytest
import tifffile
import torch

from napari_sam.cli import main
from napari_sam.model.checkpoints import write_checkpoint
from napari_sam.model.sam import Sam
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
