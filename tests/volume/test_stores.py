"""Zarr by its place: folders, zip files, URLs."""

import contextlib
import functools
import http.server
import os
import pickle
import shutil
import sys
import threading

import numpy as np
import pytest
import zarr

from napari_sam.volume import open_source
from napari_sam.volume.stores import StoreError, locate
from tests.volume.toys import write_image

STACK = np.arange(3 * 40 * 50, dtype=np.uint16).reshape(3, 40, 50)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_zip_file_is_a_store(tmp_path, version):
    scales = [((2.0, 0.5, 0.5), (0.0, 0.0, 0.0))]
    folder = write_image(tmp_path / "i.zarr", [STACK], axes="zyx", version=version, scales=scales)
    path = shutil.make_archive(str(folder), "zip", folder)
    source = open_source(path)
    assert (source.location, source.array_path, source.scale) == (path, "s0", (2.0, 0.5, 0.5))
    np.testing.assert_array_equal(source.read(2), STACK[2])
    inner = open_source(os.path.join(path, "s0"))  # noqa: PTH118 - as a person writes it
    assert inner.array_path == ""
    np.testing.assert_array_equal(inner.read(1), STACK[1])
    for one in (source, inner):
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(one)).read(2), STACK[2])


def test_a_zip_file_without_zarr_is_refused(tmp_path):
    write_image(tmp_path / "image.zarr", [STACK], axes="zyx")
    nested = shutil.make_archive(str(tmp_path / "nested"), "zip", tmp_path, "image.zarr")
    with pytest.raises(ValueError, match="must have the contents of a zarr folder, not the folder"):
        open_source(nested)
    (tmp_path / "text.zip").write_text("text", encoding="utf-8")
    with pytest.raises(ValueError, match="neither a zarr array nor a zarr group"):
        open_source(tmp_path / "text.zip")


def test_places_hold_in_every_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    expected = str(tmp_path / "a b.zarr")
    assert locate("a b.zarr") == expected
    assert locate("~/a b.zarr") == expected
    assert locate((tmp_path / "a b.zarr").as_uri()) == expected
    assert locate("https://host/a.zarr") == "https://host/a.zarr"


def test_a_file_url_is_a_path(tmp_path):
    path = write_image(tmp_path / "a b.zarr", [STACK], axes="zyx")
    source = open_source(path.as_uri())
    assert source.location == str(path)
    np.testing.assert_array_equal(source.read(1), STACK[1])


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_an_array_behind_a_url(zarr_format):
    fsspec = pytest.importorskip("fsspec")
    url = f"memory://toys/array{zarr_format}.zarr"
    stored = zarr.create_array(store=url, data=STACK, chunks=(1, 20, 25), zarr_format=zarr_format)
    source = open_source(url)
    assert (source.location, source.shape, source.chunks) == (url, STACK.shape, (1, 20, 25))
    assert source.array.read_only
    np.testing.assert_array_equal(source.read(2), STACK[2])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(source)).read(2), STACK[2])
    assert stored.shape == STACK.shape
    with pytest.raises(FileNotFoundError):
        open_source("memory://toys/nothing.zarr")
    fsspec.filesystem("memory").rm("/toys", recursive=True)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        """Say nothing."""


@contextlib.contextmanager
def served(folder):
    handler = functools.partial(_Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_image_behind_http(tmp_path, version):
    pytest.importorskip("fsspec")
    pytest.importorskip("aiohttp")
    write_image(tmp_path / "image.zarr", [STACK], axes="zyx", version=version, units="micrometer")
    with served(tmp_path) as host:
        source = open_source(f"{host}/image.zarr")
        assert (source.units, source.array_path) == (("micrometer",) * 3, "s0")
        np.testing.assert_array_equal(source.read(2), STACK[2])
        np.testing.assert_array_equal(source.read(1, np.s_[5:9, 40:]), STACK[1, 5:9, 40:])
        with pytest.raises(FileNotFoundError):
            open_source(f"{host}/nothing.zarr")


@pytest.mark.parametrize(
    "url", ["https://host/stack.tif", "s3://bucket/a.OME.TIFF", "https://host/a.zarr.zip?key=1"]
)
def test_remote_files_are_refused(url):
    with pytest.raises(StoreError, match=r"must be a zarr, .* copy the file to this machine first"):
        open_source(url)


def test_a_missing_package_is_named(monkeypatch):
    known = pytest.importorskip("fsspec.registry").known_implementations
    entry = {"class": "no_such_package.FileSystem", "err": "Install no_such_package for toys"}
    monkeypatch.setitem(known, "toy", entry)
    with pytest.raises(StoreError, match=r"Install no_such_package .* 'napari-sam\[remote\]'"):
        open_source("toy://bucket/image.zarr")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(StoreError, match=r"needs a package .* 'napari-sam\[remote\]'"):
        open_source("memory://image.zarr")


def test_an_unknown_scheme_is_told():
    pytest.importorskip("fsspec")
    with pytest.raises(StoreError, match=r"nowhere://a.zarr' cannot be opened"):
        open_source("nowhere://a.zarr")


def test_a_host_that_does_not_answer_is_told(tmp_path):
    pytest.importorskip("aiohttp")
    with served(tmp_path) as host:
        url = f"{host}/image.zarr"
    with pytest.raises(StoreError, match=r"image.zarr' cannot be opened: .* check the address"):
        open_source(url)
