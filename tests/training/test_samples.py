import numpy as np
import pytest

from napari_sam.training.samples import Sample, read_pack


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


def test_image_and_labels_must_fit():
    with pytest.raises(ValueError, match=r"\(4, 5\).*\(4, 4\)"):
        Sample(name="x", source="y", image=np.zeros((4, 5)), labels=np.zeros((4, 4), int))


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


@pytest.mark.parametrize("shape", [(4, 5, 2), (4, 5, 1), (4, 5, 7), (3,), (1, 2, 4, 5)])
def test_a_sample_is_one_image(shape):
    with pytest.raises(ValueError, match=r"Sample 'x' holds float64 of the shape"):
        Sample(name="x", source="y", image=np.zeros(shape), labels=np.zeros(shape[:2], int))


RAMP = np.arange(400).reshape(20, 20)


@pytest.mark.parametrize(
    "image",
    [
        1e-10 * RAMP,
        (1e-10 * RAMP).astype(np.float32),
        (RAMP / 400).astype(np.float16),
        RAMP + 2.0**31,
        -1e300 * RAMP[::-1, ::-1],
    ],
)
def test_gray_of_any_range_and_offset_is_shown(image):
    seen = shown(image)
    assert seen.dtype == np.float32
    assert np.abs(seen - seen.min() - RAMP / 399).max() < 0.01
    assert seen.min() == pytest.approx(-0.001, abs=1e-3)


@pytest.mark.parametrize("kind", [np.uint32, np.int64])
def test_wide_integers_with_an_offset_are_shown(kind):
    seen = shown(RAMP.astype(kind) + kind(2_000_000_000))
    assert len(np.unique(seen)) == 400
    assert seen.dtype == np.float32


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int16, np.uint16])
def test_short_integers_are_shown_as_they_are(kind):
    image = RAMP.astype(kind)
    assert shown(image) is image


def test_a_wild_pixel_stays_finite():
    image = (1e-12 * RAMP).astype(np.float32)
    image[0, 0] = -3.4e38
    assert np.isfinite(shown(image)).all()
    assert not shown(np.full((20, 20), 7.5)).any()


def test_an_index_without_the_columns_of_a_pack(pack):
    (pack / "index.csv").write_text("file,condition\na.tif,x\n")
    with pytest.raises(ValueError, match=r"index\.csv.*lacks the columns: id, source$"):
        read_pack(pack)
    with pytest.raises(ValueError, match=r"lacks the columns: id, source, split$"):
        read_pack(pack, split="train")
    (pack / "index.csv").write_text("")
    with pytest.raises(ValueError, match=r"lacks the columns: id, source, file$"):
        read_pack(pack)


def test_items_that_cannot_be_read_are_named(pack):
    index = (pack / "index.csv").read_text()
    (pack / "index.csv").write_text(index.replace("a,cells", "b,cells"))
    with pytest.raises(ValueError, match=r"^cells\.npz, item 'b', is damaged or cannot be read"):
        read_pack(pack, split="train")
    (pack / "cells.npz").write_bytes(b"junk")
    with pytest.raises(ValueError, match=r"^cells\.npz, item 'b', is damaged"):
        read_pack(pack, split="train")
