"""Writes docs/models.md: what every architecture of keras.applications, and many of keras_hub, does under LRP.

    python docs/models.py                         # everything, and the page
    python docs/models.py hub ViT BERT            # some of them, on the screen

Every architecture runs in a process of its own, with random weights: nothing is downloaded. With `--cache FILE` what
has been measured is kept there, and not measured again.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import inspect
import json
import os
import pathlib
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from kerasexplain import create_analyzer

PAGE = pathlib.Path(__file__).parent / "models.md"
HEAD = """# Architectures

Made by `python docs/models.py`, with {versions}.

Every architecture with random weights, random biases, gains (0.5 to 1.5; 0.3 to 0.9 in EfficientNetV2S to L, which
else amplify rounding without bound) and BatchNormalization statistics, on two random samples; text has its last third
padded. The architectures of keras.applications are whole, at their smallest legal input; those of keras_hub are tiny,
with two layers of a few channels. Where an architecture is not explained, the reason is kerasexplain's own message.

* **operations**: how many the explained graph has; all of them are understood.
* **predicts**: the largest difference between the twin's output and the model's, relative to the largest output.
* **closes**: under `lrp.bias_as_input`, how far relevance of inputs and biases is from adding up to the explained
  output, relative to the sum of its absolute values; in single and in double precision.
* **epsilon_plus**: whether `lrp.epsilon_plus` gives finite numbers.
* **trace**: seconds that `create_analyzer` takes.
"""
TABLE = """| architecture | {column} | operations | predicts | closes (32) | closes (64) | epsilon_plus | trace |
|---|---|--:|--:|--:|--:|---|--:|
"""
DTYPES = ("float32", "float64")
SAMPLES = 2
Arrays = Any  # an array, or a dict of arrays


# ---------------------------------------------------------------------------------------------------------- checking


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model, inputs for it, what these are, and whether the analyzer is shown them."""

    model: keras.Model
    x: Arrays
    described: str
    needs_example: bool = False


def check(subject: Subject) -> dict[str, Any]:
    """The results of LRP on a model, in numbers."""
    model, x = subject.model, subject.x
    options = {"example": x} if subject.needs_example else {}
    start = time.perf_counter()
    analyzer = create_analyzer("lrp.bias_as_input", model, **options)
    seconds = time.perf_counter() - start
    expected = keras.tree.flatten(model.predict(x, verbose=0))
    neuron = neuron_of(expected[0])
    explanation = analyzer.explain(x, neuron, bias=True)
    relevance = per_sample(explanation.relevance) + per_sample(explanation.bias)
    magnitude = per_sample(keras.tree.map_structure(np.abs, explanation.relevance))
    magnitude = magnitude + per_sample({name: np.abs(b) for name, b in explanation.bias.items()})
    given = keras.tree.flatten(explanation.output)
    of_rules = keras.tree.flatten(create_analyzer("lrp.epsilon_plus", model, **options).analyze(x, neuron))
    return {
        "operations": len(analyzer.rows),
        "seconds": seconds,
        "predicts": max(relative_difference(y, z) for y, z in zip(given, expected, strict=True)),
        "closes": float(np.max(np.abs(relevance - explanation.explained) / np.maximum(magnitude, 1e-30))),
        "finite": all(bool(np.isfinite(array).all()) for array in of_rules),
        "reaches": bool(np.all(per_sample(keras.tree.map_structure(np.abs, explanation.relevance)) > 0)),
    }


