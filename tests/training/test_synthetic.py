import numpy as np
import pytest

from napari_sam.training.synthetic import draw_scene


@pytest.mark.parametrize("seed", range(6))
def test_scenes_are_the_same_from_the_same_seed(seed):
    first, second = draw_scene(seed, size=96), draw_scene(seed, size=96)
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.labels, second.labels)
    assert first.image.dtype == np.uint8
    assert first.image.std() > 2
    assert first.labels.max() > 0


def test_all_kinds_of_scenes_are_drawn():
    kinds = {draw_scene(seed, size=64).tags["modality"] for seed in range(24)}
    assert kinds == {"cells", "tissue", "vesicles", "scattered"}


def test_nuclei_lie_in_their_cells():
    scenes = (draw_scene(seed, size=128) for seed in range(40))
    nested = [scene for scene in scenes if scene.nested is not None]
    assert nested
    for scene in nested:
        inside = scene.labels > 0
        assert np.array_equal(scene.labels[inside], scene.nested[inside])


def test_scattered_objects_have_kinds_and_some_scenes_are_stained():
    scenes = [draw_scene(seed, size=96) for seed in range(40)]
    scattered = [scene for scene in scenes if scene.tags["modality"] == "scattered"]
    assert {int(scene.kinds_of_labels().max()) for scene in scattered} == {1, 2}
    few = [scene for scene in scattered if scene.labels.max() <= 6]
    assert 0 < len(few) < len(scattered)
    assert all(len(scene.kinds_of_labels()) > scene.labels.max() for scene in scenes)
    assert any(scene.image.ndim == 3 for scene in scenes)
