"""A predictor that keeps what it embeds, so that other settings and clicks start at once.

It always answers with values that passed through float16, so that an answer is the same whether its
embedding was kept or made just now.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_sam.segmentation.embedding import ImageEmbedding, Picture
from napari_sam.segmentation.geometry import encoded_shapes, fitted_geometry
from napari_sam.segmentation.images import as_image, check_limits, whole_range
from napari_sam.volume.embedding_store import EMBEDDING_FORMAT, EmbeddingStore, KeptEmbedding

if TYPE_CHECKING:
    from napari_sam.segmentation.predictor import Predictor as _Delegating
else:  # it has all methods of a predictor by handing them on
    _Delegating = object

__all__ = [
    "EmbeddingStore",
    "KeepingPredictor",
    "KeptEmbedding",
    "embedding_bytes",
    "embedding_key",
]


class KeepingPredictor(_Delegating):
    """A predictor whose embeddings are kept; anything that takes a `Predictor` takes it.

    Parameters
    ----------
    predictor : Predictor
        Embeds what is not kept, and does all the rest.
    store : EmbeddingStore
        Where embeddings are kept. They are told apart by the pixels, what is black and white in
        them, the objects' diameter, and the model's weights; not by the device or the precision
        of the encoder, so that what a GPU embedded serves a laptop.
    contrast_limits : (float, float), optional
        Values that become black and white where `embed` is given none. With those of a volume job,
        a viewer finds what the job has embedded.
    object_diameter : float, optional
        The same for the typical diameter of an object, image pixels.
    """

    def __init__(
        self,
        predictor: _Delegating,
        store: EmbeddingStore,
        *,
        contrast_limits: tuple[float, float] | None = None,
        object_diameter: float | None = None,
    ) -> None:
        self._predictor = predictor
        self._store = store
        self._contrast_limits = contrast_limits
        self._object_diameter = object_diameter

    def __getattr__(self, name: str) -> Any:
        """Hand everything else on to the predictor."""
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")
        return getattr(self._predictor, name)

    def __repr__(self) -> str:
        """Name predictor and store."""
        return f"KeepingPredictor({self._predictor!r}, {self._store!r})"

    def loader(self, device: str | None = None) -> Callable[[], KeepingPredictor]:
        """Return what makes this predictor again, in another process and on another device."""
        return partial(
            _loaded,
            self._predictor.loader(device),
            self._store,
            self._contrast_limits,
            self._object_diameter,
        )

    @property
    def store(self) -> EmbeddingStore:
        """Where embeddings are kept."""
        return self._store

    def embed(
        self,
        image: ArrayLike,
        *,
        contrast_limits: tuple[float, float] | None = None,
        object_diameter: float | None = None,
    ) -> ImageEmbedding:
        """Return an image's embedding, kept or made now and kept; otherwise as `Predictor.embed`.

        Raises
        ------
        TypeError, ValueError
            If the array is no image, or the diameter is not positive.
        OSError
            If what was made cannot be written.
        """
        pixels, limits, diameter = self._resolved(image, contrast_limits, object_diameter)
        key = self._key(pixels, limits, diameter)
        kept = self._store.get(key)
        if kept is None:
            made = self._predictor.embed(pixels, contrast_limits=limits, object_diameter=diameter)
            kept = KeptEmbedding.of(made)
            self._store.put(key, kept)
        encoded = kept.encoded(self._predictor.device)
        picture = None if self._has_fixed_input else Picture.of(pixels, limits)
        return self._predictor.rebuild(encoded, kept.geometry, kept.object_diameter, picture)

    def is_kept(
        self,
        image: ArrayLike,
        *,
        contrast_limits: tuple[float, float] | None = None,
        object_diameter: float | None = None,
    ) -> bool:
        """Tell whether `embed` would find an image's embedding."""
        return self._key(*self._resolved(image, contrast_limits, object_diameter)) in self._store

    def estimate_diameter(
        self,
        image: ArrayLike,
        *,
        contrast_limits: tuple[float, float] | None = None,
    ) -> float | None:
        """Return the diameter that was given, or estimate it as `Predictor` does."""
        if self._object_diameter is not None and not self._has_fixed_input:
            return self._object_diameter
        limits = self._contrast_limits if contrast_limits is None else contrast_limits
        return self._predictor.estimate_diameter(image, contrast_limits=limits)

    @property
    def _has_fixed_input(self) -> bool:
        return self._predictor.model.config.has_fixed_input

    def _resolved(
        self,
        image: ArrayLike,
        contrast_limits: tuple[float, float] | None,
        object_diameter: float | None,
    ) -> tuple[NDArray[np.generic], tuple[float, float] | None, float | None]:
        """Return what is embedded: without alpha, and with what is black and white."""
        pixels = as_image(image)
        pixels = pixels[..., :3] if pixels.ndim == 3 else pixels
        limits = self._contrast_limits if contrast_limits is None else contrast_limits
        limits = whole_range(pixels) if limits is None else check_limits(limits)
        diameter = self._object_diameter if object_diameter is None else object_diameter
        return (
            pixels,
            limits,
            None if diameter is None else float(diameter),
        )

    def _key(
        self,
        image: NDArray[np.generic],
        contrast_limits: tuple[float, float] | None,
        object_diameter: float | None,
    ) -> str:
        diameter = None if self._has_fixed_input else object_diameter
        return embedding_key(image, contrast_limits, diameter, self._predictor.model_digest)


def _loaded(
    load: Callable[[], _Delegating],
    store: EmbeddingStore,
    contrast_limits: tuple[float, float] | None,
    object_diameter: float | None,
) -> KeepingPredictor:
    return KeepingPredictor(
        load(), store, contrast_limits=contrast_limits, object_diameter=object_diameter
    )


def embedding_key(
    image: NDArray[np.generic],
    contrast_limits: tuple[float, float] | None,
    object_diameter: float | None,
    model_digest: str,
) -> str:
    """Return what an embedding is kept under: a sha256, in hexadecimal, of all that decides it.

    Parameters
    ----------
    image : ndarray
        (H, W) or (H, W, 3), any real dtype; the order of bytes in memory does not matter.
    contrast_limits : (float, float) or None
        Values that become black and white; None shows pixels as they are.
    object_diameter : float or None
        As given, image pixels; None where it was estimated or does not matter.
    model_digest : str
        See `Predictor.model_digest`.
    """
    plain = np.ascontiguousarray(image, image.dtype.newbyteorder("<"))
    about = {
        "format": EMBEDDING_FORMAT,
        "model": model_digest,
        "shape": plain.shape,
        "dtype": plain.dtype.str,
        "contrast_limits": contrast_limits,
        "object_diameter": object_diameter,
    }
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    digest.update(plain.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def embedding_bytes(
    predictor: _Delegating, shape: tuple[int, int], object_diameter: float | None = None
) -> int:
    """Tell how much an image's embedding takes at most in a store, but for some kB about it.

    Nothing is embedded. A slice that is segmented in tiles has an embedding for each tile.

    Parameters
    ----------
    predictor : Predictor
        The model.
    shape : (int, int)
        Height and width of the image or tile, pixels.
    object_diameter : float, optional
        Typical diameter of an object in image pixels; by default what the network sees best.

    Returns
    -------
    int
        Bytes, before compression, which takes a tenth or two off.
    """
    config = predictor.model.config
    geometry = fitted_geometry(config, shape, object_diameter)
    values = sum(map(math.prod, encoded_shapes(config, geometry)))
    return values * np.dtype(np.float16).itemsize
