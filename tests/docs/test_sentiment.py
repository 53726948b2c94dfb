"""The example on sentences: the words it points at are the ones that decide."""

from __future__ import annotations

import pathlib
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
from helpers.scripts import script
from keras import layers

pytest.importorskip("matplotlib")

from PIL import Image

pytestmark = pytest.mark.once("an example that trains for long")

VOCABULARY = ["<pad>", "<unk>", "good", "bad", "film", "a"]


@pytest.fixture(scope="module")
def example() -> ModuleType:
    return script("examples/sentiment.py")


@pytest.fixture
def counting() -> keras.Model:
    """Two logits: how many more "good" there are than "bad", and the opposite; unknown words count nothing."""
    ids = keras.Input((6,), dtype="int32")
    votes = np.zeros((len(VOCABULARY), 1))
    votes[2], votes[3] = 1.0, -1.0
    embed, head = layers.Embedding(len(VOCABULARY), 1), layers.Dense(2, use_bias=False)
    model = keras.Model(ids, head(layers.Flatten()(layers.AveragePooling1D(6)(embed(ids)))))
    embed.set_weights([votes])
    head.set_weights([np.array([[-3.0, 3.0]])])
    return model


@pytest.fixture
def drawn(rng: np.random.Generator) -> np.ndarray:
    ids = rng.integers(1, len(VOCABULARY), (12, 6))
    ids[:4, 4:] = 0
    return ids.astype("int32")


def test_sentences_become_ids(example: ModuleType) -> None:
    ids = example.encoded(["a Good film", "a movie", "", "bad " * 9], VOCABULARY, 4)
    assert ids.tolist() == [[5, 2, 4, 0], [5, 1, 0, 0], [0, 0, 0, 0], [3, 3, 3, 3]]


def test_the_most_relevant_words_go_first_and_padding_never(example: ModuleType, counting: keras.Model) -> None:
    ids = np.array([[2, 2, 4, 0, 0, 0], [3, 4, 2, 3, 4, 0]], "int32")
    weights = example.contrast(counting.predict(ids, verbose=0))
    assert weights.tolist() == [[-1.0, 1.0], [1.0, -1.0]]
    relevance = np.array([[2.0, 3.0, 1.0, 9.0, 9.0, 9.0], [5.0, 1.0, 0.0, 4.0, 2.0, 9.0]])
    drop = example.drops(counting, ids, relevance, weights)
    assert drop.shape == (len(example.FRACTIONS), 2)
    # One "good" of three words is a third, and takes 1/6 of a margin of 6; the rest is 0, not a sixth of the padding.
    at = {round(float(fraction), 1): i for i, fraction in enumerate(example.FRACTIONS)}
    np.testing.assert_allclose(drop[[at[0.0], at[0.3], at[0.7], at[1.0]], 0], [0, 1, 2, 2], atol=1e-5)
    np.testing.assert_allclose(drop[[at[0.0], at[0.2], at[0.4], at[1.0]], 1], [0, 1, 2, 1], atol=1e-5)


def test_the_area_is_the_mean_of_the_curve(example: ModuleType) -> None:
    drop = np.stack([example.FRACTIONS, 3 * example.FRACTIONS], axis=1)  # their means are 1/2 and 3/2
    np.testing.assert_allclose(example.area(drop), (1.0, 0.5))


def run(example: ModuleType, out: pathlib.Path, *arguments: Any) -> None:
    example.main([*map(str, arguments), "-o", str(out)])


def test_a_model_of_ones_own(
    example: ModuleType,
    counting: keras.Model,
    drawn: np.ndarray,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    counting.save(tmp_path / "model.keras")
    np.savez(tmp_path / "data.npz", tokens=drawn, vocab=VOCABULARY, classes=["negative", "positive"])
    own = ("--model", tmp_path / "model.keras", "--data", tmp_path / "data.npz")
    run(example, tmp_path / "a.png", "a good film", "a bad movie", "", *own)
    printed = capsys.readouterr().out
    assert "positive, margin 1.0\na(+0.0) good(+1.0) film(+0.0)" in printed
    assert "negative, margin 1.0\na(+0.0) bad(+1.0) <unk>(+0.0)" in printed
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert ">good</span>" in page
    assert "&lt;unk&gt;" in page
    with Image.open(tmp_path / "a.png") as image:
        assert image.width > 1000
    with pytest.raises(SystemExit):
        run(example, tmp_path / "b.png", "--count", 1, *own)


def test_without_the_network_it_is_said_where_to_put_it(
    example: ModuleType, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KERASEXPLAIN_REFERENCE_DATA", str(tmp_path))
    with pytest.raises(SystemExit):
        example.main([])
    assert "set KERASEXPLAIN_REFERENCE_DATA to the folder that holds nets/nets.py" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        example.main(["--model", "model.keras"])
    assert "--model and --data go together" in capsys.readouterr().err


@pytest.mark.slow("trains a network")
def test_relevant_words_decide(
    example: ModuleType,
    reference_networks: ModuleType,
    reference_data: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("KERASEXPLAIN_REFERENCE_DATA", str(reference_data))
    run(example, tmp_path / "sentiment.png", "--count", 40)
    printed = capsys.readouterr().out
    assert "over 40 sentences" in printed
    table = printed[printed.index("over 40 sentences") :].splitlines()
    areas = {line[:20].strip(): float(line[20:].split("±")[0]) for line in table if "±" in line}
    assert areas.keys() == {*example.ANALYZERS, "random order"}
    for name in ("lrp.attention", "lrp.attention_cp"):
        assert areas[name] > areas["input_t_gradient"] > areas["gradient"] > areas["random order"] > 0
    assert (tmp_path / "sentiment.html").exists()
    assert (tmp_path / "sentiment.png").exists()
