"""Embeddings on disk: whole or not at all, exact, and within their limit."""

import multiprocessing
import os
import pickle
import threading
import time

import numpy as np
import pytest
import torch
import zarr

from napari_sam.segmentation.geometry import Geometry
from napari_sam.volume import embedding_store as store_module
from napari_sam.volume.embedding_store import EmbeddingStore, KeptEmbedding

SHAPES = ((8, 16, 20), (2, 32, 40), (1, 64, 80))


def key(number):
    return f"{number:064x}"


def kept(seed=0, diameter=20.5):
    random = np.random.default_rng(seed)
    return KeptEmbedding(
        maps=tuple(random.standard_normal(shape).astype(np.float16) for shape in SHAPES),
        geometry=Geometry(image_shape=(60, 70), input_shape=(120, 140), padded_shape=(128, 160)),
        object_diameter=diameter,
    )


def assert_equal(one, other):
    assert (one.geometry, one.object_diameter) == (other.geometry, other.object_diameter)
    for found, expected in zip(one.maps, other.maps, strict=True):
        assert found.dtype == np.float16
        np.testing.assert_array_equal(found, expected)


def use(store, number, seconds_ago):
    """Say when an entry was used last."""
    moment = time.time() - seconds_ago
    os.utime(store.folder / f"{key(number)}.zarr" / "zarr.json", (moment, moment))


@pytest.fixture
def store(tmp_path):
    return EmbeddingStore(tmp_path / "kept")


@pytest.mark.parametrize("diameter", [0.1 + 0.2, None])
def test_what_is_put_comes_back_exactly(store, diameter):
    assert store.get(key(1)) is None
    store.put(key(1), kept(diameter=diameter))
    assert_equal(store.get(key(1)), kept(diameter=diameter))
    assert (key(1) in store, key(2) in store, len(store)) == (True, False, 1)
    assert [path.name for path in store.folder.iterdir()] == [f"{key(1)}.zarr"]
    assert 0.5 * kept().nbytes < store.size < kept().nbytes + 8192


def test_entries_are_chunked_zarr_groups(store, monkeypatch):
    monkeypatch.setattr(store_module, "_CHUNK_VALUES", 3 * 16 * 20)
    store.put(key(1), kept())
    group = zarr.open_group(store.folder / f"{key(1)}.zarr", mode="r")
    assert (group.metadata.zarr_format, sorted(group)) == (3, ["features", "skip_1", "skip_2"])
    assert (group["features"].chunks, group["features"].dtype) == ((3, 16, 20), np.float16)
    assert group["skip_1"].chunks == (1, 32, 40)
    assert_equal(store.get(key(1)), kept())


def test_what_is_kept_already_is_not_written_again(store):
    store.put(key(1), kept(1))
    store.put(key(1), kept(2))
    assert_equal(store.get(key(1)), kept(1))


def damage(entry):
    """Yield ways to damage an entry, by name."""
    chunk = entry / "features" / "c" / "0" / "0" / "0"
    whole = chunk.read_bytes()
    yield lambda: chunk.write_bytes(whole[:-40])
    yield lambda: chunk.write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
    yield lambda: chunk.write_bytes(b"")
    yield chunk.unlink
    yield (entry / "zarr.json").unlink
    yield (entry / "skip_2" / "zarr.json").unlink
    about = entry / "zarr.json"
    text = about.read_text(encoding="utf-8")
    for new in ("", "{", text.replace('"crc32"', '"crc33"'), text.replace("60,", "-,")):
        yield lambda new=new: about.write_text(new, encoding="utf-8")
    yield lambda: about.write_text(text.replace('"image_shape"', '"shape"'), encoding="utf-8")
    array = entry / "features" / "zarr.json"
    for old, new in (("float16", "uint16"), ("float16", "none"), ("zstd", "zzzz"), ("16,", "17,")):
        changed = array.read_text(encoding="utf-8").replace(old, new)
        yield lambda changed=changed: array.write_text(changed, encoding="utf-8")


@pytest.mark.parametrize("way", range(15))
def test_what_is_damaged_counts_as_missing_and_goes(store, way):
    store.put(key(1), kept())
    list(damage(store.folder / f"{key(1)}.zarr"))[way]()
    assert store.get(key(1)) is None
    assert (len(store), list(store.folder.iterdir())) == (0, [])
    store.put(key(1), kept())
    assert_equal(store.get(key(1)), kept())


