"""What looks at several scales, each voting for diameters, agree on."""

import numpy as np
import pytest

from napari_sam.segmentation.voted_sizes import voted_diameter

OCTAVES = np.arange(33) / 4 - 4
KNOWN = 40.0


def votes(diameter, scale):
    """Be sure near the known diameter, and waver from afar between the truth and what is usual."""
    truth = np.log2(diameter * scale / KNOWN)
    doubt = min(1.0, abs(truth) / 6)
    sure = np.exp(-(((OCTAVES - truth) / 0.4) ** 2))
    usual = np.exp(-((OCTAVES / 0.8) ** 2))
    shares = (1 - doubt) * sure / sure.sum() + doubt * usual / usual.sum() + 1e-3
    return np.log(shares / shares.sum())


@pytest.mark.parametrize("diameter", [12, 25, 40, 100, 150])
@pytest.mark.parametrize("scales", [(0.5, 1.0, 2.0, 4.0), (0.5, 1.0)])
def test_the_scales_agree_on_the_diameter(diameter, scales):
    seen = {scale: votes(diameter, scale) for scale in scales}
    assert voted_diameter(seen, OCTAVES, KNOWN) == pytest.approx(diameter, rel=0.2)


def test_one_look_is_believed():
    assert voted_diameter({2.0: votes(15, 2.0)}, OCTAVES, KNOWN) == pytest.approx(15, rel=0.1)


def test_without_votes_nothing_is_known():
    assert voted_diameter({}, OCTAVES, KNOWN) is None
