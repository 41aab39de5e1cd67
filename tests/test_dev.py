"""dev.py never fetches CUDA unasked, and names the packages of missing libraries."""

import dev
import pytest


def report(*names):
    return {"install": [{"metadata": {"name": name, "version": "1"}} for name in names]}


def test_parts_of_cuda_are_seen():
    assert dev.cuda_parts(report("torch", "sympy")) == []
    parts = ["nvidia-cublas-cu12", "triton", "cuda-bindings"]
    assert dev.cuda_parts(report("torch", *parts)) == parts


def test_a_missing_library_is_told_by_its_package():
    assert dev.missing_packages({"libnothing-of-the-kind.so.9": "libnothing9"}) == ["libnothing9"]


@pytest.fixture
def pip(monkeypatch):
    """A machine with Linux and no GPU; pip's calls are recorded and fail until told otherwise."""
    calls = []
    monkeypatch.setattr(dev.sys, "platform", "linux")
    monkeypatch.setattr(dev.shutil, "which", lambda _: None)
    monkeypatch.setattr(dev, "run", lambda *words, **_: calls.append(words) or 1)
    return calls


def test_the_build_for_cpus_is_asked_for_by_name(pip, monkeypatch):
    monkeypatch.setattr(dev, "run", lambda *words, **_: pip.append(words) or 0)
    dev.install_torch()
    assert [call[-1] for call in pip] == [f"torch=={dev.TORCH}+cpu"]


def test_without_a_build_for_cpus_nothing_is_installed(pip, monkeypatch):
    monkeypatch.setattr(dev, "is_for_cpu", lambda _: False)
    with pytest.raises(SystemExit, match="pip install torch"):
        dev.install_torch()
    assert [call[-1] for call in pip] == [f"torch=={dev.TORCH}+cpu"]


def test_with_a_gpu_pip_chooses(pip, monkeypatch):
    monkeypatch.setattr(dev.shutil, "which", lambda _: "/usr/bin/nvidia-smi")
    dev.install_torch()
    assert pip == []
