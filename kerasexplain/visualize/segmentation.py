"""Regions: relevance over an image, and the outline of the region that is explained."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.colors import Colormap
from PIL import Image, ImageColor, ImageOps

from kerasexplain.foundation.arrays import real_array
from kerasexplain.visualize.images import as_images, overlay
from kerasexplain.visualize.palette import RELEVANCE


def outlined(
    images: Any,
    masks: Any,
    relevance: Any = None,
    *,
    colour: str = "#00d084",
    smallest: int = 256,
    grey: bool = True,
    cmap: str | Colormap = RELEVANCE,
    scale: float | None = None,
    percentile: float | None = None,
) -> list[Image.Image]:
    """Images with relevance over them, and a line around the region that is explained.

    Relevance outside of the line says what else the network looked at to segment it.

    Args:
        images: As for `overlay`.
        masks: `(samples, height, width)` or `(samples, height, width, 1)`: the region is where they are not zero.
        relevance: As for `overlay`; None draws the region alone.
        colour: Of the line; none that could be taken for relevance.
        smallest: Height in pixels below which images are enlarged, by an integer factor and without smoothing, so
            that the line lies between pixels.
        grey, cmap, scale, percentile: As for `overlay`.

    Raises:
        ValueError: As for `overlay`, or masks and images do not fit together.

    Example:
        >>> region = model.predict(images) > 0
        >>> visualize.outlined(images, region, analyzer.analyze(images, target=region))[0].save("region.png")
    """
    expected = "masks must be those of images, (samples, height, width)"
    regions = real_array(masks, "masks", expected, (3, 4)) != 0
    if regions.ndim == 4:
        if regions.shape[-1] != 1:
            raise ValueError(
                f"{expected}, one region each; got shape {regions.shape}: choose one, such as masks[..., 0]"
            )
        regions = regions[..., 0]
    if relevance is None:
        drawn = as_images(images)
        drawn = [ImageOps.grayscale(image).convert("RGB") for image in drawn] if grey else drawn
    else:
        drawn = overlay(images, relevance, grey=grey, cmap=cmap, scale=scale, percentile=percentile)
    if len(drawn) != len(regions) or drawn[0].size != regions.shape[:0:-1]:
        raise ValueError(
            f"{len(drawn)} images of (width, height) {drawn[0].size} do not fit {len(regions)} masks of "
            f"{regions.shape[:0:-1]}"
        )
    factor = max(1, -(-smallest // drawn[0].height))
    line = ImageColor.getrgb(colour)
    result = []
    for image, region in zip(drawn, regions, strict=True):
        pixels = np.array(ImageOps.scale(image, factor, Image.Resampling.NEAREST))
        pixels[_edge(region.repeat(factor, axis=0).repeat(factor, axis=1))] = line[:3]
        result.append(Image.fromarray(pixels))
    return result


def _edge(region: np.ndarray) -> np.ndarray:
    """The pixels on both sides of the border of a region; the border of the image is none."""
    edge = np.zeros_like(region)
    for axis in (0, 1):
        changes = np.diff(region, axis=axis)
        for side in ((1, 0), (0, 1)):
            widths = [(0, 0), (0, 0)]
            widths[axis] = side
            edge |= np.pad(changes, widths)
    return edge
