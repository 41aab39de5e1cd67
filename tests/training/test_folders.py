"""Images and labels of a user: what is read, what is left out and told, what is refused."""

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage.io import imsave

from napari_sam.training.folders import read_folder


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


@pytest.mark.parametrize("depth", [2, 3, 4, 5])
@pytest.mark.parametrize("options", [{}, {"planarconfig": "separate"}])
def test_stacks_of_any_depth_become_slices(tmp_path, depth, options):
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
        pixels = np.ones((depth, 6, 8), np.uint16)
        tifffile.imwrite(tmp_path / name / "s.tif", pixels, photometric="minisblack", **options)
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


DISC = np.pad(np.ones((6, 8), np.uint8), 5)


def write(folder, kind, name, pixels=DISC):
    path = folder / kind / name
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels, photometric="minisblack")
    else:
        imsave(path, pixels, check_contrast=False)
    return path


def test_files_that_are_not_read_are_named(tmp_path, caplog):
    for name in ("a.tif", "a.png", "lonely.tif"):
        write(tmp_path, "images", name)
    for name in ("a.tif", "b_mask.tif"):
        write(tmp_path, "labels", name)
    assert [sample.name for sample in read_folder(tmp_path)] == ["a"]
    assert "left out 2 files without a partner of the same name: " in caplog.text
    assert "images/lonely.tif, labels/b_mask.tif" in caplog.text
    assert "another of the same name is read for: images/a.png" in caplog.text


def test_of_many_files_some_are_named(tmp_path, caplog):
    write(tmp_path, "labels", "a.tif")
    for index in range(9):
        write(tmp_path, "images", f"{'abcdefghi'[index]}.tif")
    read_folder(tmp_path)
    assert "left out 8 files" in caplog.text
    assert "images/f.tif and 3 more" in caplog.text


def test_labels_with_losses_are_refused(tmp_path):
    write(tmp_path, "images", "a.jpg")
    write(tmp_path, "labels", "a.jpg")
    with pytest.raises(ValueError, match=r"a\.jpg is compressed with losses"):
        read_folder(tmp_path)


def test_images_without_objects_are_kept_where_asked_for(tmp_path):
    for name, labels in (("a.tif", DISC), ("b.tif", 0 * DISC)):
        write(tmp_path, "images", name)
        write(tmp_path, "labels", name, labels)
    assert [sample.name for sample in read_folder(tmp_path)] == ["a"]
    assert [sample.name for sample in read_folder(tmp_path, keep_empty=True)] == ["a", "b"]
    write(tmp_path, "labels", "a.tif", 0 * DISC)
    with pytest.raises(ValueError, match=r"labels in .* are empty: 2 without an object"):
        read_folder(tmp_path)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("channels", [1, 2])
def test_gray_images_may_have_an_axis_of_channels(tmp_path, name, channels):
    image = np.dstack([DISC * 100, np.full_like(DISC, 255)])[..., :channels]
    if (name, channels) == ("a.png", 1):
        image = image[..., 0]  # png has no such axis
    write(tmp_path, "images", name, image)
    write(tmp_path, "labels", "a.tif")
    (sample,) = read_folder(tmp_path)
    assert np.array_equal(sample.image, DISC * 100)


def test_labels_may_have_an_axis_of_channels(tmp_path):
    for kind in ("images", "labels"):
        write(tmp_path, kind, "a.tif", DISC[..., None])
    (sample,) = read_folder(tmp_path)
    assert sample.labels.shape == DISC.shape
    write(tmp_path, "labels", "a.png", np.dstack([DISC, np.full_like(DISC, 255)]))
    (tmp_path / "labels" / "a.tif").unlink()
    (sample,) = read_folder(tmp_path)
    assert sample.labels.max() == 1


@pytest.mark.parametrize("shape", [(16, 18, 5), (3, 16, 18), (1, 16, 18)])
def test_images_of_other_shapes_are_named(tmp_path, shape):
    write(tmp_path, "images", "a.tif", np.ones(shape, np.uint8))
    write(tmp_path, "labels", "a.tif")
    with pytest.raises(ValueError, match=rf"'?a.* \({shape[0]}, {shape[1]}, {shape[2]}\)"):
        read_folder(tmp_path)


DAMAGED = (b"", b"II*\0junk", b"\x89PNG\r\n\x1a\njunk")


@pytest.mark.parametrize("content", DAMAGED)
@pytest.mark.parametrize("name", ["a.tif", "a.png"])
@pytest.mark.parametrize("kind", ["images", "labels"])
def test_damaged_files_are_named(tmp_path, content, name, kind):
    for one in ("images", "labels"):
        write(tmp_path, one, name)
    (tmp_path / kind / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"^{name} is damaged or cannot be read: ."):
        read_folder(tmp_path)


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_cut_files_are_named(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 255, (90, 110)).astype(np.uint8)
    path = write(tmp_path, "images", name, noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    write(tmp_path, "labels", "a.tif", noise)
    with pytest.raises(ValueError, match=f"^{name} is damaged"):
        read_folder(tmp_path)


def test_errors_of_the_reader_of_zarr_name_the_folder(tmp_path):
    for kind in ("images", "labels"):
        (tmp_path / kind / "v.zarr").mkdir(parents=True)

    def fail(path):
        raise KeyError("no array")

    with pytest.raises(ValueError, match=r"^v\.zarr is damaged or cannot be read: 'no array'"):
        read_folder(tmp_path, read_array=fail)


def test_indices_of_a_palette_are_labels_and_negative_ones_are_ignored(tmp_path):
    labels = np.zeros((24, 30), np.uint8)
    labels[2:8, 2:8], labels[12:20, 12:24] = 1, 7
    for name in ("a", "b"):
        write(tmp_path, "images", f"{name}.tif", np.zeros((24, 30), np.uint8))
    ignored = labels.astype(np.int16)
    ignored[:2] = -1
    write(tmp_path, "labels", "b.tif", ignored)
    picture = Image.fromarray(labels).convert("P")
    picture.putpalette([value for index in range(256) for value in (index, 255 - index, 90)])
    picture.save(tmp_path / "labels" / "a.png")
    first, second = read_folder(tmp_path)
    np.testing.assert_array_equal(np.unique(first.labels), [0, 1, 2])
    np.testing.assert_array_equal(first.labels, second.labels)
    assert (first.labels == 2).sum() == 96
