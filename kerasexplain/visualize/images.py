"""Heatmaps, overlays on the input, and images side by side; all are Pillow images.

The range is symmetric, so that equal strength looks equally strong on both sides. Images have shape
`(samples, height, width[, channels])`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import Colormap
from PIL import Image, ImageOps

from kerasexplain.foundation.arrays import channels_last, real_array
from kerasexplain.visualize.palette import RELEVANCE, limits, mappable


def heatmap(
    relevance: Any, *, cmap: str | Colormap = RELEVANCE, scale: float | None = None, percentile: float | None = None
) -> list[Image.Image]:
    """One heatmap per sample, a pixel per value; channels are summed.

    Args:
        relevance: `(samples, height, width)` or `(samples, height, width, channels)`; of square images channels may
            come first. It is not changed.
        cmap: A matplotlib colour map, or its name. Zero is at its middle: exactly white in the default map.
        scale: The |relevance| that gets the full colour; None finds one for every sample.
        percentile: Which percentile of a sample's |relevance| gets the full colour, where `scale` is None. 100 is
            the largest; 99.5 keeps a few strong pixels of a photograph from bleaching the others. None is 99.5 for maps
            of 10,000 pixels and more, and 100 for smaller ones.

    Raises:
        ValueError: The relevance is not that of images, or is not finite; or an option has no legal value.

    Example:
        >>> heatmap(analyzer.analyze(images))[0].save("relevance.png")
    """
    maps = _maps(relevance)
    return [_coloured(m, limit, cmap) for m, limit in zip(maps, limits(maps, scale, percentile), strict=True)]


def overlay(
    images: Any,
    relevance: Any,
    *,
    grey: bool = True,
    cmap: str | Colormap = RELEVANCE,
    scale: float | None = None,
    percentile: float | None = None,
) -> list[Image.Image]:
    """Relevance over the images it belongs to: the stronger it is, the less of the image shows through.

    Args:
        images: `(samples, height, width[, channels])` with 1, 3 or 4 channels, which may come first: bytes are pixels,
            other numbers are taken as they are where all of an image are in 0..1, and stretched to that otherwise.
        relevance: As for `heatmap`, of the same height and width.
        grey: Whether the image loses its own colours, which could be taken for relevance.
        cmap, scale, percentile: As for `heatmap`.

    Raises:
        ValueError: As for `heatmap`, or images and relevance do not fit together.
    """
    drawn = as_images(images)
    maps = _maps(relevance)
    if drawn[0].size != maps.shape[:0:-1]:
        maps = _maps(channels_last(relevance))
    if len(drawn) != len(maps) or drawn[0].size != maps.shape[:0:-1]:
        raise ValueError(
            f"{len(drawn)} images of (width, height) {drawn[0].size} do not fit {len(maps)} maps of {maps.shape[:0:-1]}"
        )
    result = []
    for image, m, limit in zip(drawn, maps, limits(maps, scale, percentile), strict=True):
        below = ImageOps.grayscale(image).convert("RGB") if grey else image
        opacity = np.minimum(np.abs(m) / limit, 1.0)
        mask = Image.fromarray(np.round(255 * opacity).astype(np.uint8))
        result.append(Image.composite(_coloured(m, limit, cmap), below, mask))
    return result


def strip(images: Sequence[Image.Image], *, smallest: int = 96, gap: int = 4) -> Image.Image:
    """Images side by side on white.

    Args:
        images: At least one image.
        smallest: Height in pixels below which images are enlarged, by an integer factor and without smoothing.
        gap: Pixels between them.

    Raises:
        ValueError: There is no image, or they are arrays.
    """
    if not all(isinstance(image, Image.Image) for image in images):
        raise ValueError(
            "strip takes Pillow images: make them of relevance by visualize.heatmap, of pixels by visualize.as_images"
        )
    if not len(images):
        raise ValueError("there is no image to put into the strip")
    factor = max(1, -(-smallest // max(image.height for image in images)))
    enlarged = [ImageOps.scale(image, factor, Image.Resampling.NEAREST) for image in images]
    width = sum(image.width for image in enlarged) + gap * (len(enlarged) - 1)
    result = Image.new("RGB", (width, max(image.height for image in enlarged)), "white")
    left = 0
    for image in enlarged:
        result.paste(image, (left, 0))
        left += image.width + gap
    return result


def _maps(relevance: Any) -> np.ndarray:
    """Relevance as `(samples, height, width)` in float64, summed over channels."""
    maps = _numbers(relevance, "relevance").astype(np.float64)
    # Of an inner layer with channels last, a map as low as 3 or 4 rows is about as wide: its channels are not.
    is_first = maps.ndim == 4 and maps.shape[1] in (1, 3, 4) and maps.shape[1] < maps.shape[2] == maps.shape[3]
    return maps.sum(axis=1 if is_first else -1) if maps.ndim == 4 else maps


def _numbers(values: Any, what: str) -> np.ndarray:
    expected = f"{what} must be that of images, (samples, height, width) or (samples, height, width, channels)"
    array = real_array(values, what, expected, (3, 4))
    if array.ndim == 3 and array.shape[2] <= 4 and array.shape[1] > 8 * array.shape[2]:
        hint = "it looks like one image without its first axis, the samples, or like signals of one dimension"
        raise ValueError(f"{expected}; got shape {array.shape}: {hint}")
    return array


def _coloured(m: np.ndarray, limit: float, cmap: str | Colormap) -> Image.Image:
    colours = mappable(limit, cmap).to_rgba(m, bytes=True)
    return Image.fromarray(np.ascontiguousarray(colours[..., :3]))


def as_images(images: Any) -> list[Image.Image]:
    """Arrays as images that can be looked at."""
    if isinstance(images, Sequence) and all(isinstance(image, Image.Image) for image in images):
        images = [np.asarray(image.convert("RGB")) for image in images]
    pixels = channels_last(_numbers(images, "images"))
    if pixels.ndim == 4:
        if pixels.shape[-1] not in (1, 3, 4):
            raise ValueError(f"images have 1, 3 or 4 channels, got shape {pixels.shape}")
        pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    if pixels.dtype != np.uint8:
        pixels = np.stack([_bytes(image.astype(np.float64)) for image in pixels])
    return [Image.fromarray(image).convert("RGB") for image in pixels]


def _bytes(image: np.ndarray) -> np.ndarray:
    """The numbers of an image as bytes: as they are where all are in 0..1, and stretched to that otherwise."""
    low, high = image.min(), image.max()
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    else:
        usual = np.percentile(image, (0.5, 99.5))
        if high - low > 4 * (usual[1] - usual[0]) > 0:  # a few pixels far from all others would take all the range
            low, high = usual
    return np.round(255 * np.clip((image - low) / ((high - low) or 1.0), 0, 1)).astype(np.uint8)