def neuron_of(output: np.ndarray) -> int | tuple[int, ...]:
    """The strongest channel two thirds into the output, which is before the padding of a text."""
    position = tuple(max(2 * size // 3 - 1, 0) for size in output.shape[1:-1])
    channel = int(np.argmax(np.abs(output[(slice(None), *position)]).sum(axis=0)))
    return (*position, channel) if position else channel


def per_sample(arrays: Any) -> np.ndarray:
    """The sum over everything but samples."""
    flat = [array.reshape(len(array), -1).sum(axis=1, dtype="float64") for array in keras.tree.flatten(arrays)]
    return np.sum(flat, axis=0)


def relative_difference(y: np.ndarray, z: np.ndarray) -> float:
    y, z = y.astype("float64"), z.astype("float64")
    return float(np.max(np.abs(y - z)) / max(float(np.max(np.abs(z))), 1e-30))


def randomize(model: keras.Model, kernels: bool = False, gain: float = 1.0) -> None:
    """Puts random numbers where a new model has zeros and ones, so that nothing cancels or vanishes by chance.

    Args:
        model: The model.
        kernels: Whether kernels and tables get new values too, where their initializers make them very small.
        gain: A factor on the gains of normalisation.
    """
    rng = np.random.default_rng(0)
    for variable in model.variables:
        name, shape = variable.path.rsplit("/", 1)[-1], tuple(variable.shape)
        if not keras.backend.is_float_dtype(variable.dtype) or "seed" in name:
            continue
        if len(shape) >= 2 and kernels:
            fan_in, power = (np.prod(shape[:-1]), 2) if len(shape) > 3 else (shape[0], 1)
            variable.assign(rng.normal(0, np.sqrt(power / min(fan_in, 64)), shape))
        elif "variance" in name:
            variable.assign(rng.uniform(0.5, 1.5, shape))
        elif any(part in name for part in ("gamma", "scale")):
            variable.assign(gain * rng.uniform(0.5, 1.5, shape))
        elif len(shape) < 2 or any(part in name for part in ("bias", "beta", "mean")):
            variable.assign(rng.normal(0, 0.1, shape))


# ------------------------------------------------------------------------------------------------ keras.applications


#: Factors on the gains of deep residual networks that would otherwise amplify a change of 1e-6 of the input to 100 %,
#: so that single precision says nothing about them.
GAINS = {"EfficientNetV2L": 0.6, "EfficientNetV2M": 0.6, "EfficientNetV2S": 0.6}


def applications() -> list[str]:
    return [name for name in dir(keras.applications) if inspect.isfunction(getattr(keras.applications, name))]


def application(name: str) -> Subject:
    """An architecture at its smallest legal input, an image as it wants it, and that size."""
    function = getattr(keras.applications, name)
    for size in (32, 71, 75, 96, 128, 224, 331):
        try:
            model = function(weights=None, input_shape=(size, size, 3), classifier_activation=None)
            break
        except ValueError as error:
            if "at least" not in str(error):
                raise
    randomize(model, gain=GAINS.get(name, 1.0))
    images = np.random.default_rng(0).uniform(0, 255, (SAMPLES, size, size, 3)).astype(keras.config.floatx())
    prepared = sys.modules[function.__module__].preprocess_input(images)  # type: ignore[attr-defined]
    return Subject(model, prepared, f"{size} × {size}")


# ---------------------------------------------------------------------------------------------------------- keras_hub

LENGTH, VOCABULARY, IMAGE = 9, 40, (32, 32, 3)
_LAYERS = {"num_layers": 2, "hidden_dim": 16, "intermediate_dim": 24}
_TEXT = {**_LAYERS, "vocabulary_size": VOCABULARY}
_ENCODER = {**_TEXT, "num_heads": 2, "max_sequence_length": 16}
_DECODER = {**_TEXT, "num_query_heads": 4, "num_key_value_heads": 2}
_EXPERTS = {**_DECODER, "num_experts": 3, "top_k": 2}
_WINDOWS = {"use_sliding_window_attention": True, "sliding_window_size": 4}
_POST_NORMS = {"use_post_ffw_norm": True, "use_post_attention_norm": True}
_VISION = {**_LAYERS, "num_heads": 2, "image_shape": IMAGE}


def _renamed(arguments: dict[str, Any], **names: str) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in arguments.items()}


#: Tiny architectures: each is made by a function of `keras_hub.models`.
HUB: dict[str, Callable[[Any], keras.Model]] = {
    # text, encoders
    "ALBERT": lambda m: m.AlbertBackbone(**_ENCODER, embedding_dim=8),
    "BERT": lambda m: m.BertBackbone(**_ENCODER),
    "DeBERTa V3": lambda m: m.DebertaV3Backbone(**_ENCODER, bucket_size=8),
    "DistilBERT": lambda m: m.DistilBertBackbone(**_ENCODER),
    "ELECTRA": lambda m: m.ElectraBackbone(**_renamed(_ENCODER, vocabulary_size="vocab_size"), embedding_dim=8),
    "ESM": lambda m: m.ESMBackbone(**_ENCODER),
    "FNet": lambda m: m.FNetBackbone(**_TEXT, max_sequence_length=16),
    "RoBERTa": lambda m: m.RobertaBackbone(**_ENCODER),
    "RoFormer V2": lambda m: m.RoformerV2Backbone(**_TEXT, num_heads=2, head_size=8),
    "XLM-RoBERTa": lambda m: m.XLMRobertaBackbone(**_ENCODER),
    "XLNet": lambda m: m.XLNetBackbone(**_TEXT, num_heads=2),
    # text, decoders
    "Bloom": lambda m: m.BloomBackbone(**_TEXT, num_heads=2),
    "Falcon": lambda m: m.FalconBackbone(**_TEXT, num_attention_heads=2),
    "Gemma": lambda m: m.GemmaBackbone(**_DECODER, head_dim=8),
    "Gemma 2": lambda m: m.GemmaBackbone(
        **_DECODER, **_POST_NORMS, **_WINDOWS, head_dim=8, attention_logit_soft_cap=50, final_logit_soft_cap=30
    ),
    "Gemma 3": lambda m: m.Gemma3Backbone(**_DECODER, **_POST_NORMS, **_WINDOWS, head_dim=8, image_size=None),
    "GPT-2": lambda m: m.GPT2Backbone(**_ENCODER),
    "GPT-NeoX": lambda m: m.GPTNeoXBackbone(**_ENCODER),
    "GPT-OSS": lambda m: m.GptOssBackbone(**_EXPERTS, head_dim=8, sliding_window=4),
    "Llama": lambda m: m.LlamaBackbone(**_DECODER),
    "Llama 3": lambda m: m.Llama3Backbone(**_DECODER),
    "Mistral": lambda m: m.MistralBackbone(**_DECODER, sliding_window=4),
    "Mixtral": lambda m: m.MixtralBackbone(**_EXPERTS, sliding_window=4),
    "OPT": lambda m: m.OPTBackbone(**_ENCODER),
    "Phi 3": lambda m: m.Phi3Backbone(**_DECODER),
    "Qwen 2": lambda m: m.QwenBackbone(**_DECODER),
    "Qwen MoE": lambda m: m.QwenMoeBackbone(**_EXPERTS, moe_intermediate_dim=12, shared_expert_intermediate_dim=12),
    "Qwen 3": lambda m: m.Qwen3Backbone(**_DECODER, head_dim=8),
    "Qwen 3 MoE": lambda m: m.Qwen3MoeBackbone(**_EXPERTS, moe_intermediate_dim=12, head_dim=8),
    "Qwen 3.5": lambda m: m.Qwen3_5Backbone(
        **_DECODER,
        head_dim=8,
        layer_types=["linear_attention", "full_attention"],
        linear_num_key_heads=2,
        linear_num_value_heads=2,
        linear_key_head_dim=8,
        linear_value_head_dim=8,
    ),
    "RWKV 7": lambda m: m.RWKV7Backbone(
        **_renamed(_TEXT, hidden_dim="hidden_size"), head_size=8, gate_lora=4, mv_lora=4, aaa_lora=4, decay_lora=4
    ),
    "SmolLM 3": lambda m: m.SmolLM3Backbone(
        **_renamed(_DECODER, num_query_heads="num_attention_heads"),
        attention_bias=False,
        attention_dropout=0.0,
        rope_layer_enabled_list=[True, False],
        layer_types=["full_attention", "full_attention"],
        mlp_bias=False,
        layer_norm_epsilon=1e-5,
        max_position_embeddings=16,
        rope_theta=10000.0,
        partial_rotary_factor=1.0,
    ),
    # encoder and decoder
    "BART": lambda m: m.BartBackbone(**_ENCODER),
    "Moonshine": lambda m: m.MoonshineBackbone(
        vocabulary_size=VOCABULARY,
        filter_dim=16,
        encoder_num_layers=1,
        decoder_num_layers=1,
        hidden_dim=16,
        intermediate_dim=24,
        encoder_num_heads=2,
        decoder_num_heads=2,
    ),
    "T5": lambda m: m.T5Backbone(**_TEXT, num_heads=2),
    "Whisper": lambda m: m.WhisperBackbone(
        **_TEXT, num_heads=2, num_mels=6, max_encoder_sequence_length=40, max_decoder_sequence_length=20
    ),
    # images, transformers
    "CLIP, images": lambda m: m.CLIPVisionEncoder(**_VISION, patch_size=8),
    "CLIP, text": lambda m: m.CLIPTextEncoder(**_TEXT, num_heads=2, embedding_dim=16, max_sequence_length=16),
    "DeiT": lambda m: m.DeiTBackbone(**_VISION, patch_size=8),
    "DINOv2": lambda m: m.DINOV2Backbone(**_VISION, patch_size=8, position_embedding_shape=IMAGE),
    "DINOv2, registers and SwiGLU": lambda m: m.DINOV2Backbone(
        **_VISION, patch_size=8, position_embedding_shape=(48, 48, 3), num_register_tokens=2, use_swiglu_ffn=True
    ),
    "DINOv3": lambda m: m.DINOV3Backbone(**_VISION, patch_size=8),
    "MiT (SegFormer)": lambda m: _mit(m),
    "SAM, images": lambda m: m.ViTDetBackbone(
        **_renamed(_VISION, hidden_dim="hidden_size"),
        patch_size=8,
        global_attention_layer_indices=[1],
        num_output_channels=8,
        window_size=3,
    ),
    "SegFormer": lambda m: m.SegFormerBackbone(image_encoder=_mit(m), projection_filters=8),
    "SigLIP, images": lambda m: m.SigLIPVisionEncoder(**_VISION, patch_size=8),
    "SigLIP, text": lambda m: m.SigLIPTextEncoder(**_TEXT, num_heads=2, embedding_dim=16, max_sequence_length=16),
    "Swin": lambda m: m.SwinTransformerBackbone(
        image_shape=IMAGE, embed_dim=8, depths=(2, 2), num_heads=(2, 2), window_size=4, patch_size=2
    ),
    "ViT": lambda m: m.ViTBackbone(**_renamed(_VISION, intermediate_dim="mlp_dim"), patch_size=8),
    # images, convolutions
    "CSPDarkNet": lambda m: m.CSPNetBackbone(
        stem_filters=8,
        stem_kernel_size=3,
        stem_strides=1,
        stackwise_depth=[1, 2],
        stackwise_strides=[1, 2],
        stackwise_num_filters=[8, 16],
        block_type="dark_block",
        stage_type="dark",
        image_shape=IMAGE,
    ),
    "DeepLab V3+": lambda m: m.DeepLabV3Backbone(
        image_encoder=_resnet(m),
        spatial_pyramid_pooling_key="P3",
        low_level_feature_key="P2",
        upsampling_size=2,
        dilation_rates=[2, 3],
        projection_filters=4,
        image_shape=IMAGE,
    ),
    "DenseNet": lambda m: m.DenseNetBackbone(stackwise_num_repeats=[2, 2], growth_rate=8, image_shape=IMAGE),
    "EfficientNet": lambda m: _efficientnet(m, ["v1"] * 3),
    "EfficientNet V2": lambda m: _efficientnet(m, ["fused", "unfused", "unfused"]),
    "HGNetV2": lambda m: m.HGNetV2Backbone(
        depths=[1, 2],
        embedding_size=8,
        hidden_sizes=[8, 16],
        stem_channels=[3, 8, 8],
        hidden_act="relu",
        use_learnable_affine_block=True,
        stackwise_stage_filters=[(8, 8, 8, 1, 2, 3), (8, 8, 16, 2, 2, 3)],
        apply_downsample=[False, True],
        use_lightweight_conv_block=[False, True],
        image_shape=IMAGE,
    ),
    "MobileNet V3": lambda m: m.MobileNetBackbone(
        stackwise_expansion=[[8, 16], [16, 24]],
        stackwise_num_blocks=[2, 2],
        stackwise_num_filters=[[8, 8], [12, 12]],
        stackwise_kernel_size=[[3, 3], [5, 5]],
        stackwise_num_strides=[[2, 1], [2, 1]],
        stackwise_se_ratio=[[None, None], [0.25, 0.25]],
        stackwise_activation=[["relu", "relu"], ["hard_swish", "hard_swish"]],
        stackwise_padding=[[1, 1], [2, 2]],
        output_num_filters=24,
        depthwise_filters=8,
        depthwise_stride=2,
        depthwise_residual=False,
        last_layer_filter=24,
        squeeze_and_excite=0.5,
        image_shape=IMAGE,
    ),
    "ResNet": lambda m: _resnet(m),
    "ResNet V2, bottlenecks": lambda m: _resnet(m, block_type="bottleneck_block", use_pre_activation=True),
    "ResNet-vd": lambda m: _resnet(
        m, block_type="bottleneck_block_vd", input_conv_filters=[8, 8, 64], input_conv_kernel_sizes=[3, 3, 3]
    ),
    "RetinaNet": lambda m: m.RetinaNetBackbone(
        image_encoder=_resnet(m), min_level=2, max_level=4, use_p5=False, image_shape=IMAGE
    ),
    "VGG": lambda m: m.VGGBackbone(stackwise_num_repeats=[1, 2], stackwise_num_filters=[8, 16], image_shape=IMAGE),
    "Xception": lambda m: m.XceptionBackbone(
        stackwise_conv_filters=[[8, 8], [16, 16]], stackwise_pooling=[True, False], image_shape=IMAGE
    ),
}


#: Lengths of inputs whose architecture needs others than LENGTH, or needs to know them.
LENGTHS = {
    "Moonshine": {"encoder_input_values": 2000, "encoder_padding_mask": 2000},
    "SigLIP, text": {"token_ids": 16},
}


def _resnet(m: Any, **arguments: Any) -> keras.Model:
    stacks = {"stackwise_num_filters": [64, 16], "stackwise_num_blocks": [2, 2], "stackwise_num_strides": [1, 2]}
    stem = {"input_conv_filters": [64], "input_conv_kernel_sizes": [7], "block_type": "basic_block"}
    return m.ResNetBackbone(**{**stem, **stacks, "image_shape": IMAGE, **arguments})


def _mit(m: Any) -> keras.Model:
    return m.MiTBackbone(
        layerwise_depths=[1, 1],
        num_layers=2,
        layerwise_num_heads=[1, 2],
        layerwise_sr_ratios=[2, 1],
        max_drop_path_rate=0.1,
        layerwise_patch_sizes=[7, 3],
        layerwise_strides=[4, 2],
        hidden_dims=[8, 16],
        image_shape=IMAGE,
    )


def _efficientnet(m: Any, blocks: list[str]) -> keras.Model:
    return m.EfficientNetBackbone(
        stackwise_width_coefficients=[1.0] * 3,
        stackwise_depth_coefficients=[1.0] * 3,
        stackwise_kernel_sizes=[3, 3, 5],
        stackwise_num_repeats=[1, 2, 2],
        stackwise_input_filters=[8, 8, 16],
        stackwise_output_filters=[8, 16, 24],
        stackwise_expansion_ratios=[1, 4, 4],
        stackwise_squeeze_and_excite_ratios=[0.25, 0.25, 0.25],
        stackwise_strides=[1, 2, 2],
        stackwise_block_types=blocks,
        stackwise_force_input_filters=[0] * 3,
        stackwise_nores_option=[False] * 3,
        min_depth=8,
        num_features=32,
        input_shape=IMAGE,
    )


def from_hub(name: str) -> Subject:
    """A tiny architecture, inputs for it, and what these are. The last third of every text is padding."""
    model = HUB[name](_hub())
    randomize(model, kernels=True)
    rng, lengths = np.random.default_rng(0), LENGTHS.get(name, {})
    x = {given.name: _random_input(rng, given, lengths.get(given.name, LENGTH)) for given in model.inputs}
    names = ["images" if "tensor" in name else name.replace("_", " ") for name in x]
    return Subject(model, x if len(x) > 1 else next(iter(x.values())), ", ".join(names), needs_example=bool(lengths))


def _random_input(rng: np.random.Generator, given: Any, length: int) -> np.ndarray:
    shape = (SAMPLES, *(size or length for size in given.shape[1:]))
    kept = np.arange(length) < 2 * length // 3
    if given.name.endswith("padding_mask"):
        return np.broadcast_to(kept, shape).astype(given.dtype)
    if given.name.endswith("token_ids"):
        return (rng.integers(1, VOCABULARY, shape) * kept).astype(given.dtype)
    if "int" in given.dtype:
        return rng.integers(0, 2, shape).astype(given.dtype)
    return rng.normal(size=shape).astype(given.dtype)


def _hub() -> Any:
    try:
        import keras_hub
    except ImportError:
        sys.exit("The architectures of keras_hub need `pip install keras-hub`; kerasexplain itself does not.")
    return keras_hub.models


# ------------------------------------------------------------------------------------------------------------- tables


@dataclasses.dataclass(frozen=True)
class Collection:
    """Where architectures come from.

    Attributes:
        title: What it is called.
        column: What the second column of its table says.
        names: Gives the architectures.
        build: Gives, by name, a model and inputs for it.
        at_once: How many are measured in one process.
    """

    title: str
    column: str
    names: Callable[[], list[str]]
    build: Callable[[str], Subject]
    at_once: int


COLLECTIONS = {
    "applications": Collection("keras.applications", "input", applications, application, at_once=1),
    "hub": Collection("keras_hub", "inputs", lambda: list(HUB), from_hub, at_once=8),
}


def measure(collection: str, name: str) -> dict[str, Any]:
    """One architecture in every precision; where something fails, why."""
    found: dict[str, Any] = {"name": name, "input": ""}
    for dtype in DTYPES:
        keras.config.set_floatx(dtype)
        keras.utils.set_random_seed(0)
        try:
            subject = COLLECTIONS[collection].build(name)
            found["input"] = subject.described
            found[dtype] = check(subject)
        except Exception as error:
            found[dtype] = {"error": f"{type(error).__name__}: {error}"}
        finally:
            keras.backend.clear_session()
    return found


def measured(collection: str, names: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Some architectures in a process of their own, which gives its memory back."""
    command = [sys.executable, __file__, "--measure", collection, *names]
    left = dict.fromkeys(names)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):  # and not what a library prints
                found = json.loads(line)
                del left[found["name"]]
                yield found["name"], found
    for name in left:
        ended = {"error": f"its process ended with exit status {process.returncode}"}
        yield name, {"name": name, "input": "", **dict.fromkeys(DTYPES, ended)}


def row(name: str, found: dict[str, Any]) -> str:
    """A row of the table."""
    single, double = (found[dtype] for dtype in DTYPES)
    if "error" in single:
        return f"| {name} | {found['input']} | {_shortened(single['error'])} | | | | | |\n"
    exact = "its code wants single precision" if "error" in double else f"{double['closes']:.0e}"
    finite = "finite" if single["finite"] else "not finite"
    return (
        f"| {name} | {found['input']} | {single['operations']} | {single['predicts']:.0e} | {single['closes']:.0e} "
        f"| {exact} | {finite if single['reaches'] else 'nothing reaches the input'} | {single['seconds']:.1f} |\n"
    )


def _shortened(error: str) -> str:
    """An error for a cell: its first line, and each reason in it once, after the operations that it is given for."""
    first, *lines = [line.strip() for line in error.splitlines() if line.strip()]
    reasons: dict[str, dict[str, None]] = {}
    for line in lines:
        if match := re.match(r"\S+ \((\w+)\): (.*)", line):
            reasons.setdefault(match[2], {})[match[1]] = None
    listed = "; ".join(f"{', '.join(kinds)}: {reason}" for reason, kinds in reasons.items())
    text = f"{first.removeprefix('UnsupportedModelError: ')} {listed}".strip().replace("|", "\\|")
    return text if len(text) < 300 else f"{text[:300]} ..."


def page(results: dict[str, dict[str, Any]]) -> str:
    parts = [HEAD.format(versions=_versions())]
    for collection, rows in results.items():
        kind = COLLECTIONS[collection]
        opened = sum("error" not in found[DTYPES[0]] for found in rows.values())
        parts.append(f"## {kind.title}\n\n{opened} of {len(rows)} are explained.\n\n")
        parts.append(TABLE.format(column=kind.column) + "".join(row(*item) for item in rows.items()))
    return "\n".join(parts)


def _versions() -> str:
    packages = ("tensorflow", "keras", "keras-hub")
    return ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)


def _found(
    collection: str, names: list[str], cache: dict[str, Any], again: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    size = COLLECTIONS[collection].at_once
    for start in range(0, len(names), size):
        some = names[start : start + size]
        new = [name for name in some if again or f"{collection}/{name}" not in cache]
        now = dict(measured(collection, new)) if new else {}
        yield from ((name, now.get(name) or cache[f"{collection}/{name}"]) for name in some)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", nargs="?", choices=COLLECTIONS, help="one collection alone")
    parser.add_argument("names", nargs="*", help="some of its architectures alone")
    parser.add_argument("--cache", type=pathlib.Path, help="a JSON file to keep and to take measurements from")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        for name in options.names:
            print(json.dumps(measure(options.collection, name)), flush=True)
        return
    cache: dict[str, Any] = {}
    if options.cache and options.cache.exists():
        cache = json.loads(options.cache.read_text())
    if options.collection != "applications":
        _hub()
    results: dict[str, dict[str, Any]] = {}
    for collection in [options.collection] if options.collection else COLLECTIONS:
        names = options.names or COLLECTIONS[collection].names()
        for name, found in _found(collection, names, cache, again=bool(options.names)):
            results.setdefault(collection, {})[name] = cache[f"{collection}/{name}"] = found
            if options.cache:
                options.cache.write_text(json.dumps(cache, indent=1))
            print(row(name, found), end="", flush=True)
    if not options.collection:
        PAGE.write_text(page(results))


if __name__ == "__main__":
    main()
