# %% [markdown]
# # Explanations by HTTP
#
# A server that answers with relevance. It needs what `analyzer.export(folder)` or `kerasexplain export` wrote, and
# TensorFlow: neither kerasexplain nor Keras.
#
#     pip install tensorflow fastapi uvicorn pillow
#     kerasexplain export model.keras -a lrp.epsilon_plus -o served
#     python examples/serving.py served
#     curl --data-binary @cat.jpg -H "Content-Type: image/jpeg" "localhost:8000/explain.png?target=3" -o relevance.png
#     curl --json '{"inputs": {"image": [...]}, "target": [3]}' localhost:8000/explain

# %%
import argparse
import io
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Annotated, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import fastapi
import numpy as np
import tensorflow as tf
import uvicorn
from fastapi import Body, HTTPException, Response
from PIL import Image
from pydantic import BaseModel

#: Requests with more samples or pixels are refused: memory is bounded.
MOST_SAMPLES, MOST_PIXELS = 64, 16_000_000


# %% [markdown]
# The functions of an export take tensors by name. `explainer.json` has the names, shapes and dtypes; a target of -1 is
# each sample's largest output. There are no numbers where there is nothing to explain, such as for a class that the
# model does not have, and the answer is an error then.


# %%
class Explainer:
    """An export, to be called with arrays.

    Args:
        folder: What `analyzer.export` wrote.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.record = json.loads((folder / "explainer.json").read_text(encoding="utf-8"))
        self.inputs: list[dict[str, Any]] = self.record["inputs"]
        self._loaded = tf.saved_model.load(os.fspath(folder))  # held, for it holds the variables
        self._functions = self._loaded.signatures

    def __call__(self, name: str, given: dict[str, Any], target: Sequence[int] | None = None) -> dict[str, np.ndarray]:
        """The results of a function, by name.

        Raises:
            ValueError: What is given does not fit the model, or there is nothing to explain.
        """
        tensors = {each["argument"]: tensor_of(given, each) for each in self.inputs}
        counts = {len(tensor) for tensor in tensors.values()}
        if len(counts) > 1 or not 0 < max(counts) <= MOST_SAMPLES:
            raise ValueError(f"from 1 to {MOST_SAMPLES} samples, as many of each input; got {sorted(counts)}")
        if name == "explain":
            chosen = [-1] * max(counts) if target is None else list(target)
            if len(chosen) != max(counts):
                raise ValueError(f"target has an index for each of the {max(counts)} samples, got {len(chosen)}")
            tensors["target"] = tf.constant(chosen, tf.int64)
        try:
            found = self._functions[name](**tensors)
        except tf.errors.InvalidArgumentError as error:  # such as an id that no embedding has
            raise ValueError("the input is none that the model takes") from error
        arrays = {key: tensor.numpy() for key, tensor in found.items()}
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise ValueError("there is no explanation: the target is none of the outputs, or the input is out of range")
        return arrays


def tensor_of(given: dict[str, Any], entry: dict[str, Any]) -> tf.Tensor:
    """The tensor of one input.

    Raises:
        ValueError: It is missing, or of another shape.
    """
    name, shape = entry["argument"], entry["shape"]
    if name not in given:
        raise ValueError(f"the input {name!r} is missing")
    try:
        array = np.asarray(given[name], entry["dtype"])
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"the input {name!r} is no array of {entry['dtype']}") from error
    fits = array.ndim == len(shape) and all(
        known in (None, size) for known, size in zip(shape, array.shape, strict=True)
    )
    if not fits:
        expected = json.dumps(shape)
        raise ValueError(
            f"the input {name!r} has the shape {expected}, where null is any size; got {list(array.shape)}"
        )
    return tf.constant(array)


# %% [markdown]
# Pictures: the image is brought to the model's size, and relevance is red where it speaks for the output and blue where
# it speaks against it, white where it is zero.


# %%
def pixels_of(data: bytes, shape: Sequence[int | None], low: float, high: float) -> np.ndarray:
    """An image as a batch of one, `(1, height, width, channels)`, its pixels from low to high.

    Raises:
        ValueError: The model takes no images, or the bytes are none.
    """
    if len(shape) != 4 or shape[3] not in (1, 3):
        raise ValueError(f"the model takes no images, but arrays of the shape {list(shape)}")
    try:
        image = Image.open(io.BytesIO(data))
        if image.width * image.height > MOST_PIXELS:
            raise ValueError(f"an image has at most {MOST_PIXELS} pixels")
        image = image.convert("RGB" if shape[3] == 3 else "L")
    except (OSError, Image.DecompressionBombError) as error:
        raise ValueError("the bytes are no image") from error
    image = image.resize((shape[2] or image.width, shape[1] or image.height))
    array = low + (high - low) / 255 * np.asarray(image, "float64")
    return array.reshape(1, image.height, image.width, shape[3])


def picture(relevance: np.ndarray) -> Image.Image:
    """Relevance `(height, width, channels)` as an image, the largest |value| in full colour."""
    summed = relevance.sum(axis=-1, dtype="float64")
    share = summed / max(float(np.abs(summed).max()), np.finfo("float64").tiny)
    fading = 1 - np.abs(share)
    colours = np.stack([np.where(share < 0, fading, 1), fading, np.where(share > 0, fading, 1)], axis=-1)
    return Image.fromarray(np.round(255 * colours).astype("uint8"))


# %% [markdown]
# The server. Its functions are no coroutines, so that FastAPI runs each request in a thread of its own; TensorFlow
# computes outside of Python's lock.


# %%
class Asked(BaseModel):
    """A request: the inputs by name, batch first, and an index for each sample; by default its largest output."""

    inputs: dict[str, list[Any]]
    target: list[int] | None = None


def application(folder: pathlib.Path, low: float = 0.0, high: float = 1.0) -> fastapi.FastAPI:
    """The server of an export.

    Args:
        folder: What `analyzer.export` wrote.
        low, high: What the model takes for black and white.
    """
    explainer, app = Explainer(folder), fastapi.FastAPI(title="explanations")

    def answer(name: str, given: dict[str, Any], target: list[int] | None = None) -> dict[str, np.ndarray]:
        try:
            return explainer(name, given, target)
        except ValueError as error:
            raise HTTPException(422, str(error)) from error

    @app.get("/")
    def record() -> dict[str, Any]:
        """What is served: analyzer, model, versions, and the names of inputs and outputs."""
        return explainer.record

    @app.post("/predict")
    def predict(asked: Asked) -> dict[str, Any]:
        """The model's outputs."""
        return {name: array.tolist() for name, array in answer("predict", asked.inputs).items()}

    @app.post("/explain")
    def explain(asked: Asked) -> dict[str, Any]:
        """The outputs, and the relevance of every input."""
        return {name: array.tolist() for name, array in answer("explain", asked.inputs, asked.target).items()}

    @app.post("/explain.png")
    def explain_image(image: Annotated[bytes, Body(media_type="image/*")], target: int = -1) -> Response:
        """The relevance of an image, as a picture."""
        (entry, *others) = explainer.inputs
        try:
            if others:
                raise ValueError("the model has several inputs: ask /explain")
            x = pixels_of(image, entry["shape"], low, high)
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        found = answer("explain", {entry["argument"]: x}, [target])
        file = io.BytesIO()
        picture(found["relevance"][0]).save(file, "png")
        told = {"X-Explained": f"{found['explained'][0]:.6g}", "X-Neuron": str(int(found["neuron"][0]))}
        return Response(file.getvalue(), media_type="image/png", headers=told)

    return app


# %%
if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="answers with explanations by HTTP")
    parser.add_argument("folder", type=pathlib.Path, help="what analyzer.export or `kerasexplain export` wrote")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--host", default="127.0.0.1", help="whom it answers; by default this machine alone")
    parser.add_argument("--range", type=float, nargs=2, default=(0.0, 1.0), metavar=("LOW", "HIGH"), help="of pixels")
    options = parser.parse_args()
    uvicorn.run(application(options.folder, *options.range), host=options.host, port=options.port, log_level="warning")
