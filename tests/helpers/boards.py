"""TensorBoard itself: its data providers in this process, and whole servers beside it."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import struct
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.data import server_ingester
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.util import grpc_util
from werkzeug.test import Client, TestResponse

from helpers.scripts import script
from kerasexplain.tensorboard.plugin import RelevancePlugin

#: TensorBoard reads events in two ways.
WAYS = ("python", "fast")


class Board:
    """The plugin, with data from a folder.

    Args:
        folder: With the events.
        way: "python" or "fast".
        keep: How many steps of a tag are kept; 0 is all.
    """

    def __init__(self, folder: pathlib.Path, way: str = "python", keep: int = 0) -> None:
        self.folder = folder
        self._multiplexer: EventMultiplexer | None = None
        if way == "python":
            self._multiplexer = EventMultiplexer(
                size_guidance={"tensors": 10}, tensor_size_guidance={"relevance": keep}
            )
            self.provider: Any = MultiplexerDataProvider(self._multiplexer, str(folder))
        else:
            self._ingester = server_ingester.SubprocessServerDataIngester(
                server_binary=server_ingester.get_server_binary(),
                logdir=str(folder),
                reload_interval=1,
                channel_creds_type=grpc_util.ChannelCredsType.LOCAL,
                samples_per_plugin={"relevance": keep},
            )
            self._ingester.start()
            self.provider = self._ingester.data_provider
        self.reload()
        self.apps = RelevancePlugin(TBContext(data_provider=self.provider)).get_plugin_apps()

    def reload(self) -> None:
        """Reads what is new."""
        if self._multiplexer is not None:
            self._multiplexer.AddRunsFromDirectory(str(self.folder))
            self._multiplexer.Reload()

    def get(self, route: str, **query: Any) -> TestResponse:
        """An answer."""
        return Client(self.apps[route]).get("/", query_string=query)

    def json(self, route: str, **query: Any) -> Any:
        """An answer that is well."""
        answer = self.get(route, **query)
        assert answer.status_code == 200, answer.text
        return json.loads(answer.text)

    def frame(self, **query: Any) -> tuple[dict[str, Any], np.ndarray]:
        """The description of arrays, and the arrays, `(samples, height, width, channels)`."""
        answer = self.get("/frame", **query)
        assert answer.status_code == 200, answer.text
        (length,) = struct.unpack("<I", answer.data[:4])
        assert length % 4 == 0
        told = json.loads(answer.data[4 : 4 + length])
        values = np.frombuffer(answer.data[4 + length :], np.dtype(told["dtype"]).newbyteorder("<"))
        return told, values.reshape(len(told["samples"]), *told["shape"])

    def wait_for(self, run: str, tag: str, step: int) -> None:
        """Waits until a step has been read."""
        for _ in range(200):
            listed = self.json("/runs")
            if listed.get(run, {}).get(tag, {}).get("step", -1) >= step:
                return
            self.reload()
            time.sleep(0.1)
        raise AssertionError(f"step {step} of {run} {tag} was not read: {listed}")


@contextlib.contextmanager
def serving(folder: pathlib.Path, *command: str, with_tensorflow: bool = False) -> Iterator[str]:
    """The address of a TensorBoard for a folder.

    Args:
        folder: With the events.
        *command: What starts it; by default the package's own.
        with_tensorflow: Whether it may see TensorFlow, where that is installed: it then takes seconds to start.
    """
    command = command or ("-m", "kerasexplain.cli", "board", str(folder), "--port", "0")
    with tempfile.TemporaryDirectory() as hiding:
        environment = {}
        if not with_tensorflow:
            (pathlib.Path(hiding) / "tensorflow.py").write_text('raise ImportError("hidden by the test")')
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, [hiding, os.environ.get("PYTHONPATH")]))
        with script("benchmarks/tab.py").serving(*command, **environment) as address:
            yield address
