"""zennit and captum, used as their documentation says.

Each method is also measured at its best: BatchNormalization is folded into the convolutions beforehand, and of the two
orders of axes in memory the one is taken that is faster for the method. What zennit's canonizer leaves of
BatchNormalization, `1 / sqrt(1 + eps)`, and captum's rule for it make relevance that is not ours; this way it is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import sys
import types
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.timing import seconds
from benchmarks.workers.protocol import EPSILON, TARGET, Loaded, Run, Settings, serve
from benchmarks.workers.torch_networks import VGG16, ResNet50, frozen, in_layout_of_torch

#: What the names of methods at their best end in.
AT_BEST = ", at its best"
#: What times are units of: no library has a part in it.
PASSES = ("forward", "gradient")

Attribute = Callable[[torch.Tensor], torch.Tensor]


class ByZennit:
    """Rules are hooks; sums are modules of its own; canonizers merge BatchNormalization before the hooks are there."""

    methods = ("epsilon", "epsilon_plus_flat", "epsilon_alpha2_beta1", "epsilon_alpha2_beta1_flat")

    def __init__(self) -> None:
        stand_in_for_torchvision()

    @staticmethod
    def add() -> nn.Module:
        from zennit.layer import Sum

        class Stacked(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.sum = Sum()

            def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
                return self.sum(torch.stack([a, b], dim=-1))

        return Stacked()

    @staticmethod
    def _composite(method: str) -> Any:
        from zennit import composites, rules
        from zennit import types as kinds
        from zennit.canonizers import SequentialMergeBatchNorm
        from zennit.layer import Sum

        # Sums and means are shared out exactly, as in kerasexplain: stabilized, they are by 1e-4 something else.
        exact = [(kind, rules.Norm(stabilizer=1e-14)) for kind in (kinds.AvgPool, Sum)]
        options = {"layer_map": exact, "canonizers": [SequentialMergeBatchNorm()]}
        if method == "epsilon_plus_flat":
            return composites.EpsilonPlusFlat(EPSILON, EPSILON, **options)
        if method == "epsilon_alpha2_beta1_flat":
            return composites.EpsilonAlpha2Beta1Flat(EPSILON, EPSILON, **options)
        own = [(kinds.Linear, rules.Epsilon(EPSILON))]
        if method == "epsilon_alpha2_beta1":
            own.insert(0, (kinds.Convolution, rules.AlphaBeta(2, 1, stabilizer=EPSILON)))
        options["layer_map"] = [*exact, *composites.layer_map_base(EPSILON), *own]
        return composites.LayerMapComposite(**options)

    @contextlib.contextmanager
    def attributing(self, model: nn.Module, method: str) -> Iterator[Attribute]:
        from zennit.attribution import Gradient

        def of_target(y: torch.Tensor) -> torch.Tensor:
            start = torch.zeros_like(y)
            start[:, TARGET] = y[:, TARGET]
            return start

        # The hooks stay from call to call: registering them is not what is measured.
        with Gradient(model, self._composite(method), of_target) as attributor:
            yield lambda x: attributor(x)[1]


class ByCaptum:
    """Rules are attributes of the layers, taken away after every call."""

    methods = ("epsilon",)

    @staticmethod
    def add() -> nn.Module:
        from captum.attr._utils.custom_modules import Addition_Module

        return Addition_Module()

    @contextlib.contextmanager
    def attributing(self, model: nn.Module, method: str) -> Iterator[Attribute]:
        from captum.attr import LRP
        from captum.attr._core.lrp import SUPPORTED_LAYERS_WITH_RULES
        from captum.attr._utils.lrp_rules import EpsilonRule

        layers = [layer for layer in model.modules() if type(layer) in SUPPORTED_LAYERS_WITH_RULES]
        has_kernel = [layer for layer in layers if isinstance(layer, (nn.Conv2d, nn.Linear))]
        lrp = LRP(model)

        def attribute(x: torch.Tensor) -> torch.Tensor:
            for layer in has_kernel:
                layer.rule = EpsilonRule(EPSILON)
            return lrp.attribute(x, target=TARGET).detach()

        yield attribute


@dataclasses.dataclass(frozen=True)
class Form:
    """One way to hold the same network: with BatchNormalization folded in or not, and which axis is last in memory."""

    folded: bool = False
    channels_last: bool = False


class Methods:
    """The methods of a library, on networks of their own that share the memory of the weights."""

    def __init__(self, settings: Settings, library: ByZennit | ByCaptum) -> None:
        self._settings, self._library = settings, library
        self._tensors = in_layout_of_torch(settings.arrays())
        self._x = torch.from_numpy(settings.sample()).permute(0, 3, 1, 2).contiguous()
        self._kept = contextlib.ExitStack()

    def as_documented(self, method: str) -> tuple[Run, str]:
        return self._prepared(method, Form(), self._kept), ""

    def at_best(self, method: str) -> tuple[Run, str]:
        """The method on the form of the network on which it is fastest."""
        found = {}
        for form in (Form(folded=True), Form(folded=True, channels_last=True)):
            with contextlib.ExitStack() as tried:
                run = self._prepared(method, form, tried)
                run()
                found[form] = min(seconds(run) for _ in range(3))
        best = min(found, key=found.__getitem__)
        return self._prepared(method, best, self._kept), "channels last" if best.channels_last else "channels first"

    def _prepared(self, method: str, form: Form, hooks: contextlib.ExitStack) -> Run:
        """The method on a network, whose hooks stay until the stack is closed."""
        memory = torch.channels_last if form.channels_last else torch.contiguous_format
        add = Plain if method in PASSES else self._library.add
        vgg = self._settings.network == "VGG16"
        model = frozen(VGG16(self._tensors) if vgg else ResNet50(self._tensors, form.folded, add))
        model, x = model.to(memory_format=memory), self._x.to(memory_format=memory)
        enter = {"forward": _forward, "gradient": _gradient}.get(method)
        attribute = enter(model) if enter else hooks.enter_context(self._library.attributing(model, method))

        def run() -> np.ndarray:
            y = attribute(x.detach().requires_grad_(method != "forward")).detach()
            return (y.permute(0, 2, 3, 1) if y.ndim == 4 else y).numpy()

        return run


def _forward(model: nn.Module) -> Attribute:
    return torch.no_grad()(model)


def _gradient(model: nn.Module) -> Attribute:
    return lambda x: torch.autograd.grad(model(x)[:, TARGET].sum(), x)[0]


class Plain(nn.Module):
    """A sum where no library watches."""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a + b


def load(settings: Settings) -> Loaded:
    torch.set_num_threads(settings.threads)
    library = ByZennit() if settings.library == "zennit" else ByCaptum()
    on_networks = Methods(settings, library)
    methods: dict[str, Callable[[], tuple[Run, str]]] = {}
    for method in (*PASSES, *library.methods):
        methods[method] = functools.partial(on_networks.as_documented, method)
        methods[method + AT_BEST] = functools.partial(on_networks.at_best, method)
    return Loaded({settings.library: version(settings.library), "torch": version("torch")}, methods)


def stand_in_for_torchvision() -> None:
    """zennit imports torchvision for two classes of networks that it never sees here.

    The import fails where torch was built for CPUs and torchvision, whose wheel on PyPI is one for GPUs, was not.
    """
    resnet = types.ModuleType("torchvision.models.resnet")
    for name in ("Bottleneck", "BasicBlock"):
        setattr(resnet, name, type(name, (), {}))
    for name in ("torchvision", "torchvision.models"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules[resnet.__name__] = resnet


if __name__ == "__main__":
    serve(load)
