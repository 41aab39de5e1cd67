"""The shell's entry: ``napari-sam COMMAND``."""

from napari_sam.cli.main import main

__all__ = ["main"]
