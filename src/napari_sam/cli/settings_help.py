"""The help of options that are settings: what stands in the settings themselves."""

from __future__ import annotations

import argparse
from dataclasses import fields


class SettingsParser(argparse.ArgumentParser):
    """Takes the help of options of `EverythingConfig` from its fields, once help is asked for.

    Until then nothing has to be imported for it.
    """

    def format_help(self) -> str:
        """Return the help, with what each setting does and its default."""
        from napari_sam.segmentation.everything_config import EverythingConfig

        settings = {spec.name: spec for spec in fields(EverythingConfig)}
        for action in self._actions:
            if action.help is None and action.dest in settings:
                spec = settings[action.dest]
                what: str = spec.metadata["tooltip"].replace("%", "%%")
                action.help = f"{what[0].lower()}{what[1:]} (default: {_shown(spec.default)})"
        return super().format_help()


def _shown(value: object) -> str:
    """Return a default as a person would write it."""
    if value is None:
        return "auto"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
