import numpy as np
import pytest
import tifffile
from skimage.io import imsave

from napari_sam.training.samples import Sample, read_folder, read_pack


@pytest.fixture
def pack(tmp_path):
    image = np.arange(48, dtype=np.uint8).reshape(6, 8)
    labels = (image > 20).astype(np.uint16)
    np.savez(tmp_path / "cells.npz", **{"img/a": image, "lab/a": labels, "lab2/a": labels * 2})
    (tmp_path / "index.csv").write_text(
        "id,source,file,split,modality,cluster,group\n"
        "a,cells,cells.npz,train,phase,c1,g1\n"
        "v,stacks,volumes/v.zarr,val,em,,\n"
    )
    return tmp_path


def test_a_pack_gives_its_samples(pack):
    (sample,) = read_pack(pack, split="train")
    assert (sample.name, sample.source) == ("a", "cells")
    assert sample.tags["modality"] == "phase"
    assert sample.tags["group"] == "g1"
    assert sample.labels.sum() == 27
    assert sample.nested.max() == 2


def test_volumes_become_slices_along_all_axes(pack):
    labels = np.zeros((8, 8, 8), int)
    labels[:, 1:3, 1:3], labels[:, 5:7, 5:7] = 1, 2
    samples = read_pack(pack, split="val", read_volume=lambda path: (labels * 9, labels))
    axes = {sample.tags["axis"] for sample in samples}
    assert "z" in axes
    assert all(len(np.unique(sample.labels)) == 3 for sample in samples)


def test_volumes_without_a_reader_are_named_and_left_out(pack, caplog):
    assert read_pack(pack, split="val") == []
    assert "v" in caplog.text


def test_a_folder_that_is_no_pack(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"index\.csv"):
        read_pack(tmp_path)


def test_a_users_folder(tmp_path):
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
        tifffile.imwrite(tmp_path / name / "one.tif", np.eye(5, dtype=np.uint8))
    tifffile.imwrite(tmp_path / "images" / "unpaired.tif", np.eye(5, dtype=np.uint8))
    (sample,) = read_folder(tmp_path)
    assert sample.name == "one"
    assert sample.labels.sum() == 5


def test_objects_are_numbered_whatever_their_labels(tmp_path):
    labels = np.array([[0, 2**31 + 5, 7], [7, 0, 0]], np.uint32)
    for name, pixels in (("images", np.ones((2, 3), np.uint8)), ("labels", labels)):
        (tmp_path / name).mkdir()
        tifffile.imwrite(tmp_path / name / "one.tif", pixels)
    (sample,) = read_folder(tmp_path)
    assert sample.labels.tolist() == [[0, 2, 1], [1, 0, 0]]


def test_stacks_and_zarr_in_a_users_folder(tmp_path, caplog):
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
        stack = np.stack([np.eye(5, dtype=np.uint8), np.zeros((5, 5), np.uint8)])
        tifffile.imwrite(tmp_path / name / "stack.tif", stack, photometric="minisblack")
        (tmp_path / name / "volume.zarr").mkdir()
    (sample,) = read_folder(tmp_path)
    assert sample.name == "stack_z0"
    assert "volume" in caplog.text
    samples = read_folder(tmp_path, read_array=lambda path: np.ones((3, 4, 4), np.uint8))
    assert [s.name for s in samples] == ["stack_z0", "volume_z0", "volume_z1", "volume_z2"]


def test_labels_that_do_not_fit_are_named(tmp_path):
    for name, pixels in (("images", np.ones((5, 5))), ("labels", np.ones((5, 5)))):
        (tmp_path / name).mkdir()
        tifffile.imwrite(tmp_path / name / "one.tif", pixels.astype(np.float32))
    with pytest.raises(ValueError, match="'one' must be integers"):
        read_folder(tmp_path)
    tifffile.imwrite(tmp_path / "labels" / "one.tif", np.ones((2, 5, 5), np.uint8))
    with pytest.raises(ValueError, match=r"\(2, 5, 5\)"):
        read_folder(tmp_path)


def test_a_folder_without_pairs_says_what_is_expected(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"images/NAME\.tif"):
        read_folder(tmp_path)


def test_image_and_labels_must_fit():
    with pytest.raises(ValueError, match=r"\(4, 5\).*\(4, 4\)"):
        Sample(name="x", source="y", image=np.zeros((4, 5)), labels=np.zeros((4, 4), int))


@pytest.mark.parametrize("depth", [2, 3, 4, 5])
def test_stacks_of_any_depth_become_slices(tmp_path, depth):
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
        pixels = np.ones((depth, 6, 8), np.uint16)
        tifffile.imwrite(tmp_path / name / "s.tif", pixels, photometric="minisblack")
    assert [sample.labels.shape for sample in read_folder(tmp_path)] == [(6, 8)] * depth


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_labels_in_colour_are_refused(tmp_path, suffix):
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
        imsave(
            tmp_path / name / f"one.{suffix}", np.ones((6, 8, 3), np.uint8), check_contrast=False
        )
    with pytest.raises(ValueError, match=f"one.{suffix} is a colour picture"):
        read_folder(tmp_path)


def shown(image) -> np.ndarray:
    labels = np.ones(image.shape[:2], int)
    return Sample(name="x", source="y", image=image, labels=labels).shown


def test_views_show_colour_of_any_type():
    eight = np.random.default_rng(0).integers(0, 256, (20, 20, 3)).astype(np.uint8)
    assert shown(eight) is not None
    assert np.array_equal(shown(eight), eight)
    for image in (eight.astype(np.uint16) * 200, eight / 255):
        seen = shown(image)
        assert seen.dtype == np.uint8
        assert np.abs(seen.astype(int) - eight).max() <= 3
    assert shown(np.dstack([eight, eight[..., 0]])).shape == (20, 20, 3)


def test_a_pixel_that_is_no_number_spoils_no_view():
    image = np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)
    image[3, 3] = np.nan
    sample = Sample(name="x", source="y", image=image, labels=np.ones((20, 20), int))
    with pytest.warns(UserWarning, match="1 pixels that are NaN"):
        assert np.isfinite(sample.grays).all()
    assert np.isfinite(sample.shown).all()
    assert np.ptp(sample.shown) > 0.9
