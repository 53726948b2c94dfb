"""Relevance rules: how the relevance of an operation's output is shared among its inputs."""

from __future__ import annotations

import re
from typing import Any

from kerasexplain.foundation.errors import nearest
from kerasexplain.rules.absolute import ZB, Flat, PassThrough, WSquare
from kerasexplain.rules.elementwise import (
    ElementwiseRule,
    GradientRule,
    GuidedReLU,
    Ignore,
    OnRelevance,
    Repeat,
    Slope,
    SoftplusSlope,
)
from kerasexplain.rules.linear import (
    AlphaBeta,
    BiasAsInput,
    Epsilon,
    Gamma,
    LinearRule,
    Pattern,
    Z,
    ZPlus,
    ZPlusFast,
    with_stabilizer,
)
from kerasexplain.rules.maximum import MaximumRule, Radial, ReluChain, SoftmaxLimit, WinnerTakesAll
from kerasexplain.rules.multipliers import BaselineRule, BaselineSlope, MeanGradient, RevealCancel
from kerasexplain.rules.products import CPLRP, DetachStatistics, Halve, ProductRule, SignalTakesAll
from kerasexplain.rules.rule import Rule
from kerasexplain.rules.stabilizer import Relative

_NAMED: dict[str, Any] = {
    rule.__name__: rule
    for rule in (
        *(AlphaBeta, BiasAsInput, Epsilon, Flat, Gamma, PassThrough, WSquare, Z, ZPlus, ZPlusFast),
        *(Ignore, Slope, GradientRule, Repeat),
        *(WinnerTakesAll, Radial, SoftmaxLimit, ReluChain),
        *(Halve, SignalTakesAll, CPLRP, DetachStatistics),
    )
}
_NAMED |= {"ZIB": lambda: Z(bias=False), "EpsilonIB": lambda: Epsilon(bias=False)}


def get(rule: Any) -> Rule:
    """A rule from itself, its class or its name.

    Args:
        rule: A `Rule`, such as `Epsilon(0.1)`; a rule class whose arguments all have defaults; or a name: "Z",
            "Epsilon", "ZPlus", "Flat", "WSquare", "Gamma", "BiasAsInput", "Alpha2Beta1", "Alpha1Beta0IB" (or
            "Alpha1Beta0IgnoreBias"), ...

    Raises:
        ValueError: The name is not known.
        TypeError: It is none of these.

    Example:
        >>> rules.get("Alpha2Beta1")
        AlphaBeta()
    """
    if isinstance(rule, Rule):
        return rule
    if isinstance(rule, type) and issubclass(rule, Rule):
        return rule()
    if not isinstance(rule, str):
        raise TypeError(f"a rule must be a Rule, a rule class or a name, got {rule!r}")
    rule = rule.replace("IgnoreBias", "IB")
    pair = re.fullmatch(r"Alpha(\d+)Beta(\d+)(IB)?", rule)
    if pair:
        return AlphaBeta(float(pair[1]), float(pair[2]), bias=not pair[3])
    if rule == "ZB":
        raise ValueError("the rule 'ZB' needs the bounds of its input: pass ZB(low, high)")
    if rule not in _NAMED:
        raise ValueError(f"there is no rule {rule!r}.{nearest(rule, {*_NAMED, 'Alpha1Beta0', 'Alpha2Beta1'})}")
    return _NAMED[rule]()


__all__ = [
    "CPLRP",
    "ZB",
    "AlphaBeta",
    "BaselineRule",
    "BaselineSlope",
    "BiasAsInput",
    "DetachStatistics",
    "ElementwiseRule",
    "Epsilon",
    "Flat",
    "Gamma",
    "GradientRule",
    "GuidedReLU",
    "Halve",
    "Ignore",
    "LinearRule",
    "MaximumRule",
    "MeanGradient",
    "OnRelevance",
    "PassThrough",
    "Pattern",
    "ProductRule",
    "Radial",
    "Relative",
    "ReluChain",
    "Repeat",
    "RevealCancel",
    "Rule",
    "SignalTakesAll",
    "Slope",
    "SoftmaxLimit",
    "SoftplusSlope",
    "WSquare",
    "WinnerTakesAll",
    "Z",
    "ZPlus",
    "ZPlusFast",
    "get",
    "with_stabilizer",
]


def __dir__() -> list[str]:
    return [*__all__]
