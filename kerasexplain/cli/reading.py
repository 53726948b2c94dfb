"""The reading of files: images or arrays become the samples that a model takes."""

from __future__ import annotations

import itertools
import math
import pathlib
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import rich.console
import rich.progress

from kerasexplain.foundation.arrays import is_signal
from kerasexplain.foundation.errors import not_importable
from kerasexplain.foundation.untrusted import read_arrays

if TYPE_CHECKING:
    import keras
    from PIL.Image import Image

#: Of a folder: by their names; a file that is named itself is read whatever its name is.
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
ARRAYS = (".npy", ".npz")
#: The formats that are read, whatever the file's name says: Pillow knows some that run other programs.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
#: No image has more pixels: each takes up to four bytes, several times.
MOST_PIXELS = 2**26
#: Pillow's name for the colours of an image, by the number of channels.
MODES = {1: "L", 3: "RGB", 4: "RGBA"}

Shape = tuple[int | None, ...]


def takes_images(shape: Shape) -> bool:
    """Whether samples of a shape are images, which files of images can be read as."""
    is_grey = len(shape) == 2 and not (None not in shape and is_signal((1, *shape)))  # type: ignore[arg-type]
    return is_grey or (len(shape) == 3 and shape[2] in MODES)


def samples(
    paths: Sequence[pathlib.Path], model: keras.Model, pixels: Sequence[float] | None = None
) -> tuple[Any, list[str]]:
    """The samples of all files as the model takes them, and a name for each.

    Args:
        paths: Images, which are cut and resized to the model's input; folders of images; npy and npz files, whose
            arrays are one sample or a batch of them (what does not fit is left out). For a model with several
            inputs, one npz file of arrays with their names.
        model: The model that takes the samples.
        pixels: What it takes pixels as, `(low, high)`; None leaves them from 0 to 255. Pixels are images and
            arrays of integers; other arrays are used as they are.

    Raises:
        FileNotFoundError: A file or folder does not exist.
        ValueError: A file cannot be read, or its content does not fit the model.
    """
    if len(model.inputs) > 1:
        return _several_inputs(paths, [tensor.name for tensor in model.inputs])
    shape = tuple(model.inputs[0].shape[1:])
    batches: list[np.ndarray] = []
    names: list[str] = []
    for path in _progress(_files(paths)):
        is_arrays = path.suffix.lower() in ARRAYS
        for name, batch in (_batches(path, shape) if is_arrays else {path.stem: _image(path, shape)[None]}).items():
            batches.append(_scaled(batch, pixels, path))
            names.extend([name] if len(batch) == 1 else [f"{name}-{i}" for i in range(len(batch))])
    sizes = sorted({batch.shape[1:] for batch in batches})
    if len(sizes) > 1:
        raise ValueError(f"the inputs have different shapes, {sizes}: explain them one by one")
    return np.concatenate(batches), _unique(names)


def stream(
    paths: Sequence[pathlib.Path], model: keras.Model, pixels: Sequence[float] | None, size: int
) -> tuple[Any, list[str]]:
    """The same as a stream that reads files when they are needed, in batches of a size, and the path of each sample.

    Raises:
        FileNotFoundError, ValueError: As `samples`; of images when they are read.
    """
    if len(model.inputs) > 1:
        return samples(paths, model, pixels)
    shape = tuple(model.inputs[0].shape[1:])
    files = _files(paths)
    keys: list[str] = []
    for path in files:
        if path.suffix.lower() in ARRAYS:
            counts = {name: len(batch) for name, batch in _batches(path, shape).items()}
            keys.extend(f"{path}:{name}:{i}" for name, count in counts.items() for i in range(count))
        else:
            keys.append(str(path))

    def rows() -> Iterator[np.ndarray]:
        for path in files:
            is_arrays = path.suffix.lower() in ARRAYS
            for batch in _batches(path, shape).values() if is_arrays else [_image(path, shape)[None]]:
                yield from _scaled(batch, pixels, path)

    def batches() -> Iterator[np.ndarray]:
        coming = rows()
        while part := list(itertools.islice(coming, size)):
            shapes = sorted({row.shape for row in part})
            if len(shapes) > 1:
                raise ValueError(f"the inputs have different shapes, {shapes}: a store holds those of one")
            yield np.stack(part)

    return batches(), keys


