"""Files for TensorBoard's tab "Projector": vectors, what is known of each, and a small image for each.

No checkpoint and no TensorFlow is needed. Needs the `tensorboard` extra.
"""

from __future__ import annotations

import math
import pathlib
import re
from collections.abc import Mapping, Sequence

import numpy as np

from kerasexplain.foundation.errors import not_importable

try:
    from google.protobuf import text_format
    from PIL import Image
    from tensorboard.plugins.projector.metadata import PROJECTOR_FILENAME
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig
except ImportError as error:
    raise not_importable("this needs TensorBoard", "tensorboard", error) from error

#: Height and width of a large image in pixels beyond which browsers do not draw it.
LARGEST = 8192


def write(
    folder: pathlib.Path,
    name: str,
    vectors: np.ndarray,
    columns: Mapping[str, Sequence[object]],
    images: Sequence[Image.Image],
) -> pathlib.Path:
    """Writes vectors to a folder; others that are there already, under other names, stay.

    Args:
        folder: The log folder; it is made if there is none.
        name: What the projector calls them.
        vectors: `(n, features)`.
        columns: What is known of each, by the heading of its column.
        images: One of one size for each.

    Returns:
        The file that the projector looks for.

    Raises:
        OSError: Nothing can be written there.
        ValueError: A file of that name is there, and is no projector's; or there are too many images.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"[^\w.-]+", "_", name)
    tensor, metadata, sprite = (f"{stem}_{kind}" for kind in ("vectors.tsv", "metadata.tsv", "sprite.png"))
    np.savetxt(folder / tensor, vectors, fmt="%.6g", delimiter="\t")
    with (folder / metadata).open("w", encoding="utf-8", newline="\n") as file:
        for row in [tuple(columns), *zip(*columns.values(), strict=True)]:
            file.write("\t".join(" ".join(str(cell).split()) for cell in row) + "\n")
    sheet(images).save(folder / sprite)

    path = folder / PROJECTOR_FILENAME
    config = ProjectorConfig()
    if path.exists():
        try:
            text_format.Parse(path.read_text(encoding="utf-8"), config)
        except text_format.ParseError as error:
            raise ValueError(f"{str(path)!r} is no configuration of a projector: {error}") from error
    kept = [embedding for embedding in config.embeddings if embedding.tensor_name != name]
    del config.embeddings[:]
    config.embeddings.extend(kept)
    config.embeddings.add(tensor_name=name, tensor_path=tensor, metadata_path=metadata)
    config.embeddings[-1].sprite.image_path = sprite
    config.embeddings[-1].sprite.single_image_dim.extend(images[0].size)
    path.write_text(text_format.MessageToString(config), encoding="utf-8")
    return path


def sheet(images: Sequence[Image.Image]) -> Image.Image:
    """Images of one size as one, row by row, as many in a row as there are rows.

    Raises:
        ValueError: It is too large for browsers.
    """
    side = math.ceil(math.sqrt(len(images)))
    width, height = images[0].size
    if side * max(width, height) > LARGEST:
        raise ValueError(
            f"{len(images)} images of {width} x {height} pixels make a sheet of more than {LARGEST}, which browsers do "
            f"not draw: pass side= of at most {LARGEST // side}"
        )
    result = Image.new("RGB", (side * width, side * height), "white")
    for i, image in enumerate(images):
        result.paste(image, (i % side * width, i // side * height))
    return result
