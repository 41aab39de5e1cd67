import torch

from napari_sam.training.simulated_prompts import corrections, first_points, jittered_boxes


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def drawn() -> torch.Tensor:
    target = torch.zeros(2, 16, 16)
    target[0, 2:6, 3:9] = 1
    target[1, 10:12, 10:15] = 1
    return target


def test_first_points_lie_in_their_objects():
    target = drawn().repeat(50, 1, 1)
    points = first_points(target, generator())
    assert (target[torch.arange(100), points[:, 1], points[:, 0]] == 1).all()
    assert len(points.unique(dim=0)) > 10


def test_boxes_without_jitter_are_the_bounds():
    boxes = jittered_boxes(drawn(), generator(), jitter=0)
    assert boxes.tolist() == [[3, 2, 8, 5], [10, 10, 14, 11]]


def test_jittered_boxes_stay_in_the_image():
    boxes = jittered_boxes(drawn().repeat(50, 1, 1), generator(), jitter=5)
    assert boxes.min() >= 0
    assert boxes.max() <= 15
    assert len(boxes.unique(dim=0)) > 10


def test_corrections_go_where_the_mask_is_wrong():
    target = drawn()
    logits = torch.full((2, 16, 16), -5.0)
    logits[1, 10:12, 8:15] = 5  # spills to the left
    points, labels = corrections(logits, target, generator())
    assert labels.tolist() == [1, 0]
    x, y = points[0].tolist()
    assert target[0, y, x] == 1
    x, y = points[1].tolist()
    assert y in (10, 11)
    assert x in (8, 9)


def test_a_right_mask_is_confirmed_inside():
    target = drawn()
    points, labels = corrections((target - 0.5) * 10, target, generator())
    assert labels.tolist() == [1, 1]
    assert (target[torch.arange(2), points[:, 1], points[:, 0]] == 1).all()
