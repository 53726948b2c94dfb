"""The cost of training on relevance by zennit: a step of a ResNet50, whose relevance autograd differentiates.

    python -m benchmarks.workers.zennit_training       # in an environment with torch and zennit; Keras is not needed

Network, sizes and loss are those of `benchmarks.relevance_training`; composites run with `create_graph=True`. zennit's
canonizer merges BatchNormalization at every step, as the weights change, and derivatives by what it merges are lost: it
is what a step costs, and not a training that is right.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks.machine import described, peak
from benchmarks.timing import in_turns, ratio, seconds
from benchmarks.workers.torch_libraries import stand_in_for_torchvision

BATCH, SIZE, ROUNDS = 8, 128, 5


def normalized(channels: int, out: int, size: int, stride: int = 1, relu: bool = True) -> nn.Sequential:
    """A convolution, its normalisation, and perhaps a ReLU."""
    layers = [nn.Conv2d(channels, out, size, stride, size // 2), nn.BatchNorm2d(out)]
    return nn.Sequential(*layers, *([nn.ReLU()] if relu else []))


class Block(nn.Module):
    """A block of a ResNet50, whose sum is a module that zennit knows."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        from zennit.layer import Sum

        self.path = nn.Sequential(
            normalized(channels, width, 1, stride),
            normalized(width, width, 3),
            normalized(width, 4 * width, 1, relu=False),
        )
        same = channels == 4 * width and stride == 1
        self.shortcut = nn.Identity() if same else normalized(channels, 4 * width, 1, stride, relu=False)
        self.sum, self.relu = Sum(), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.sum(torch.stack([self.path(x), self.shortcut(x)], dim=-1)))


def resnet50() -> nn.Sequential:
    """A ResNet50 for ten classes, with random weights."""
    layers: list[nn.Module] = [normalized(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(count):
            layers.append(Block(channels, width, 1 if i else stride))
            channels = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def ways() -> dict[str, Callable[[], Any]]:
    """A step of training in each way, all of one network."""
    stand_in_for_torchvision()
    from zennit import composites, rules, types
    from zennit.attribution import Gradient
    from zennit.canonizers import SequentialMergeBatchNorm
    from zennit.layer import Sum

    torch.manual_seed(0)
    network, x, y = resnet50(), torch.rand(BATCH, 3, SIZE, SIZE), torch.randint(0, 10, (BATCH,))
    mask, label = torch.zeros(BATCH, 1, SIZE, SIZE), torch.eye(10)[y]
    mask[:, :, : SIZE // 2] = 1
    optimizer = torch.optim.SGD(network.parameters(), 1e-4)

    def step(judge: Callable[[], torch.Tensor] | None) -> Callable[[], None]:
        def once() -> None:
            network.train()
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x), y).backward()
            if judge is not None:
                network.eval()
                judge()
            optimizer.step()

        return once

    def by_hand() -> None:
        at = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad((network(at) * label).sum(), at, create_graph=True)
        (gradient * (1 - mask)).square().sum((1, 2, 3)).mean().backward()

    def by_rules(convolutions: Any) -> Callable[[], None]:
        dense = [(types.Convolution, convolutions), (types.Linear, rules.Epsilon(1e-6))]
        shared = [(types.AvgPool, rules.Norm()), (Sum, rules.Norm()), *composites.layer_map_base(1e-6)]
        composite = composites.LayerMapComposite([*shared, *dense], canonizers=[SequentialMergeBatchNorm()])

        def judge() -> None:
            with Gradient(network, composite, create_graph=True, retain_graph=True) as attributor:
                size = attributor(x.clone().requires_grad_(), lambda y: y * label)[1].abs()
                ((size * (1 - mask)).sum((1, 2, 3)) / size.sum((1, 2, 3))).mean().backward()

        return judge

    return {
        "plain": step(None),
        "by hand": step(by_hand),
        "epsilon": step(by_rules(rules.Epsilon(1e-6))),
        "epsilon_plus": step(by_rules(rules.ZPlus(1e-6))),
    }


def main() -> None:
    steps = ways()
    if len(sys.argv) > 1:
        before = peak()
        steps[sys.argv[1]]()
        steps[sys.argv[1]]()
        print(peak() - before)
        return
    print(described())
    for once in steps.values():
        once()
    times = in_turns({way: (lambda once=once: seconds(once)) for way, once in steps.items()}, ROUNDS)
    told = [sys.executable, "-m", "benchmarks.workers.zennit_training"]
    memory = {way: float(subprocess.check_output([*told, way], text=True).split()[-1]) for way in steps}
    for way in steps:
        in_time, in_memory = ratio(times[way], times["plain"]), memory[way] / memory["plain"]
        print(f"{way:14} {statistics.median(times[way]):6.2f} s {in_time:5.2f} {memory[way]:7.0f} MiB {in_memory:5.2f}")


if __name__ == "__main__":
    main()
