"""What is asked of an embedder, and where it computes."""

import os
import subprocess
import sys

import numpy as np
import pytest

from napari_sam.model.sam import Sam
from napari_sam.segmentation.embedder import Embedder
from tests.segmentation.test_geometry import CONV

FORKED = """
import os
import numpy as np
import torch
from napari_sam import Predictor

torch.set_num_threads(2)
predictor = Predictor("nano", "cpu")
image = np.eye(200)
predictor.embed(image, object_diameter=20)
child = os.fork()
if not child:
    predictor.embed(image, object_diameter=20)
    os._exit(torch.get_num_threads())
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), torch.get_num_threads())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_computes_instead_of_waiting_for_ever():
    """On a thread of its own: a pool on Linux forks, and had hung without a word."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == ["1", "2"]


@pytest.mark.parametrize(
    ("diameter", "error", "message"),
    [
        ("30", TypeError, "object_diameter must be a number of pixels, got '30'"),
        (0, ValueError, "object_diameter must be positive, got 0"),
        (np.nan, ValueError, "object_diameter must be positive, got nan"),
    ],
)
def test_a_diameter_that_is_none_is_named(diameter, error, message):
    with pytest.raises(error, match=message):
        Embedder(Sam(CONV), "small").embed(np.eye(20), object_diameter=diameter)


def test_limits_may_be_an_array():
    embedder = Embedder(Sam(CONV), "small")
    image = np.arange(400.0).reshape(20, 20)
    known, given = (
        embedder.embed(image, object_diameter=20, contrast_limits=limits)
        for limits in ((0, 255), np.array([0, 255]))
    )
    assert (known.features == given.features).all()


def test_pixels_that_are_no_numbers_are_told_once():
    """The picture that is looked at again has none, so that closer looks do not tell them anew."""
    image = np.arange(400.0).reshape(20, 20)
    image[3, 4] = np.nan
    with pytest.warns(UserWarning, match="1 pixels that are NaN") as told:
        embedding = Embedder(Sam(CONV), "small").embed(image, object_diameter=20)
    assert len(told) == 1
    assert told[0].filename == __file__
    assert embedding.picture is not None
    assert np.isfinite(embedding.picture.image).all()


def test_an_embedding_in_a_notebook_is_a_line():
    embedding = Embedder(Sam(CONV), "small").embed(np.eye(20), object_diameter=20)
    told = "<ImageEmbedding of an image of shape (20, 20), small, objects of 20 px>"
    assert repr(embedding) == told
