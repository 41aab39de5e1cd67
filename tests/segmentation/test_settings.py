"""Every config with settings is checked alike."""

import numpy as np
import pytest

from napari_sam.segmentation.alike_config import AlikeConfig
from napari_sam.segmentation.propagation_config import PropagateConfig
from napari_sam.volume import LinkConfig, VolumeConfig


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (AlikeConfig, "max_points"),
        (PropagateConfig, "max_slices"),
        (LinkConfig, "max_gap"),
        (VolumeConfig, "block_size"),
    ],
)
def test_whole_numbers_are_whole(config, name):
    whole = getattr(config(), name)
    for given in (float(whole), np.float32(whole)):
        kept = getattr(config(**{name: given}), name)
        assert (kept, type(kept)) == (whole, int)
    with pytest.raises(ValueError, match=f"{name} must be a whole number, got {whole + 0.5}"):
        config(**{name: whole + 0.5})
    for given in (str(whole), None):
        with pytest.raises(TypeError, match=f"{name} must be a number, got {given!r}"):
            config(**{name: given})


def test_choices_are_checked():
    with pytest.raises(ValueError, match=r"prompts must be one of \('mask', 'box'\), got 'point'"):
        PropagateConfig(prompts="point")
