"""VGG16 and ResNet50 of `keras.applications` in PyTorch, layer for layer, with the weights of the Keras model.

torchvision's ResNet50 is another network: its strides are in the 3x3 convolutions, Keras' in the 1x1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

Tensors = Mapping[str, torch.Tensor]

#: Convolutions of each block of VGG16, and how many blocks each stack of ResNet50 has.
VGG16_BLOCKS = (2, 2, 3, 3, 3)
RESNET50_BLOCKS = (3, 4, 6, 3)


def in_layout_of_torch(arrays: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The weights with channels first: `(out, in, height, width)` and `(out, in)`."""
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    for name, tensor in tensors.items():
        if tensor.ndim == 4:
            tensors[name] = tensor.permute(3, 2, 0, 1).contiguous()
        elif tensor.ndim == 2:
            tensors[name] = tensor.T.contiguous()
    return tensors


def frozen(module: nn.Module) -> nn.Module:
    """The module as it is for inference: no gradient of a parameter is ever wanted."""
    return module.eval().requires_grad_(False)


def convolution(tensors: Tensors, name: str, stride: int = 1, padding: int = 0) -> nn.Conv2d:
    weight = tensors[f"{name}/0"]
    layer = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2:], stride, padding, device="meta")
    layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(tensors[f"{name}/1"])
    return layer


def dense(tensors: Tensors, name: str, channels: int | None = None) -> nn.Linear:
    """A Linear; with `channels`, behind a flattened image, whose pixels Keras puts before the channels."""
    weight = tensors[f"{name}/0"]
    if channels is not None:
        weight = weight.reshape(len(weight), -1, channels).transpose(1, 2).reshape(len(weight), -1)
    layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(tensors[f"{name}/1"])
    return layer


def normalized(tensors: Tensors, name: str, folded: bool, **options: int) -> list[nn.Module]:
    """The convolution and BatchNormalization of that name; with `folded`, as one convolution."""
    layer = convolution(tensors, f"{name}_conv", **options)
    gamma, beta, mean, variance = (tensors[f"{name}_bn/{position}"] for position in range(4))
    eps = 1.001e-5  # as in keras.applications
    if folded:
        scale = gamma / torch.sqrt(variance + eps)
        layer.weight = nn.Parameter(layer.weight * scale[:, None, None, None])
        layer.bias = nn.Parameter((layer.bias - mean) * scale + beta)
        return [layer]
    normalization = nn.BatchNorm2d(len(gamma), eps, device="meta")
    normalization.weight, normalization.bias = nn.Parameter(gamma.clone()), nn.Parameter(beta.clone())
    normalization.running_mean, normalization.running_var = mean.clone(), variance.clone()
    return [layer, normalization]


class VGG16(nn.Module):
    def __init__(self, tensors: Tensors) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for block, convolutions in enumerate(VGG16_BLOCKS, start=1):
            for position in range(1, convolutions + 1):
                layers += [convolution(tensors, f"block{block}_conv{position}", padding=1), nn.ReLU()]
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            dense(tensors, "fc1", channels=512),
            nn.ReLU(),
            dense(tensors, "fc2"),
            nn.ReLU(),
            dense(tensors, "predictions"),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(torch.flatten(self.features(x), 1))


class Bottleneck(nn.Module):
    def __init__(self, tensors: Tensors, name: str, stride: int, folded: bool, add: nn.Module) -> None:
        super().__init__()
        self.main = nn.Sequential(
            *normalized(tensors, f"{name}_1", folded, stride=stride),
            nn.ReLU(),
            *normalized(tensors, f"{name}_2", folded, padding=1),
            nn.ReLU(),
            *normalized(tensors, f"{name}_3", folded),
        )
        projects = f"{name}_0_conv/0" in tensors
        self.shortcut = nn.Sequential(*normalized(tensors, f"{name}_0", folded, stride=stride)) if projects else None
        self.add, self.relu = add, nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.add(x if self.shortcut is None else self.shortcut(x), self.main(x)))


class ResNet50(nn.Module):
    """ResNet50.

    Args:
        tensors: Its weights.
        folded: Whether BatchNormalization is folded into the convolutions.
        add: Makes the module that adds, `(a, b) -> a + b`, of which libraries have their own.
    """

    def __init__(self, tensors: Tensors, folded: bool, add: Callable[[], nn.Module]) -> None:
        super().__init__()
        layers = [*normalized(tensors, "conv1", folded, stride=2, padding=3), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
        for stack, blocks in enumerate(RESNET50_BLOCKS, start=2):
            for block in range(1, blocks + 1):
                stride = 2 if block == 1 and stack > 2 else 1
                layers.append(Bottleneck(tensors, f"conv{stack}_block{block}", stride, folded, add()))
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1))
        self.classifier = dense(tensors, "predictions")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(torch.flatten(self.features(x), 1))
