"""Units: names in OME-Zarr, symbols in OME-TIFF, and the words of other programs."""

import pytest

from napari_sam.volume.units import SYMBOLS, ome_symbol, unit_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("µm", "micrometer"),
        ("\N{GREEK SMALL LETTER MU}m", "micrometer"),
        ("\\u00B5m", "micrometer"),
        ("um", "micrometer"),
        ("micron", "micrometer"),
        ("Microns", "micrometer"),
        ("micrometre", "micrometer"),
        ("micrometers", "micrometer"),
        ("mm", "millimeter"),
        ("Mm", "megameter"),
        ("Å", "angstrom"),
        ("\N{ANGSTROM SIGN}", "angstrom"),
        ("inch", "inch"),
        ("in", "inch"),
        ("second", "second"),
        ("pixel", None),
        ("Pixels", None),
        ("reference frame", None),
        ("", None),
        (None, None),
    ],
)
def test_names(text, name):
    assert unit_name(text) == name


def test_symbols_and_names_go_back_and_forth():
    assert all(unit_name(ome_symbol(name)) == name for name in SYMBOLS)
    assert ome_symbol("micron") == "µm"
    assert ome_symbol(None) == "reference frame"


def test_what_is_no_length_is_refused():
    with pytest.raises(ValueError, match=r"units must be lengths, .* got 'second'"):
        ome_symbol("second")
