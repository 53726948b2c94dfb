"""Examples of the layers of `keras.layers`."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from helpers.operations.example import IMAGE, SEQUENCE, VECTOR, VOLUME, Build, Example, weights

#: What all layers for images have in common, which Keras does not export.
_OF_IMAGES = next(kind for kind in layers.CenterCrop.__mro__ if kind.__name__ == "BaseImagePreprocessingLayer")


def _layer(name: str, *args: Any, on: Any = None, **options: Any) -> Example:
    """A layer with those arguments, called on inputs of the shapes `on`; `_...` options are the example's own."""
    shapes = (on,) if isinstance(on, tuple) else tuple(on or (SEQUENCE,))
    own = {key[1:]: options.pop(key) for key in list(options) if key.startswith("_")}
    label = own.pop("label", "")

    def build(*xs: Any) -> Any:
        layer = getattr(layers, name)(*args, **options)
        # Layers that prepare images are called as in training unless they are told otherwise.
        at_inference = {"training": False} if isinstance(layer, _OF_IMAGES) else {}
        return layer(list(xs) if len(xs) > 1 else xs[0], **at_inference)

    return Example(f"layers.{name}" + (f" ({label})" if label else ""), own.pop("build", build), shapes, **own)


def _quantized(model: keras.Model) -> None:
    for layer in model.layers:
        if not isinstance(layer, keras.layers.InputLayer):
            layer.quantize("int8")


def _with_lora(model: keras.Model) -> None:
    layer = model.layers[-1]
    layer.enable_lora(2)
    for name in ("lora_kernel_b", "lora_embeddings_b"):
        if hasattr(layer, name):
            weight = getattr(layer, name)
            weight.assign(weights(*weight.shape))


def _masked(build: Build) -> Build:
    """On embeddings of numbers of which 0 is padding."""
    return lambda *ids: build(*(layers.Embedding(5, 4, mask_zero=True)(x) for x in ids))