def _several_inputs(paths: Sequence[pathlib.Path], names: list[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    if len(paths) > 1 or paths[0].suffix.lower() != ".npz":
        raise ValueError(f"the model has {len(names)} inputs: pass one .npz file that holds the arrays {names}")
    arrays = _loaded(_files(paths)[0])
    missing = [name for name in names if name not in arrays]
    if missing:
        raise ValueError(f"{str(paths[0])!r} holds {list(arrays)}, and not the model's inputs {missing}")
    single = [name for name in names if not arrays[name].ndim]
    if single:
        raise ValueError(f"{str(paths[0])!r} holds single numbers for {single}, and no batches of samples")
    return {name: arrays[name] for name in names}, [f"{paths[0].stem}-{i}" for i in range(len(arrays[names[0]]))]


def _files(paths: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    files: list[pathlib.Path] = []
    for path in paths:
        if path.is_dir():
            files.extend(_images_in(path))
        elif path.exists():
            files.append(path)
        else:
            raise FileNotFoundError(f"there is no file {str(path)!r}")
    return files


def _images_in(folder: pathlib.Path) -> list[pathlib.Path]:
    """The images of a folder; hidden files, such as those that systems put beside each image, are none."""
    visible = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    images = [file for file in visible if file.suffix.lower() in IMAGES and not file.is_dir()]
    if not images:
        raise ValueError(f"the folder {str(folder)!r} holds no image ({', '.join(IMAGES)})")
    others = [repr(file.name) for file in visible if file not in images]
    if others:
        shown = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        warnings.warn(f"skipped in the folder {str(folder)!r}, as no images: {shown} ({len(others)})", stacklevel=2)
    return images


def _progress(files: Sequence[pathlib.Path]) -> Iterator[pathlib.Path]:
    console = rich.console.Console(stderr=True)
    is_seen = console.is_terminal and len(files) > 1  # elsewhere it would leave an empty line
    yield from rich.progress.track(files, "reading", console=console, transient=True, disable=not is_seen)


def _loaded(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        loaded = read_arrays(path)
        return loaded if isinstance(loaded, dict) else {path.stem: loaded}
    except Exception as error:  # whatever zipfile or zlib find wrong with the file
        raise ValueError(f"{str(path)!r} holds no arrays that can be read: {error}") from None


def _batches(path: pathlib.Path, shape: Shape) -> dict[str, np.ndarray]:
    """The arrays of a file that fit the model's input, as batches."""
    arrays = _loaded(path)
    fitting = {name: batch for name, array in arrays.items() if (batch := _as_batch(array, shape)) is not None}
    if not fitting:
        held = [f"{name} {array.shape}" for name, array in arrays.items()]
        shown = ", ".join(held[:5]) + (", ..." if len(held) > 5 else "")
        raise ValueError(f"nothing in {str(path)!r} ({shown}) fits the model's input of shape {_shown(shape)}")
    return fitting


def _as_batch(array: np.ndarray, shape: Shape) -> np.ndarray | None:
    """An array as `(batch, *shape)`, if it is one sample or several; grey images may lack their last axis."""
    grey = [array[..., None]] if shape[-1:] == (1,) else []
    for candidate in (array, *grey):
        for batch in (candidate, candidate[None]):
            expected = (None, *shape)
            if batch.ndim == len(expected) and all(
                known in (None, size) for known, size in zip(expected, batch.shape, strict=True)
            ):
                return batch
    return None


def _image(path: pathlib.Path, shape: Shape) -> np.ndarray:
    """An image cut and resized to the model's input, in its colours, as uint8."""
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise not_importable("reading images needs Pillow", "viz", error) from error

    channels = shape[2] if len(shape) == 3 else 1
    if len(shape) not in (2, 3) or channels not in MODES:
        raise ValueError(f"the model's input has shape {_shown(shape)}, which is no image's: pass a .npy file")
    try:
        with Image.open(path, formats=FORMATS) as file:
            if math.prod(file.size) > MOST_PIXELS:
                raise ValueError(f"it declares {file.size[0]} x {file.size[1]} pixels, and {MOST_PIXELS} are the most")
            image = _in_8_bits(ImageOps.exif_transpose(file))
            image = (image if MODES[channels] == "RGBA" else _on_white(image)).convert(MODES[channels])
    except Exception as error:  # whatever Pillow's many readers find wrong with the file
        raise ValueError(f"{str(path)!r} holds no image that can be read: {error}") from None
    fitted = np.asarray(ImageOps.fit(image, (shape[1] or image.width, shape[0] or image.height)))
    return fitted.reshape(*fitted.shape[:2], *shape[2:])


def _on_white(image: Image) -> Image:
    """An image on a white ground where it is transparent: the colours that a file has there are seen by nobody."""
    from PIL import Image

    if not (image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info):
        return image
    whole = image.convert("RGBA")
    if whole.getchannel("A").getextrema()[0] == 255:
        return image
    warnings.warn("images that are transparent in parts are shown to the model on white", stacklevel=2)
    return Image.alpha_composite(Image.new("RGBA", whole.size, "white"), whole)


def _in_8_bits(image: Image) -> Image:
    """An image of 16 bits in 8: Pillow's own conversion cuts off what is above 255.

    Raises:
        ValueError: Its numbers are none of 16 bits.
    """
    if image.mode[0] not in "IF":
        return image
    from PIL import Image

    pixels = np.asarray(image)
    if pixels.dtype.kind == "f" or pixels.min() < 0 or pixels.max() > 65535:
        raise ValueError(f"its pixels are {pixels.dtype} from {pixels.min():g} to {pixels.max():g}: pass a .npy file")
    return Image.fromarray(np.round(pixels / 257).astype("uint8"))


def _scaled(batch: np.ndarray, pixels: Sequence[float] | None, path: pathlib.Path) -> np.ndarray:
    """Pixels in the range that the model takes them in; real numbers as they are."""
    if pixels is None or batch.dtype.kind not in "iu" or not batch.size:
        return batch
    if batch.min() < 0 or batch.max() > 255:
        raise ValueError(
            f"{str(path)!r} holds integers from {batch.min()} to {batch.max()}, and pixels are from 0 to 255: pass "
            "real numbers, which are used as they are"
        )
    low, high = pixels
    return (low + (high - low) / 255 * batch).astype(np.float32)


def _unique(names: Sequence[str]) -> list[str]:
    """Names that can be those of files, with a number behind those that are there already."""
    result: list[str] = []
    taken: set[str] = set()
    for name in (name.replace("/", "_") for name in names):
        candidates = (f"{name}-{number}" if number > 1 else name for number in itertools.count(1))
        result.append(next(candidate for candidate in candidates if candidate not in taken))
        taken.add(result[-1])
    return result


def _shown(shape: Shape) -> str:
    return str(("batch", *shape)).replace("'", "")
