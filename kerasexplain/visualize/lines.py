"""Lines between the parts of two images that belong together."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageOps

from kerasexplain.visualize.images import as_images, strip
from kerasexplain.visualize.palette import sign_colour


def links(
    images: Any, others: Any, left: np.ndarray, right: np.ndarray, relevance: np.ndarray, *, smallest: int = 192
) -> Image.Image:
    """Pairs of images side by side, with lines between points that belong together: the stronger, the more opaque.

    Args:
        images: The left ones, as for `overlay`.
        others: The right ones, as many.
        left: Row and column of the left end of each line, in pixels of the image, `(samples, k, 2)`.
        right: Those of the right end.
        relevance: Of each line, `(samples, k)`: red speaks for, blue against.
        smallest: Height in pixels below which images are enlarged, by an integer factor.

    Raises:
        ValueError: As for `overlay`, or the numbers of images and lines differ.
    """
    ones, twos = as_images(images), as_images(others)
    if not len(ones) == len(twos) == len(left) == len(right) == len(relevance):
        raise ValueError(f"there are {len(ones)} and {len(twos)} images, but lines for {len(relevance)} pairs of them")
    rows = []
    for one, two, begins, ends, strengths in zip(ones, twos, left, right, relevance, strict=True):
        beside = strip([ImageOps.grayscale(image).convert("RGB") for image in (one, two)], smallest=smallest)
        factor = beside.height // max(one.height, two.height)
        shift = beside.width - two.width * factor
        drawing = Image.new("RGBA", beside.size)
        draw = ImageDraw.Draw(drawing)
        limit = np.abs(strengths).max() or 1.0
        for i in np.argsort(np.abs(strengths), kind="stable"):  # the strongest on top
            (y, x), (v, u) = begins[i] * factor, ends[i] * factor
            red, green, blue, *_ = ImageColor.getrgb(sign_colour(strengths[i]))
            opacity = int(255 * abs(strengths[i]) / limit)
            draw.line([(x, y), (u + shift, v)], fill=(red, green, blue, opacity), width=2)
        rows.append(Image.alpha_composite(beside.convert("RGBA"), drawing).convert("RGB"))
    below = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)), "white")
    for i, row in enumerate(rows):
        below.paste(row, (0, sum(above.height for above in rows[:i])))
    return below
