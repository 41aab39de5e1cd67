import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn

from napari_sam.model.first_values import no_first_values


@pytest.mark.parametrize("make", [nn.Linear, nn.Embedding, nn.LayerNorm, nn.BatchNorm2d, nn.Conv1d])
def test_modules_are_built_as_ever(make):
    arguments = {nn.LayerNorm: (4,), nn.BatchNorm2d: (4,), nn.Conv1d: (4, 3, 5)}.get(make, (4, 3))
    with torch.device("meta"), no_first_values():
        built = make(*arguments)
    usual = make(*arguments)
    assert {key: value.shape for key, value in built.state_dict().items()} == {
        key: value.shape for key, value in usual.state_dict().items()
    }
    assert all(value.is_meta for value in built.parameters())


@pytest.mark.parametrize(
    "draw",
    [nn.init.normal_, nn.init.xavier_uniform_, nn.init.kaiming_uniform_, torch.Tensor.uniform_],
)
def test_values_stay_within_and_are_drawn_again_after(draw):
    tensor = torch.full((3, 4), 7.0)
    with no_first_values():
        assert draw(tensor) is tensor
        assert (tensor == 7).all()
        assert (torch.ones(2) + 1 == 2).all()  # all else is as ever
    draw(tensor)
    assert (tensor != 7).any()


def test_prompts_and_everything_go_without_the_compiler():
    script = """
        import sys
        from skimage.data import coins
        from napari_sam import EverythingConfig, Predictor, Prompts, segment_everything

        predictor, image = Predictor("nano", device="cpu"), coins()[:200, :200]
        embedding = predictor.embed(image)
        predictor.predict(embedding, Prompts(points=[(60, 60)]), closer_look=True)
        predictor.predict(embedding, Prompts(box=(40, 40, 90, 90)), closer_look=True)
        predictor.kind_map(embedding)
        for mode in ("instances", "prompts", "grid"):
            config = EverythingConfig(mode=mode, points_per_side=5)
            segment_everything(predictor, image, config)
        heavy = {"torch._dynamo", "torch._inductor", "triton"} & set(sys.modules)
        sys.exit(f"{heavy} came along" if heavy else 0)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
