"""Operations that are understood well enough to know that they have no rule, and why."""

from __future__ import annotations

from kerasexplain.graph.primitives import Call, Primitive
from kerasexplain.operations.batches import MOVES
from kerasexplain.operations.catalogue import describes, opaque

_SINGULAR = "its value or its slope at zero is not finite; where it scales another activation, it is understood"
_STEP = "it says on which side of a threshold a value lies, not how much of it there is"
_ANGLE = "an angle is no amount that could be shared out"
_MATRIX = "it is a function of whole matrices"
_MANY = "it multiplies many activations with each other"
_ERROR = "it measures an error, and has no rule"
_FLOW = "what its body computes is not traced"

REASONS = {
    **dict.fromkeys(("Arccosh", "Cbrt", "Log", "Log10", "Log2", "Reciprocal", "Rsqrt", "Sqrt"), _SINGULAR),
    **dict.fromkeys(("Heaviside", "Sign"), _STEP),
    **dict.fromkeys(("Angle", "Arctan2", "HSVToRGB", "RGBToHSV"), _ANGLE),
    **dict.fromkeys(("FloorDivide", "Fmod", "Mod", "Nextafter"), "it wraps around, and has no slope to go by"),
    **dict.fromkeys(("Cumprod", "Nancumprod", "Nanprod", "Prod", "Vander"), _MANY),
    **dict.fromkeys(
        (
            *("Cholesky", "CholeskyInverse", "Det", "Eig", "Eigh", "Inv", "Logdet", "Lstsq", "LuFactor"),
            *("Pinv", "Qr", "SVD", "Slogdet", "Solve", "SolveTriangular"),
        ),
        _MATRIX,
    ),
    **dict.fromkeys(
        (
            *("BinaryCrossentropy", "CTCDecode", "CTCLoss", "CategoricalCrossentropy", "PSNR", "SSIM"),
            "SparseCategoricalCrossentropy",
        ),
        _ERROR,
    ),
    **dict.fromkeys(("Corrcoef", "CDist"), "it compares rows with each other"),
    **dict.fromkeys(
        ("AssociativeScan", "Cond", "ForiLoop", "JVP", "Map", "Scan", "Switch", "VectorizedMap", "WhileLoop"), _FLOW
    ),
    **dict.fromkeys(("Imag", "Polar", "ViewAsComplex", "ViewAsReal"), "complex numbers have no rule"),
    **dict.fromkeys(
        ("Nanmedian", "Nanpercentile", "Nanquantile", "Nanstd", "Nanvar"),
        "it leaves out what is no number: use the same operation without nan",
    ),
    **dict.fromkeys(
        ("MapCoordinates", "Scatter", "ScatterUpdate", "SegmentMax", "SegmentMin", "SegmentProd", "SegmentSum"), MOVES
    ),
    **dict.fromkeys(("AffineTransform", "PerspectiveTransform"), "TensorFlow's gradient of it is not exact"),
    "ElasticTransform": "it is random",
    "SliceUpdate": "TensorFlow has no gradient of it: use ops.where or ops.concatenate",
}


@describes(*(f"ops.{name}" for name in REASONS))
def _refused(call: Call) -> Primitive:
    return opaque(call, REASONS[type(call.operation).__name__])
