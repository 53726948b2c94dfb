"""Metadata and installation. `kerasexplain.analyzers` is the folder `analyzers/` at the top."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "kerasexplain" / "__init__.py").read_text())[1]

#: Keras runs on one of these; none is forced on those who use another.
BACKENDS = {"tensorflow": ["tensorflow>=2.18"], "jax": ["jax>=0.6"], "torch": ["torch>=2.6", "optree>=0.13"]}
VIZ = ["matplotlib>=3.8", "pillow>=10"]
BOARD = ["tensorboard>=2.18", *VIZ]
TEST = ["pytest>=8", "pytest-cov>=5", "pytest-xdist>=3.5", "hypothesis>=6.100", *BOARD, "scikit-learn>=1.4"]
#: Drives the browser in the tests of TensorBoard's tab; the browser itself is the system's.
TEST += ["playwright>=1.50,<2"]
LINT = ["ruff==0.17.5", "mypy==2.4.1", "import-linter>=2.7,<3"]

METHODS = {
    "controls": ["Input", "Random"],
    "gradient": ["Gradient", "GradientBaseline", "InputTimesGradient", "Sensitivity", "SmoothGrad"],
    "signals": ["Deconvnet", "GuidedBackprop"],
    "baseline": ["IntegratedGradients", "DeepLift", "Baseline"],
    "patterns": ["PatternNet", "PatternAttribution"],
    "occlusion": ["Occlusion"],
    "grad_cam": ["GradCAM"],
    "algebra": ["Algebra"],
    "crp": ["ConceptRelevance"],
    "lrp": ["LRP"],
    "one_rule": [
        *("Z", "ZIgnoreBias", "Epsilon", "EpsilonIgnoreBias", "WSquare", "Flat", "Gamma", "AlphaBetaMethod"),
        *("Alpha2Beta1", "Alpha2Beta1IgnoreBias", "Alpha1Beta0", "Alpha1Beta0IgnoreBias", "ZPlus", "ZPlusFast"),
        "BiasAsInput",
    ],
    "presets": [
        *("SequentialPresetA", "SequentialPresetAFlat", "SequentialPresetB", "SequentialPresetBFlat"),
        *("SequentialPresetBFlatUntilIdx", "EpsilonPlus", "EpsilonPlusFlat", "EpsilonAlpha2Beta1"),
        *("EpsilonAlpha2Beta1Flat", "EpsilonGammaBox", "ExcitationBackprop"),
    ],
    "deep_taylor": ["DeepTaylor", "BoundedDeepTaylor"],
    "attention": ["Attention", "AttentionCP"],
}


def entry_points() -> list[str]:
    """One `name = module:Class` per method, the name read from the class in the source."""
    lines = []
    for module, classes in METHODS.items():
        source = (HERE / "analyzers" / f"{module}.py").read_text()
        for kind in classes:
            name = re.search(rf'^class {kind}\(.*?name: ClassVar\[str\] = "([^"]+)"', source, re.S | re.M)[1]
            lines.append(f"{name} = kerasexplain.analyzers.{module}:{kind}")
    return lines


setup(
    name="kerasexplain",
    version=VERSION,
    description="Relevance propagation for Keras: LRP as a modified gradient, with an audit of where it went",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    packages=[*find_packages(include=["kerasexplain", "kerasexplain.*"]), "kerasexplain.analyzers"],
    package_dir={"kerasexplain.analyzers": "analyzers"},
    package_data={"kerasexplain": ["py.typed", "tensorboard/static/*"]},
    install_requires=["keras>=3.12", "numpy>=1.26", "h5py>=3.11", "rich>=13"],
    extras_require={
        **BACKENDS,
        "viz": VIZ,
        "tensorboard": BOARD,
        "demo": [*VIZ, "scikit-learn>=1.4"],
        "examples": [*VIZ, "scikit-image>=0.22"],
        "test": TEST,
        "dev": [
            *BACKENDS["tensorflow"],
            *TEST,
            "ruff==0.17.5",
            "mypy==2.4.1",
            "import-linter>=2.7,<3",
            "pre-commit>=4",
            "tox>=4.21",
        ],
    },
    entry_points={
        "console_scripts": ["kerasexplain = kerasexplain.cli:main"],
        "kerasexplain.analyzers": entry_points(),
        "tensorboard_plugins": ["relevance = kerasexplain.tensorboard.plugin:RelevancePlugin"],
    },
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in (10, 11, 12, 13)),
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
)
