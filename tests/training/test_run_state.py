"""What a run leaves on disk to go on from."""

import pytest
import torch

from napari_sam.training.run_state import load_state, save_state


def test_a_state_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "run.state.pt"
    assert load_state(path, {"seed": 1}) is None
    save_state(path, {"seed": 1}, {"step": 3})
    assert load_state(path, {"seed": 1})["step"] == 3
    with pytest.raises(ValueError, match="another run: seed changed"):
        load_state(path, {"seed": 2})


def test_files_that_are_no_state_are_named(tmp_path):
    path = tmp_path / "run.state.pt"
    save_state(path, {"seed": 1}, {"values": torch.zeros(5000)})
    whole = path.read_bytes()
    torch.save({"recipe": "no json"}, tmp_path / "a")
    torch.save({"model": 1}, tmp_path / "b")
    torch.save([1], tmp_path / "c")
    torch.save({"recipe": "[1]"}, tmp_path / "d")
    others = [(tmp_path / name).read_bytes() for name in "abcd"]
    for content in (b"", b"hello hello", whole[: len(whole) // 2], *others):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"run\.state\.pt' is damaged.*--restart"):
            load_state(path, {"seed": 1})
