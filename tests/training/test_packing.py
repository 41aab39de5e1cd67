"""Values that travel between processes in one piece."""

import torch

from napari_sam.training.packing import pack, unpack
from tests.training.toys import TINY


def test_what_is_packed_comes_back():
    one = torch.arange(6, dtype=torch.uint8).reshape(2, 3)
    other = torch.rand(3, 2).half()
    packed = pack({"a": [one, other], "b": one, "empty": torch.empty(0), "recipe": TINY})
    back = unpack(packed)
    assert torch.equal(back["a"][0], one)
    assert torch.equal(back["a"][1], other)
    assert back["empty"].numel() == 0
    assert back["recipe"] == TINY


def test_what_is_held_twice_is_packed_once():
    one = torch.zeros(100)
    packed = pack([one, one])
    assert len(packed.memory) == 400
    first, second = unpack(packed)
    assert first is second


def test_what_comes_back_lies_in_the_shared_memory():
    packed = pack(torch.zeros(4))
    unpack(packed).fill_(1)
    assert packed.memory.any()
    assert packed.memory.is_shared()
