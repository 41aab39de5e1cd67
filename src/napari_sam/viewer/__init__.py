"""napari layers and state, without Qt."""
