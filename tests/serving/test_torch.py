"""PyTorch has no file for relevance passes, and says what to do."""

from __future__ import annotations

import pathlib

import keras
import pytest
from helpers.small_models import dense

import kerasexplain


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="about PyTorch")
def test_an_export_is_refused(tmp_path: pathlib.Path) -> None:
    analyzer = kerasexplain.create_analyzer("lrp.epsilon", dense())
    with pytest.raises(ValueError, match=r"save the model.*export it where Keras runs on TensorFlow or JAX"):
        analyzer.export(tmp_path / "export")
    assert not (tmp_path / "export").exists()
