"""Examples of the functions of `keras.ops`."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from helpers.operations.example import IMAGE, SEQUENCE, VECTOR, VOLUME, Build, Example, weights
from kerasexplain import support

#: Weights of functions that take them as operands.
_W = np.random.default_rng(2).normal(size=(4, 3))


def _op(name: str, build: Build | None = None, *shapes: tuple[int, ...], **options: Any) -> Example:
    """A function of `keras.ops`, by default called on one sequence alone."""
    function = build or (lambda *xs: support.find(f"ops.{name}")(*xs))
    return Example(f"ops.{name}", function, shapes or (SEQUENCE,), **options)


def _each(names: str, **options: Any) -> list[Example]:
    return [_op(name, **options) for name in names.split()]


def _along(name: str, **arguments: Any) -> Example:
    return _op(name, lambda x: support.find(f"ops.{name}")(x, **arguments))


EXAMPLES = [
    # Element by element
    *_each("abs absolute fabs square negative deg2rad rad2deg relu relu6 leaky_relu elu selu celu gelu silu swish"),
    *_each("sigmoid sparse_sigmoid hard_sigmoid log_sigmoid hard_silu hard_swish hard_tanh softplus softsign"),
    *_each("sparse_plus squareplus tanh tanh_shrink hard_shrink soft_shrink"),
    *_each("sin cos tan sinh cosh arcsinh arctan sinc exp expm1 erf erfc i0 ceil floor round trunc"),
    *_each("arcsin arccos arctanh erfinv log1p", low=-0.9, high=0.9),
    _op("exp2", dtype="float32"),
    _op("threshold", lambda x: ops.threshold(x, 0.2, -0.5)),
    _op("clip", lambda x: ops.clip(x, -0.2, 0.5)),
    _op("clip", lambda x: ops.clip(x, weights(4) - 2.0, weights(4)), refused=""),
    _op("nan_to_num"),
    _op("power", lambda x: ops.power(x, 3)),
    _op("hypot", None, SEQUENCE, SEQUENCE),
    *(_op(name, None, SEQUENCE, SEQUENCE) for name in ("logaddexp", "logaddexp2")),
    _op("ldexp", lambda x: ops.ldexp(x, 2)),
    # Two operands
    *(_op(name, None, SEQUENCE, SEQUENCE) for name in ("add", "subtract", "multiply", "maximum", "minimum")),
    *(_op(name, None, SEQUENCE, SEQUENCE) for name in ("fmax", "fmin")),
    *(_op(name, None, SEQUENCE, SEQUENCE, low=0.5) for name in ("divide", "true_divide", "divide_no_nan")),
    *(
        _op(name, lambda x, name=name: getattr(ops, name)(x, weights(4)))
        for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum")
    ),
    _op("where", lambda x, y: ops.where(ops.greater(x, y), x, 0.5 * y), SEQUENCE, SEQUENCE),
    _op("select", lambda x, y: ops.select([x > y, x < 0.0], [x, y], 0.3), SEQUENCE, SEQUENCE),
    # Softmax and norms
    _op("softmax", lambda x: ops.softmax(x, axis=1)),
    _op("log_softmax"),
    _op("sparsemax"),
    _op("glu"),
    _op("normalize", lambda x: ops.normalize(x, axis=1, order=3), dtype="float32"),
    _op("layer_normalization", lambda x: ops.layer_normalization(x, weights(4), weights(4), axis=-1)),
    _op("rms_normalization", lambda x: ops.rms_normalization(x, weights(4), axis=-1)),
    _op(
        "batch_normalization",
        lambda x: ops.batch_normalization(x, weights(4), weights(4) ** 2, -1, weights(4), weights(4)),
    ),
    _op("moments", lambda x: ops.moments(x, axes=[1])[1]),
    _op("norm", lambda x: ops.norm(x, axis=-1)),
    _op("logsumexp", lambda x: ops.logsumexp(x, axis=-1), dtype="float32"),
    # Along axes
    *(_along(name, axis=1) for name in ("sum", "mean", "max", "min", "amax", "amin", "median", "ptp", "var", "std")),
    *(_along(name, axis=1) for name in ("nansum", "nanmean", "nanmax", "nanmin", "cumsum", "nancumsum")),
    _along("quantile", axis=1, q=0.3),
    _along("percentile", axis=1, q=30.0),
    *(_along(name, axis=1) for name in ("sort", "diff", "trapezoid")),
    _op("average", lambda x: ops.average(x, axis=1, weights=np.array([1.0, 2.0, 3.0, 4.0, 5.0]))),
    _op("top_k", lambda x: ops.top_k(x, 2)),
    _op("trace", lambda x: ops.trace(x, axis1=1, axis2=2)),
    # Products
    _op("matmul", lambda x, y: ops.matmul(x, ops.transpose(y, (0, 2, 1))), SEQUENCE, SEQUENCE),
    _op("matmul", lambda x: ops.matmul(x, _W)),
    _op("matmul", lambda x: ops.matmul(weights(3, 5), x)),
    _op("dot", lambda x: ops.dot(x, _W)),
    _op("inner", lambda x: ops.inner(x, _W.T)),
    _op("tensordot", lambda x: ops.tensordot(x, weights(4, 2, 3), axes=1)),
    _op("einsum", lambda x, y: ops.einsum("bqd,bkd->bqk", x, y), SEQUENCE, SEQUENCE),
    _op("einsum", lambda x: ops.einsum("btd,dhk->bthk", x, weights(4, 2, 3))),
    _op("einsum", lambda x: ops.einsum("...d,dk->...k", x, _W)),
    _op("einsum", lambda x: ops.einsum("btd->bd", x)),
    _op("cross", lambda x, y: ops.cross(x, y), (5, 3), (5, 3)),
    _op("cross", lambda x: ops.cross(x, weights(3)), (5, 3)),
    *(
        _op(name, lambda x, name=name: getattr(ops, name)(x, weights(6)), VECTOR, refused="batch")
        for name in ("outer", "kron")
    ),
    _op("vdot", lambda x: ops.vdot(x, weights(4)), (4,), refused="batch"),
    _op(
        "dot_product_attention",
        lambda q, k, v: ops.dot_product_attention(q, k, v, mask=np.tril(np.ones((5, 5), bool))),
        *[(5, 2, 3)] * 3,
        dtype="float32",
    ),
    # Convolutions and pooling
    _op("conv", lambda x: ops.conv(x, weights(2, 2, 3, 2)), IMAGE),
    _op("depthwise_conv", lambda x: ops.depthwise_conv(x, weights(2, 2, 3, 2)), IMAGE),
    _op("separable_conv", lambda x: ops.separable_conv(x, weights(2, 2, 3, 2), weights(1, 1, 6, 2)), IMAGE),
    *(_op(name, lambda x, name=name: getattr(ops, name)(x, 2, 2), IMAGE) for name in ("max_pool", "average_pool")),
    *(
        _op(name, lambda x, name=name: support.find(f"ops.{name}")(x, (3, 3), "channels_first"), (2, 5, 7))
        for name in ("adaptive_max_pool", "adaptive_average_pool")
    ),
    # Moving
    _op("reshape", lambda x: ops.reshape(x, (-1, 4, 5))),
    _op("transpose", lambda x: ops.transpose(x, (0, 2, 1))),
    _op("swapaxes", lambda x: ops.swapaxes(x, 1, 2)),
    _op("moveaxis", lambda x: ops.moveaxis(x, 1, 2)),
    _op("expand_dims", lambda x: ops.expand_dims(x, 1)),
    _op("squeeze", lambda x: ops.squeeze(x, 1), (1, 4)),
    _op("ravel", refused="one sample"),
    _op("broadcast_to", lambda x: ops.broadcast_to(x, (3, 5, 4)), (1, 4), refused="one sample"),
    *(_op(name, lambda x, name=name: getattr(ops, name)(x, 2, axis=1)) for name in ("repeat", "roll")),
    _op("tile", lambda x: ops.tile(x, (1, 2, 1))),
    _op("flip", lambda x: ops.flip(x, 1)),
    _op("fliplr"),
    _op("flipud", refused="one sample"),
    _op("rot90", lambda x: ops.rot90(x, axes=(1, 2))),
    *_each("copy conj conjugate real stop_gradient"),
    _op("cast", lambda x: ops.cast(x, "float32"), dtype="float32"),
    _op("saturate_cast", lambda x: ops.saturate_cast(x, "float32"), dtype="float32"),
    _op("convert_to_tensor"),
    _op("array"),
    _op("view", lambda x: support.find("ops.view")(x, "float64")),
    _op("get_item", lambda x: x[:, 1:3, 0]),
    _op("take", lambda x: ops.take(x, [0, 2], axis=1)),
    _op("take_along_axis", lambda x: ops.take_along_axis(x, ops.argsort(x, axis=1), axis=1)),
    _op("slice", lambda x: ops.slice(x, (0, 1, 0), (3, 2, 4)), refused="one sample"),
    _op("slice_update", lambda x, y: ops.slice_update(x, (0, 1, 0), y), SEQUENCE, (2, 4), refused="no gradient"),
    *(
        _op(name, lambda x, y, name=name: getattr(ops, name)([x, y], axis=1), SEQUENCE, SEQUENCE)
        for name in ("concatenate", "stack")
    ),
    *(
        _op(name, lambda x, y, name=name: getattr(ops, name)([x, y]), SEQUENCE, SEQUENCE)
        for name in ("hstack", "dstack")
    ),
    _op("vstack", lambda x, y: ops.vstack([x, y]), SEQUENCE, SEQUENCE, refused="one sample"),
    _op("append", lambda x, y: ops.append(x, y, axis=1), SEQUENCE, SEQUENCE),
    _op("split", lambda x: ops.split(x, 2, axis=2)[1]),
    _op("array_split", lambda x: ops.array_split(x, 2, axis=2)[1]),
    _op("unstack", lambda x: ops.unstack(x, axis=1)[1]),
    _op("hsplit", lambda x: support.find("ops.hsplit")(x, [2])[1]),
    _op("dsplit", lambda x: support.find("ops.dsplit")(x, 2)[1]),
    _op("vsplit", lambda x: support.find("ops.vsplit")(x, 1)[0]),
    _op("meshgrid", lambda x: ops.meshgrid(x, x)[0], (), refused="one sample"),
    _op("pad", lambda x: ops.pad(x, [[0, 0], [1, 0], [0, 2]])),
    *_each("triu tril"),
    _op("diagonal", lambda x: ops.diagonal(x, axis1=1, axis2=2)),
    *(_op(name, None, (), refused="one sample") for name in ("diag", "diagflat")),
    *(
        _op(name, lambda x, name=name: getattr(ops, name)(x, 2), (4, 4, 4))
        for name in ("depth_to_space", "space_to_depth")
    ),
    _op("extract_sequences", lambda x: ops.extract_sequences(x, 3, 1), (6,)),
    _op("unfold", lambda x: ops.unfold(x, 2), (2, 4, 4)),
    _op("fold", lambda x: support.find("ops.fold")(x, (4, 4), 2), (8, 9)),
    *(_op(name, lambda x, name=name: ops.add(x, getattr(ops, name)(x))) for name in ("ones_like", "zeros_like")),
    _op("full_like", lambda x: ops.add(x, ops.full_like(x, 0.5))),
    # Indices
    _op("one_hot", lambda x: ops.one_hot(x, 5), (3,), limit=5),
    _op("multi_hot", lambda x: ops.cast(ops.multi_hot(x, 5), "float64"), (3,), limit=5),
    # Images
    *(
        _op(
            f"image.resize ({how})",
            lambda x, how=how: ops.image.resize(x, (4, 9), interpolation=how),
            IMAGE,
            dtype="float32",
        )
        for how in ("nearest", "bilinear", "lanczos3")
    ),
    _op(
        "image.resize",
        lambda x: ops.image.resize(x, (4, 9), interpolation="area"),
        IMAGE,
        refused="area",
        dtype="float32",
    ),
    _op("image.crop_images", lambda x: ops.image.crop_images(x, 1, 1, 1, 1), IMAGE),
    _op("image.pad_images", lambda x: ops.image.pad_images(x, 1, 1, 1, 1), IMAGE),
    _op("image.extract_patches", lambda x: ops.image.extract_patches(x, 2, padding="same"), (5, 5, 2)),
    _op(
        "image.extract_patches_3d",
        lambda x: support.find("ops.image.extract_patches_3d")(x, 2),
        VOLUME,
        dtype="float32",
    ),
    _op("image.rgb_to_grayscale", None, IMAGE, dtype="float32"),
    _op("image.rgb_to_hsv", None, IMAGE, low=0.1, refused="an angle"),
    _op("image.hsv_to_rgb", None, IMAGE, low=0.1, refused="an angle"),
    _op(
        "image.affine_transform",
        lambda x: ops.image.affine_transform(x, np.array([[1, 0.2, 0.5, 0.1, 0.9, 0, 0, 0]] * 3, "float32")),
        IMAGE,
        dtype="float32",
        refused="not exact",
    ),
    _op(
        "image.perspective_transform",
        lambda x: ops.image.perspective_transform(
            x,
            np.array([[[0, 0], [0, 5], [5, 0], [5, 5.0]]], "float32"),
            np.array([[[0, 1], [0, 5], [5, 0], [4, 5.0]]], "float32"),
        ),
        IMAGE,
        dtype="float32",
        refused="not exact",
    ),
    _op("image.gaussian_blur", None, IMAGE, dtype="float32"),
    _op("image.sobel_edges", None, IMAGE, dtype="float32"),
    _op(
        "image.scale_and_translate",
        lambda x: support.find("ops.image.scale_and_translate")(
            x, (3, 4, 9, 3), np.array([0.5, 1.5], "float32"), np.array([0.0, 0.5], "float32"), (1, 2), "linear"
        ),
        IMAGE,
        dtype="float32",
    ),
    _op("image.elastic_transform", None, IMAGE, refused="random"),
    # Fourier
    *(
        _op(name, lambda x, y, name=name: getattr(ops, name)((x, y)), (4, 4), (4, 4))
        for name in ("fft", "fft2", "ifft2", "irfft")
    ),
    _op("rfft", None, (8,)),
    _op("stft", lambda x: ops.stft(x, 4, 2, 4), (12,)),
    _op("istft", lambda x, y: ops.istft((x, y), 4, 2, 4), (5, 3), (5, 3)),
    # Refused
    *_each("log log2 log10 sqrt rsqrt reciprocal cbrt arccosh", low=1.0, high=2.0, refused="at zero is not finite"),
    _op("power", lambda x: ops.power(x, 0.5), low=1.0, high=2.0, refused="integer exponent"),
    _op("sign", refused="which side"),
    _op("heaviside", lambda x: ops.heaviside(x, np.array(0.5)), refused="which side"),
    _op("angle", refused="an angle"),
    _op("arctan2", None, SEQUENCE, SEQUENCE, refused="an angle"),
    *(_op(name, None, SEQUENCE, SEQUENCE, refused="wraps") for name in ("mod", "fmod", "floor_divide", "nextafter")),
    *(
        _op(name, lambda x, name=name: support.find(f"ops.{name}")(x, axis=1), refused="many activations")
        for name in ("prod", "nanprod", "cumprod", "nancumprod")
    ),
    _op("vander", None, (), refused="many activations"),
    *(
        _op(name, lambda x, name=name: support.find(f"ops.{name}")(x, axis=1), refused="no number")
        for name in ("nanstd", "nanvar", "nanmedian")
    ),
    *(
        _op(name, lambda x, name=name: support.find(f"ops.{name}")(x, 0.3, axis=1), refused="no number")
        for name in ("nanquantile", "nanpercentile")
    ),
    *(
        _op(name, None, (4, 4), refused="whole matrices")
        for name in (
            *("cholesky", "cholesky_inverse", "det", "eigh", "inv", "logdet", "lu_factor", "pinv", "qr", "slogdet"),
            "svd",
        )
    ),
    *(_op(name, None, (4, 4), (4, 4), refused="whole matrices") for name in ("solve", "solve_triangular")),
    _op("lstsq", None, (4,), (4,), refused="whole matrices"),
    _op("corrcoef", None, VECTOR, refused="compares rows"),
    _op("cdist", None, SEQUENCE, SEQUENCE, refused="compares rows"),
    _op("segment_sum", lambda x: ops.segment_sum(x, np.array([0, 0, 1]), 2), refused="one sample"),
    *(
        _op(name, lambda x, name=name: support.find(f"ops.{name}")(x, np.array([0, 0, 1]), 2), refused="one sample")
        for name in ("segment_max", "segment_min", "segment_prod")
    ),
    _op("scatter_update", lambda x: ops.scatter_update(x, np.array([[0, 0]]), weights(1, 4)), refused="one sample"),
]
