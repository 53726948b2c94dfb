"""Pictures of relevance: of images, tables, signals and volumes.

Red speaks for the explained output, blue against it, white is zero. `heatmap`, `overlay`, `strip`, `grid`, `links` and
`outlined` return Pillow images; the others return matplotlib's figures, for `figure.savefig`, and draw in axes of your
own where you pass them as `ax`. Needs the `viz` extra.
"""

from __future__ import annotations

from kerasexplain.foundation.errors import not_importable

try:
    from kerasexplain.visualize.curves import signals
    from kerasexplain.visualize.grids import grid
    from kerasexplain.visualize.images import as_images, heatmap, overlay, strip
    from kerasexplain.visualize.lines import links
    from kerasexplain.visualize.palette import RELEVANCE
    from kerasexplain.visualize.panels import figure
    from kerasexplain.visualize.populations import beeswarm, dependence, importance
    from kerasexplain.visualize.segmentation import outlined
    from kerasexplain.visualize.tables import bar, waterfall
    from kerasexplain.visualize.volumes import projection, slices
except ImportError as error:
    raise not_importable("images need matplotlib and Pillow", "viz", error) from error

__all__ = [
    "RELEVANCE",
    "as_images",
    "bar",
    "beeswarm",
    "dependence",
    "figure",
    "grid",
    "heatmap",
    "importance",
    "links",
    "outlined",
    "overlay",
    "projection",
    "signals",
    "slices",
    "strip",
    "waterfall",
]


def __dir__() -> list[str]:
    return [*__all__]
