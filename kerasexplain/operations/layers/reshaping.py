"""Layers that move, repeat or pad values, and those that do nothing at inference."""

from __future__ import annotations

from kerasexplain.graph.primitives import Call, Mixing, Primitive, Routing
from kerasexplain.operations.catalogue import describes


@describes(
    "layers.Flatten",
    "layers.Reshape",
    "layers.Permute",
    "layers.RepeatVector",
    "layers.Cropping1D",
    "layers.Cropping2D",
    "layers.Cropping3D",
    "layers.UpSampling1D",
    "layers.UpSampling3D",
    "layers.Concatenate",
    "layers.Identity",
)
def _routing(call: Call) -> Primitive:
    return Routing(call.function())


@describes("layers.ZeroPadding1D", "layers.ZeroPadding2D", "layers.ZeroPadding3D")
def _zero_padding(call: Call) -> Primitive:
    return Routing(call.function(), pads=True)


@describes("layers.UpSampling2D")
def _upsampling(call: Call) -> Primitive:
    if call.operation.interpolation == "nearest":
        return Routing(call.function())
    return Mixing(call.function())


@describes(
    "layers.AugMix",
    "layers.CutMix",
    "layers.Dropout",
    "layers.Equalization",
    "layers.MixUp",
    "layers.RandAugment",
    "layers.RandomBrightness",
    "layers.RandomColorDegeneration",
    "layers.RandomColorJitter",
    "layers.RandomContrast",
    "layers.RandomElasticTransform",
    "layers.RandomErasing",
    "layers.RandomFlip",
    "layers.RandomGaussianBlur",
    "layers.RandomGrayscale",
    "layers.RandomHue",
    "layers.RandomInvert",
    "layers.RandomPerspective",
    "layers.RandomPosterization",
    "layers.RandomRotation",
    "layers.RandomSaturation",
    "layers.RandomSharpness",
    "layers.RandomShear",
    "layers.RandomTranslation",
    "layers.RandomZoom",
    "layers.Solarization",
    "layers.SpatialDropout1D",
    "layers.SpatialDropout2D",
    "layers.SpatialDropout3D",
    "layers.AlphaDropout",
    "layers.GaussianDropout",
    "layers.GaussianNoise",
    "layers.ActivityRegularization",
)
def _inactive(call: Call) -> Primitive:
    return Inactive(lambda x: x)


class Inactive(Routing):
    """An operation that does something in training alone."""

    is_inactive = True
