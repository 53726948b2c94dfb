"""The machine of a measurement, and the date."""

from __future__ import annotations

import os
import pathlib
import platform
import time


def processor() -> str:
    """The name of the processor."""
    lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def today() -> str:
    return time.strftime("%Y-%m-%d")


def described() -> str:
    """Date and machine, for the head of a report."""
    return f"{today()}, {processor()}, {cores()} cores, Python {platform.python_version()}"


def peak() -> float:
    """The most memory that this process has held, in MiB: `ru_maxrss` would be the parent's, if that has held more."""
    lines = pathlib.Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