def test_a_limit_drops_what_was_not_used_for_longest(store):
    def left():
        return [number for number in range(6) if key(number) in store]

    for number in range(3):
        store.put(key(number), kept(number))
        use(store, number, 100 - number)
    store = EmbeddingStore(store.folder, limit=store.size * 7 // 6)
    assert len(store) == 3
    assert_equal(store.get(key(0)), kept(0))  # used now, so that 1 was not used for longest
    store.put(key(3), kept(3))
    assert left() == [0, 2, 3]
    other = EmbeddingStore(store.folder)  # as of another process, without a limit
    other.get(key(2))
    other.put(key(4), kept(4))
    store.put(key(5), kept(5))
    assert len(left()) == 3
    assert left()[-2:] == [4, 5]
    assert left()[0] in (2, 3)  # 0 went; these two were used at almost the same time
    assert store.size <= store.limit


def test_what_is_over_the_limit_alone_is_not_kept(store):
    store.put(key(0), kept())
    small = EmbeddingStore(store.folder, limit=1000)
    small.put(key(1), kept(1))
    assert [number for number in range(2) if key(number) in small] == [0]
    with pytest.raises(ValueError, match="limit must be bytes"):
        EmbeddingStore(store.folder, limit=-1)


def test_other_things_in_the_folder_are_left_alone(store):
    (store.folder / "mine.zarr").mkdir()
    (store.folder / "notes.txt").write_text("mine", encoding="utf-8")
    writing = store.folder / ".writing-by-another"
    writing.mkdir()
    store.limit = 0
    store.put(key(1), kept())
    assert (store.size, len(store)) == (0, 0)
    assert len(list(EmbeddingStore(store.folder).folder.iterdir())) == 3
    old = time.time() - 7200
    os.utime(writing, (old, old))
    left = {path.name for path in EmbeddingStore(store.folder).folder.iterdir()}
    assert left == {"mine.zarr", "notes.txt"}


@pytest.mark.parametrize("wrong", ["", "../" + "0" * 64, "A" * 64, "0" * 63])
def test_keys_are_digests(store, wrong):
    for act in (store.get, lambda wrong: store.put(wrong, kept())):
        with pytest.raises(ValueError, match="64 hexadecimal digits"):
            act(wrong)


def test_a_write_that_fails_leaves_nothing(store, monkeypatch):
    create = zarr.create_array
    full = OSError(28, "No space left on device")

    def fail(**options):
        if options["store"].name == "skip_1":
            raise full
        return create(**options)

    monkeypatch.setattr(zarr, "create_array", fail)
    with pytest.raises(OSError, match="No space left"):
        store.put(key(1), kept())
    assert list(store.folder.iterdir()) == []


def test_it_can_be_pickled(store):
    store.limit = 10**9
    store.put(key(1), kept())
    copy = pickle.loads(pickle.dumps(store))
    assert (copy.folder, copy.limit) == (store.folder, store.limit)
    assert_equal(copy.get(key(1)), kept())


def test_values_pass_through_float16_and_stay_finite():
    levels = torch.tensor([1 / 3, 1e6, -1e6, 65519.9]).reshape(1, 4, 1, 1)
    halved = store_module._halved(levels)
    assert halved.shape == (4, 1, 1)
    expected = [np.float16(1 / 3), 65504, -65504, 65504]
    np.testing.assert_array_equal(halved.ravel(), expected)
    back = store_module._restored(halved, "cpu")
    assert back.dtype == torch.float32
    assert back.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(store_module._halved(back), halved)


def hammer(folder, limit, seed, rounds=40):
    """Read and write entries at random; return how many reads found one, all of them right."""
    store = EmbeddingStore(folder, limit=limit)
    found = 0
    random = np.random.default_rng(seed)
    for number in random.integers(0, 6, rounds).tolist():
        entry = store.get(key(number))
        if entry is None:
            store.put(key(number), kept(number))
        else:
            assert_equal(entry, kept(number))
            found += 1
    return found


def test_many_processes_and_threads_share_a_store(store):
    store.put(key(0), kept())
    limit = 4 * store.size
    found = []
    threads = [
        threading.Thread(target=lambda seed=seed: found.append(hammer(store.folder, limit, seed)))
        for seed in range(2)
    ]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        work = [pool.apply_async(hammer, (store.folder, limit, seed)) for seed in (2, 3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found += [result.get(100) for result in work]
    assert len(found) == 4
    assert sum(found) > 20
    left = [path.name for path in store.folder.iterdir()]
    assert all(name.endswith(".zarr") for name in left)
    assert EmbeddingStore(store.folder).size <= 2 * limit
