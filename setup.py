"""What of the installation depends on the source: packages and entry points. The rest is in `pyproject.toml`.

`kerasexplain.analyzers` is the folder `analyzers/` at the top.
"""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent

METHODS = {
    "controls": ["Input", "Edges", "Random"],
    "gradient": ["Gradient", "GradientBaseline", "InputTimesGradient", "Sensitivity", "SmoothGrad"],
    "signals": ["Deconvnet", "GuidedBackprop", "BetaSmooth"],
    "baseline": ["IntegratedGradients", "DeepLift", "Baseline"],
    "expected_gradients": ["ExpectedGradients"],
    "patterns": ["PatternNet", "PatternAttribution"],
    "occlusion": ["Occlusion"],
    "grad_cam": ["GradCAM", "GradCAMPlusPlus", "LayerCAM"],
    "algebra": ["Algebra"],
    "crp": ["ConceptRelevance"],
    "lrp": ["LRP"],
    "one_rule": [
        *("ZMethod", "ZIgnoreBias", "EpsilonMethod", "EpsilonIgnoreBias", "WSquareMethod", "FlatMethod"),
        *("GammaMethod", "AlphaBetaMethod", "Alpha2Beta1", "Alpha2Beta1IgnoreBias", "Alpha1Beta0"),
        *("Alpha1Beta0IgnoreBias", "ZPlusMethod", "ZPlusFastMethod", "BiasAsInputMethod"),
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
    packages=[*find_packages(include=["kerasexplain", "kerasexplain.*"]), "kerasexplain.analyzers"],
    package_dir={"kerasexplain.analyzers": "analyzers"},
    entry_points={
        "console_scripts": ["kerasexplain = kerasexplain.cli:main"],
        "kerasexplain.analyzers": entry_points(),
        "tensorboard_plugins": ["relevance = kerasexplain.tensorboard.plugin:RelevancePlugin"],
    },
)
