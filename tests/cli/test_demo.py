"""The demo runs, its network reads digits, and its images show where it looks."""

from __future__ import annotations

import pathlib
import shlex

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

import keras
from PIL import Image

from kerasexplain import create_analyzer
from kerasexplain.cli import demo as demo_module
from kerasexplain.cli import main

pytestmark = [pytest.mark.once("an example that trains for long"), pytest.mark.slow("trains a network")]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> demo_module.Demo:
    return demo_module.run(tmp_path_factory.mktemp("demo") / "new")


def share_on_strokes(demo: demo_module.Demo, name: str) -> float:
    strength = np.abs(demo.relevance[name])
    return float(strength[demo.images > 0.5].sum() / strength.sum())


def test_the_network_reads_digits(demo: demo_module.Demo) -> None:
    assert demo.accuracy > 0.97


def test_the_strokes_carry_the_relevance(demo: demo_module.Demo) -> None:
    area = float((demo.images > 0.5).mean())
    assert area < 0.35
    assert share_on_strokes(demo, "lrp.epsilon_plus") > 0.6
    # The gradient looks everywhere: what the image is to show.
    assert share_on_strokes(demo, "gradient") < 0.5


def test_every_analyzer_explains_every_digit(demo: demo_module.Demo) -> None:
    assert demo.images.shape == (10, 8, 8, 1)
    for name, relevance in demo.relevance.items():
        assert relevance.shape == demo.images.shape, name
        assert np.isfinite(relevance).all(), name
        assert (np.abs(relevance).max(axis=(1, 2, 3)) > 0).all(), name


def test_the_audit_closes(demo: demo_module.Demo) -> None:
    np.testing.assert_allclose(demo.audit.explained, demo.audit.inputs + demo.audit.biases, rtol=1e-4)


def test_inputs_and_biases_add_up_to_the_logit(demo: demo_module.Demo) -> None:
    model = keras.saving.load_model(demo.files[0], compile=False)
    explanation = create_analyzer("lrp.bias_as_input", model).explain(demo.images, bias=True)
    parts = [explanation.relevance, *explanation.bias.values()]
    flat = np.concatenate([part.reshape(len(demo.images), -1) for part in parts], axis=1)
    error = np.abs(flat.sum(axis=1) - explanation.explained)
    assert np.all(error <= 1e-5 * np.abs(flat).sum(axis=1))


def test_files_are_written_and_told(demo: demo_module.Demo) -> None:
    model, images, gallery = demo.files
    assert keras.saving.load_model(model, compile=False).output_shape == (None, 10)
    np.testing.assert_allclose(np.load(images), demo.images, rtol=1e-6)
    with Image.open(gallery) as image:
        assert image.width > 500
    report = str(demo)
    assert f"{demo.accuracy:.1%}" in report
    assert "AlphaBeta" in report
    assert "explained" in report
    assert str(gallery) in report


def test_the_command_runs_it(
    demo: demo_module.Demo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[pathlib.Path] = []
    monkeypatch.setattr(demo_module, "run", lambda folder: asked.append(folder) or demo)
    assert main(["demo", "-o", "there"]) == 0
    assert asked == [pathlib.Path("there")]
    assert "of the test digits" in capsys.readouterr().out


def test_the_commands_that_it_names_run(
    demo: demo_module.Demo, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [shlex.split(line) for line in demo.next().splitlines()]
    assert len(lines) == 4
    for program, *arguments in lines:
        assert program == "kerasexplain"
        assert main(arguments) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"gamma.png", "contrast.png"}
    assert "output 3 against output 5" in capsys.readouterr().out
