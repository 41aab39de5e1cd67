"""Names to files to networks; downloads from a server on this machine."""

import dataclasses
import functools
import http.server
import threading
from pathlib import Path

import pytest
import torch

from napari_sam.model import registry
from napari_sam.model.checkpoints import CheckpointError
from napari_sam.model.devices import available_devices, resolve_device, resolve_encoder_dtype
from napari_sam.model.registry import find_checkpoint, known_models, load_model, sha256_of

SMALL = Path(__file__).parent.parent / "fixtures" / "parity" / "sam_small.safetensors"


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A known model `tiny` on a server, and the cache that it is downloaded to."""
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / "tiny.safetensors").write_bytes(SMALL.read_bytes())

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    entry = registry.ModelEntry(
        name="tiny",
        title="for tests",
        file_name="tiny.safetensors",
        source=f"http://127.0.0.1:{server.server_port}/tiny.safetensors",
        sha256=sha256_of(SMALL),
    )
    monkeypatch.setattr(registry, "_MODELS", (entry,))
    monkeypatch.setattr(registry, "cache_folder", lambda: tmp_path / "cache")
    yield entry
    server.shutdown()
    server.server_close()
    thread.join()


def cached(tmp_path):
    return [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_download_is_verified_kept_and_told(served, tmp_path):
    told = []
    model = load_model("tiny", "cpu", on_progress=lambda done, total: told.append((done, total)))
    assert model.config.encoder.depth == 4
    assert [path.name for path in cached(tmp_path)] == ["tiny.safetensors"]
    assert told[-1] == (SMALL.stat().st_size, SMALL.stat().st_size)
    assert served.is_available


def test_a_damaged_download_leaves_nothing(served, tmp_path, monkeypatch):
    wrong = dataclasses.replace(served, sha256="0" * 64)
    monkeypatch.setattr(registry, "_MODELS", (wrong,))
    with pytest.raises(ConnectionError, match="NAPARI_SAM_MODELS"):
        find_checkpoint("tiny")
    assert cached(tmp_path) == []


def test_a_failed_download_leaves_nothing(served, tmp_path, monkeypatch):
    gone = dataclasses.replace(served, source=served.source + ".gone")
    monkeypatch.setattr(registry, "_MODELS", (gone,))
    with pytest.raises(ConnectionError, match="by other means"):
        find_checkpoint("tiny")
    assert cached(tmp_path) == []


def test_a_folder_of_ones_own_works_offline(served, models_folder, monkeypatch):
    (models_folder / "tiny.safetensors").write_bytes(SMALL.read_bytes())
    offline = dataclasses.replace(served, source="http://127.0.0.1:9/none")
    monkeypatch.setattr(registry, "_MODELS", (offline,))
    assert find_checkpoint("tiny") == models_folder / "tiny.safetensors"


def test_a_damaged_file_is_told(served, models_folder):
    (models_folder / "tiny.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"sha256 is .{8}\.\.\., expected .{8}\.\.\."):
        find_checkpoint("tiny")


def test_unknown_names_list_the_known():
    with pytest.raises(ValueError, match="Unknown model 'vit_x'; known models: nano, vit_b"):
        load_model("vit_x")


def test_nano_is_in_the_package():
    nano = next(entry for entry in known_models() if entry.name == "nano")
    assert nano.is_available
    assert nano.local_path().stat().st_size < 20e6
    assert load_model("nano", "cpu").instance_decoder is not None


def test_devices():
    assert available_devices()[0] == "auto"
    assert resolve_device("cpu").type == "cpu"
    with pytest.raises(ValueError, match="Unknown device 'gpu'"):
        resolve_device("gpu")
    with pytest.raises(ValueError, match="not available"):
        resolve_device("cuda:99")
    with pytest.raises(ValueError, match="Unknown precision"):
        resolve_encoder_dtype(resolve_device("cpu"), "float8")


def there_are(monkeypatch, kind, count):
    """Let torch tell of so many devices of a kind."""
    module = getattr(torch, kind)
    monkeypatch.setattr(module, "is_available", lambda: count > 0)
    monkeypatch.setattr(module, "device_count", lambda: count)


def test_a_device_beyond_those_that_are_there_is_refused(monkeypatch):
    there_are(monkeypatch, "cuda", 1)
    assert resolve_device("cuda").index is None
    assert resolve_device("cuda:0").index == 0
    with pytest.raises(ValueError, match="'cuda:7' is not available here; use one of auto, cpu"):
        resolve_device("cuda:7")


@pytest.mark.parametrize("name", ["xpu", "vulkan", "hpu", "meta"])
def test_kinds_of_devices_that_are_not_there_are_refused(monkeypatch, name):
    there_are(monkeypatch, "xpu", 0)
    with pytest.raises(ValueError, match="not available here"):
        resolve_device(name)


def test_other_accelerators_are_taken_where_they_are(monkeypatch):
    there_are(monkeypatch, "xpu", 2)
    assert resolve_device("xpu:1").type == "xpu"
