"""Pictures of relevance: of images, and grids of them.

Red speaks for the explained output, blue against it, white is zero. Images are Pillow images. Needs the `viz` extra.
"""

from __future__ import annotations

from kerasexplain.foundation.errors import not_importable

try:
    from kerasexplain.visualize.grids import grid
    from kerasexplain.visualize.images import as_images, heatmap, overlay, strip
    from kerasexplain.visualize.lines import links
    from kerasexplain.visualize.palette import RELEVANCE
except ImportError as error:
    raise not_importable("images need matplotlib and Pillow", "viz", error) from error

__all__ = ["RELEVANCE", "as_images", "grid", "heatmap", "links", "overlay", "strip"]