EXAMPLES = [
    # Kernels
    _layer("Dense", 3, activation="gelu"),
    _layer("Dense", 3, _label="int8", _prepare=_quantized),
    _layer("Dense", 3, _label="lora", _prepare=_with_lora),
    _layer("EinsumDense", "abc,cd->abd", output_shape=(None, 3), bias_axes="d"),
    _layer("EinsumDense", "abc,cd->abd", output_shape=(None, 3), bias_axes="d", _label="int8", _prepare=_quantized),
    *(_layer(f"Conv{n}D", 2, 2, on=shape) for n, shape in ((1, SEQUENCE), (2, IMAGE), (3, VOLUME))),
    *(_layer(f"Conv{n}DTranspose", 2, 2, on=shape) for n, shape in ((1, SEQUENCE), (2, IMAGE), (3, VOLUME))),
    *(_layer(f"DepthwiseConv{n}D", 2, on=shape) for n, shape in ((1, SEQUENCE), (2, IMAGE))),
    *(_layer(f"SeparableConv{n}D", 2, 2, on=shape) for n, shape in ((1, SEQUENCE), (2, IMAGE))),
    # Indices
    _layer("Embedding", 5, 4, on=(3,), _limit=5),
    _layer("Embedding", 5, 4, on=(3,), _limit=5, _label="int8", _prepare=_quantized),
    _layer("Embedding", 5, 4, on=(3,), _limit=5, _label="lora", _prepare=_with_lora),
    _layer("ReversibleEmbedding", 5, 4, on=(3,), _limit=5),
    _layer(
        "ReversibleEmbedding", _label="in reverse", _build=lambda x: layers.ReversibleEmbedding(5, 4)(x, reverse=True)
    ),
    _layer("CategoryEncoding", 5, output_mode="one_hot", on=(3,), _limit=5, _label="one hot"),
    _layer("CategoryEncoding", 5, output_mode="multi_hot", on=(3,), _limit=5),
    _layer("CategoryEncoding", 5, output_mode="count", on=(3,), _limit=5, _label="count"),
    _layer(
        "Discretization",
        on=(3,),
        _build=lambda x: layers.Embedding(3, 2)(layers.Discretization(bin_boundaries=[-0.3, 0.3])(x)),
    ),
    _layer(
        "Discretization",
        bin_boundaries=[-0.3, 0.3],
        output_mode="one_hot",
        on=(3,),
        _label="one hot",
    ),
    _layer("Discretization", bin_boundaries=[-0.3, 0.3], output_mode="multi_hot", on=(3,), _label="multi hot"),
    _layer("Hashing", on=(3,), _limit=5, _build=lambda x: layers.Embedding(4, 2)(layers.Hashing(4)(x))),
    _layer("Hashing", 4, output_mode="one_hot", on=(1,), _limit=5, _label="one hot"),
    _layer("Hashing", 4, output_mode="multi_hot", on=(3,), _limit=5, _label="multi hot"),
    _layer(
        "IntegerLookup",
        on=(3,),
        _limit=5,
        _build=lambda x: layers.Embedding(8, 2)(layers.IntegerLookup(vocabulary=[1, 2, 3])(x)),
    ),
    # Activations
    _layer("Activation", "softsign"),
    _layer("ReLU", negative_slope=0.1, threshold=0.2, max_value=0.7),
    _layer("LeakyReLU"),
    _layer("PReLU"),
    _layer("ELU"),
    _layer("Softmax", axis=(1, 2)),
    # Normalisation
    _layer("BatchNormalization"),
    *(_layer("LayerNormalization", axis=axis, on=IMAGE, _label=f"axis={axis}") for axis in (-1, (1, 3), 2)),
    _layer("RMSNormalization", axis=[-2, -1]),
    _layer("GroupNormalization", groups=2),
    _layer("GroupNormalization", groups=3, axis=1, on=IMAGE, _label="axis=1"),
    _layer("UnitNormalization", axis=(1, 2)),
    _layer("SpectralNormalization", _build=lambda x: layers.SpectralNormalization(layers.Dense(3))(x)),
    _layer("Normalization", mean=[0.1] * 4, variance=[2.0] * 4),
    _layer("Rescaling", 2.0, offset=-1.0),
    # Pooling
    *(
        _layer(f"{kind}Pooling{n}D", 2, on=shape, _dtype="float32")
        for kind in ("Max", "Average")
        for n, shape in ((1, SEQUENCE), (2, IMAGE), (3, VOLUME))
    ),
    *(
        _layer(f"Global{kind}Pooling{n}D", on=shape)
        for kind in ("Max", "Average")
        for n, shape in ((1, SEQUENCE), (2, IMAGE), (3, VOLUME))
    ),
    *(
        _layer(f"Adaptive{kind}Pooling{n}D", 3, on=shape, _dtype="float32")
        for kind in ("Max", "Average")
        for n, shape in ((1, SEQUENCE), (2, (5, 7, 2)), (3, VOLUME))
    ),
    # Merging
    *(_layer(name, on=[SEQUENCE, SEQUENCE]) for name in ("Add", "Average", "Maximum", "Minimum", "Multiply")),
    *(_layer(name, on=[SEQUENCE, SEQUENCE]) for name in ("Concatenate", "Subtract")),
    _layer("Dot", axes=2, on=[SEQUENCE, SEQUENCE]),
    # Moving
    _layer("Flatten"),
    _layer("Identity"),
    _layer("Reshape", (4, 5)),
    _layer("Permute", (2, 1)),
    _layer("RepeatVector", 3, on=VECTOR),
    *(_layer(f"Cropping{n}D", 1, on=shape) for n, shape in ((1, SEQUENCE), (2, IMAGE), (3, VOLUME))),
    *(_layer(f"UpSampling{n}D", 2, on=shape) for n, shape in ((1, SEQUENCE), (2, IMAGE), (3, VOLUME))),
    *(_layer(f"ZeroPadding{n}D", 1, on=shape) for n, shape in ((1, SEQUENCE), (2, IMAGE), (3, VOLUME))),
    _layer("UpSampling2D", 2, interpolation="bilinear", on=IMAGE, _label="bilinear", _dtype="float32"),
    _layer("CenterCrop", 4, 4, on=IMAGE),
    _layer("CenterCrop", 8, 4, on=IMAGE, _label="larger than the image", _dtype="float32"),
    _layer("RandomCrop", 4, 4, on=IMAGE, _refused="another shape"),
    *(
        _layer("Resizing", 4, 9, interpolation=how, on=IMAGE, _label=how, _dtype="float32")
        for how in ("nearest", "bilinear", "bicubic", "lanczos5")
    ),
    _layer("Resizing", 4, 9, interpolation="area", on=IMAGE, _label="area", _refused="."),
    _layer("Masking", _build=lambda x: layers.Masking()(ops.relu(x))),
    # Inactive at inference
    *(_layer(name, 0.3) for name in ("Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise")),
    *(_layer(f"SpatialDropout{n}D", 0.3, on=shape) for n, shape in ((1, SEQUENCE), (2, IMAGE), (3, VOLUME))),
    _layer("ActivityRegularization", 0.1),
    *(_layer(name, on=IMAGE) for name in ("AugMix", "CutMix", "MixUp", "RandAugment", "RandomFlip")),
    *(_layer(name, on=IMAGE) for name in ("RandomElasticTransform", "RandomErasing", "RandomGaussianBlur")),
    *(_layer(name, on=IMAGE) for name in ("RandomGrayscale", "RandomInvert", "RandomPerspective", "Solarization")),
    *(
        _layer(name, 0.2, on=IMAGE)
        for name in (
            *("RandomBrightness", "RandomColorDegeneration", "RandomContrast", "RandomHue", "RandomRotation"),
            *("RandomSaturation", "RandomSharpness", "RandomShear"),
        )
    ),
    _layer("RandomColorJitter", brightness_factor=0.2, on=IMAGE),
    _layer("RandomPosterization", 4, on=IMAGE),
    _layer("RandomTranslation", 0.2, 0.2, on=IMAGE),
    _layer("RandomZoom", 0.2, on=IMAGE),
    # Attention
    _layer("Attention", on=[SEQUENCE, SEQUENCE]),
    _layer(
        "Attention",
        on=[(5,), (5,)],
        _limit=5,
        _label="masked, causal",
        _build=_masked(lambda q, v: layers.Attention(use_scale=True)([q, v], use_causal_mask=True)),
    ),
    _layer("AdditiveAttention", use_scale=False, on=[SEQUENCE, SEQUENCE]),
    _layer("MultiHeadAttention", _dtype="float32", _build=lambda x: layers.MultiHeadAttention(2, 3)(x, x)),
    _layer(
        "MultiHeadAttention",
        _dtype="float32",
        on=[(5,), (5,)],
        _limit=5,
        _label="masked, causal",
        _build=_masked(lambda q, v: layers.MultiHeadAttention(2, 3)(q, v, use_causal_mask=True)),
    ),
    _layer(
        "MultiHeadAttention",
        _dtype="float32",
        _label="scores",
        _build=lambda x: layers.MultiHeadAttention(2, 3)(x, x, return_attention_scores=True)[0],
    ),
    _layer("GroupQueryAttention", _dtype="float32", _build=lambda x: layers.GroupQueryAttention(3, 4, 2)(x, x)),
    _layer(
        "GroupQueryAttention",
        _dtype="float32",
        on=(5,),
        _limit=5,
        _label="masked, causal",
        _build=_masked(lambda x: layers.GroupQueryAttention(3, 4, 2)(x, x, use_causal_mask=True)),
    ),
    # Recurrent
    *(_layer(name, 3) for name in ("GRU", "LSTM", "SimpleRNN")),
    *(
        _layer(name, on=SEQUENCE, _build=lambda x, name=name: layers.RNN(getattr(layers, name)(3))(x))
        for name in ("GRUCell", "LSTMCell", "SimpleRNNCell")
    ),
    _layer("RNN", _build=lambda x: layers.RNN(layers.SimpleRNNCell(3), return_sequences=True)(x)),
    _layer(
        "StackedRNNCells",
        _build=lambda x: layers.RNN(layers.StackedRNNCells([layers.LSTMCell(3), layers.GRUCell(2)]))(x),
    ),
    _layer("Bidirectional", _build=lambda x: layers.Bidirectional(layers.LSTM(3))(x)),
    *(_layer(f"ConvLSTM{n}D", 2, 2, on=(3, *shape)) for n, shape in ((1, (4, 2)), (2, (4, 4, 2)), (3, (3, 3, 3, 1)))),
    # What runs other layers or code
    _layer("TimeDistributed", _build=lambda x: layers.TimeDistributed(layers.Dense(3))(x)),
    _layer("Lambda", _build=lambda x: layers.Lambda(lambda x: ops.relu(x) * 2.0)(x)),
    _layer("Pipeline", _build=lambda x: layers.Pipeline([layers.Rescaling(2.0), layers.Rescaling(0.5, 1.0)])(x)),
    # Sound
    _layer("STFTSpectrogram", mode="real", frame_length=4, frame_step=2, fft_length=4, on=(12, 1), _label="real"),
    _layer("STFTSpectrogram", mode="psd", frame_length=4, frame_step=2, fft_length=4, on=(12, 1), _label="psd"),
    _layer("STFTSpectrogram", mode="magnitude", frame_length=4, frame_step=2, fft_length=4, on=(12, 1)),
    _layer("STFTSpectrogram", frame_length=4, frame_step=2, fft_length=4, on=(12, 1), _label="log"),
    _layer("MelSpectrogram", fft_length=4, num_mel_bins=2, on=(12,), _refused="."),
    # Refused
    _layer("AutoContrast", on=IMAGE, _refused="stretches contrast"),
    _layer("ContrastLimitedAdaptiveHistogramEqualization", on=IMAGE, _refused="stretches contrast"),
]
