"""The tab "Relevance" in TensorBoard: what answers the browser.

Every answer is JSON or numbers in binary; every error is JSON with a message that the tab shows. TensorBoard loads this
module at its start, so it imports neither Keras nor TensorFlow.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
import math
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import werkzeug
from tensorboard import errors, plugin_util
from tensorboard.backend import http_util, json_util
from tensorboard.plugins import base_plugin
from tensorboard.util import tb_logging

from kerasexplain.tensorboard import records
from kerasexplain.tensorboard.series import NotThereError, Reader, RequestError, Steps

#: No request gets more samples, or more bytes.
MOST_SAMPLES = 256
MOST_BYTES = 64 * 2**20
#: No history has more steps: it is evenly thinned out.
MOST_HISTORY = 1000

_TYPES = {".js": "text/javascript", ".css": "text/css"}

logger = tb_logging.get_logger()


class RelevancePlugin(base_plugin.TBPlugin):
    """The tab. TensorBoard makes one, by way of the entry point `tensorboard_plugins`.

    Args:
        context: TensorBoard's.
    """

    plugin_name = records.PLUGIN

    def __init__(self, context: base_plugin.TBContext) -> None:
        self._reader = Reader(context.data_provider)

    def is_active(self) -> bool:
        """Whether the tab is shown though there are no data: TensorBoard itself looks whether there are any."""
        return False

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        """The name of the tab, and where its code begins."""
        return base_plugin.FrontendMetadata(es_module_path="/index.js", tab_name="Relevance")

    def get_plugin_apps(self) -> dict[str, Callable[..., Any]]:
        """By route, what answers it."""
        answers = {"/runs": self._runs, "/steps": self._steps, "/about": self._about, "/history": self._history}
        apps = {route: _app(answer) for route, answer in (answers | {"/frame": self._frame}).items()}
        for file in importlib.resources.files("kerasexplain.tensorboard").joinpath("static").iterdir():
            suffix = file.name[file.name.rfind(".") :]
            if suffix in _TYPES:
                apps[f"/{file.name}"] = _app(functools.partial(_static, file.read_bytes(), _TYPES[suffix]))
        return apps

    def _runs(self, asked: Asked) -> Any:
        listed = self._reader.runs(asked.context, asked.experiment)
        return {
            run: {tag: {"step": series.max_step, "time": series.max_wall_time} for tag, series in sorted(tags.items())}
            for run, tags in sorted(listed.items())
        }

    def _steps(self, asked: Asked) -> Any:
        steps = self._of(asked)
        last = self._reader.header(asked.context, steps.data[-1])
        return {
            "steps": [datum.step for datum in steps.data],
            "times": [datum.wall_time for datum in steps.data],
            "written": max(last.event + 1, len(steps.data)),
        }

    def _about(self, asked: Asked) -> Any:
        header = self._reader.header(asked.context, self._of(asked).at(asked.number("step")))
        return {
            "sections": [
                {"name": s.name, "kind": s.kind, "role": s.role, "count": s.count, "shape": s.shape}
                for s in header.sections
            ],
            "analyzer": header.analyzer,
            "samples": header.samples,
            "operations": header.operations,
            "class_names": header.class_names,
            "titles": header.titles,
            "features": header.features,
            "target": header.target,
        }

    def _history(self, asked: Asked) -> Any:
        data = _thinned(self._of(asked).data, MOST_HISTORY)
        sample = asked.number("sample")
        headers = self._reader.headers(asked.context, data)
        names = ("neuron", "explained", "prediction", "target")
        told = {name: [_at(getattr(header, name), sample) for header in headers] for name in names}
        return {"steps": [datum.step for datum in data], **told}

    def _frame(self, asked: Asked) -> Any:
        samples = asked.numbers("samples", MOST_SAMPLES)
        header, section, arrays = self._reader.arrays(
            asked.context, self._of(asked), asked.number("step"), asked.text("section"), samples, MOST_BYTES
        )
        samples = [sample for sample in samples if sample < section.count]
        planes = [_drawn(array, section, header, asked.number("side", 0)) for array in arrays]
        largest = header.largest.get(section.name, [])
        tokens = header.tokens.get(section.name, [])
        told = {
            "samples": samples,
            "shape": planes[0].shape if planes else (0, 0, 1),
            "of": section.shape,
            "kind": section.kind,
            "dtype": str(planes[0].dtype) if planes else "float32",
            "limit": max((value for value in largest if math.isfinite(value)), default=None),
            "tokens": [_at(tokens, sample) for sample in samples],
            **{
                name: [_at(getattr(header, name), sample) for sample in samples]
                for name in ("neuron", "explained", "prediction", "target", "titles")
            },
        }
        return _framed(told, planes)

    def _of(self, asked: Asked) -> Steps:
        """The steps of the tag that is asked for."""
        steps = self._reader.steps(asked.context, asked.experiment, asked.text("run"), asked.text("tag"))
        if not steps.data:
            raise NotThereError(f"nothing was logged under the tag {asked.text('tag')!r}")
        return steps


class Asked:
    """A request.

    Attributes:
        context: Of TensorBoard.
        experiment: Its name; TensorBoard on one's own machine has one, without a name.
    """

    def __init__(self, request: werkzeug.Request) -> None:
        self._arguments = request.args
        self.context = plugin_util.context(request.environ)
        self.experiment = plugin_util.experiment_id(request.environ)

    def text(self, name: str) -> str:
        """An argument."""
        if name not in self._arguments:
            raise RequestError(f"the request has no {name!r}")
        return self._arguments[name]

    def number(self, name: str, default: int | None = None) -> int:
        """An argument that is an integer, not negative."""
        if default is not None and name not in self._arguments:
            return default
        text = self.text(name)
        if not re.fullmatch(r"[0-9]{1,18}", text):
            raise RequestError(f"{name!r} must be an integer; got {text[:40]!r}")
        return int(text)

    def numbers(self, name: str, most: int) -> list[int]:
        """An argument that is integers with commas between them."""
        text = self.text(name)
        if not re.fullmatch(r"([0-9]{1,9}(,[0-9]{1,9})*)?", text) or text.count(",") >= most:
            raise RequestError(f"{name!r} must be at most {most} integers with commas between them; got {text[:40]!r}")
        return [int(part) for part in text.split(",")] if text else []


def _app(answer: Callable[[Asked], Any]) -> Callable[..., Any]:
    """A WSGI application that answers with JSON, or with bytes and their type, and with JSON of any error."""

    @werkzeug.Request.application
    def app(request: werkzeug.Request) -> werkzeug.Response:
        try:
            if request.method not in ("GET", "HEAD"):
                return _error(request, 405, "only GET is answered")
            content = answer(Asked(request))
        except RequestError as error:
            return _error(request, 400, str(error))
        except (NotThereError, errors.NotFoundError) as error:
            return _error(request, 404, str(error))
        except records.FormatError as error:
            return _error(request, 422, str(error))
        except Exception as error:  # whatever foreign data can cause: the tab tells it, TensorBoard goes on
            logger.warning("relevance: %s", request.full_path, exc_info=True)
            return _error(request, 500, f"{type(error).__name__}: {error}")
        if isinstance(content, tuple):
            body, mimetype = content
            return http_util.Respond(request, body, mimetype)
        return http_util.Respond(request, content, "application/json")

    return app  # type: ignore[no-any-return]


def _error(request: werkzeug.Request, code: int, message: str) -> werkzeug.Response:
    return http_util.Respond(request, {"error": message[:2000]}, "application/json", code=code)


def _static(body: bytes, mimetype: str, asked: Asked) -> tuple[bytes, str]:
    return body, mimetype


def _at(values: Any, index: int) -> Any:
    """A value of a list; None where there is none."""
    return values[index] if isinstance(values, list) and index < len(values) else None


def _thinned(values: Sequence[Any], most: int) -> Sequence[Any]:
    """At most so many of the values, evenly, with the first and the last."""
    if len(values) <= most:
        return values
    return [values[round(i)] for i in np.linspace(0, len(values) - 1, most)]


def _drawn(array: np.ndarray, section: records.Section, header: records.Header, side: int) -> np.ndarray:
    """An array as the browser draws it, `(height, width, channels)`: colours of an image, or values."""
    coloured = header.analyzer is None and section.kind == "image" and array.ndim == 3 and array.shape[2] in (3, 4)
    plane = array[..., :3] if coloured else records.as_map(array, section.kind)[..., None]
    if side:
        plane = _reduced(plane, side)
    return np.ascontiguousarray(plane, dtype=np.uint8 if plane.dtype == np.uint8 else np.float32)


def _reduced(plane: np.ndarray, side: int) -> np.ndarray:
    """Means of blocks, so that neither height nor width is larger than `side`."""
    for axis in (0, 1):
        block = -(-plane.shape[axis] // side)
        if block > 1:
            starts = np.arange(0, plane.shape[axis], block)
            sums = np.add.reduceat(plane, starts, axis=axis, dtype=np.float32)
            lengths = np.diff(np.append(starts, plane.shape[axis]))
            plane = sums / np.expand_dims(lengths, tuple(i for i in range(3) if i != axis)).astype(np.float32)
    return plane


def _framed(told: Mapping[str, Any], planes: Sequence[np.ndarray]) -> tuple[bytes, str]:
    """The length of the JSON, the JSON, and the numbers, each at a multiple of four bytes, little-endian."""
    text = json.dumps(json_util.Cleanse(dict(told)), separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    numbers = b"".join(plane.astype(plane.dtype.newbyteorder("<"), copy=False).tobytes() for plane in planes)
    return struct.pack("<I", len(text)) + text + numbers, "application/octet-stream"
