"""Units of length: their names in OME-Zarr, their symbols in OME-TIFF, what other writers say."""

from __future__ import annotations

import unicodedata

_PREFIXES = {
    "yotta": "Y", "zetta": "Z", "exa": "E", "peta": "P", "tera": "T", "giga": "G", "mega": "M",
    "kilo": "k", "hecto": "h", "deca": "da", "": "", "deci": "d", "centi": "c", "milli": "m",
    "micro": "µ", "nano": "n", "pico": "p", "femto": "f", "atto": "a", "zepto": "z", "yocto": "y",
}  # fmt: skip
SYMBOLS = {f"{prefix}meter": f"{symbol}m" for prefix, symbol in _PREFIXES.items()} | {
    "angstrom": "Å",
    "inch": "in",
    "foot": "ft",
    "yard": "yd",
    "mile": "mi",
    "parsec": "pc",
}
NO_UNIT = "reference frame"  # OME-TIFF's word for a length that is not measured in anything
_NO_UNITS = {"", NO_UNIT, "pixel", "pixels", "px", "voxel", "none", "null"}
_NAMES = {unicodedata.normalize("NFKC", symbol): name for name, symbol in SYMBOLS.items()}
_ALIASES = {"um": "micrometer", "micron": "micrometer", "microns": "micrometer"}


def unit_name(text: str | None) -> str | None:
    """Return a unit as OME-Zarr names it.

    Parameters
    ----------
    text : str, optional
        A unit as a file has it: a name, a symbol, or ImageJ's words.

    Returns
    -------
    str or None
        Such as ``"micrometer"``; None where pixels are not measured; an unknown unit as it is.
    """
    plain = unicodedata.normalize("NFKC", (text or "").replace("\\u00B5", "µ")).strip()
    word = plain.lower()
    if word in _NO_UNITS:
        return None
    if plain in _NAMES:
        return _NAMES[plain]
    word = _ALIASES.get(word, word)
    word = word.removesuffix("s").replace("metre", "meter")
    return word if word in SYMBOLS else plain


def ome_symbol(unit: str | None) -> str:
    """Return a unit as OME-TIFF writes it.

    Parameters
    ----------
    unit : str, optional
        A unit's name or symbol; None where pixels are not measured.

    Raises
    ------
    ValueError
        If OME-TIFF has no such unit.
    """
    name = unit_name(unit)
    if name is None:
        return NO_UNIT
    if name not in SYMBOLS:
        raise ValueError(
            f"units must be lengths, such as micrometer, or None, got {unit!r}; "
            "TIFF has no way to say it: leave the unit out"
        )
    return SYMBOLS[name]
