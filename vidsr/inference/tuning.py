"""Which variant of the network is fastest here: tried out once, each first compared with the truth."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from vidsr.errors import OutOfMemory
from vidsr.inference.variants import Variant

Run = Callable[[Tensor], Tensor]
"""(N, h, w, 3) frames to (N, scale*h, scale*w, 3)."""

NameT = TypeVar("NameT")

TRIAL_S = 0.3
"""How long each variant is repeated once it is warm."""

AT_ONCE = 4
"""Calls queued on a card before it is waited for, as in a run, where the host is ahead of it."""

TIE = 0.03
"""Share of the least time within which an earlier variant is kept: less is noise."""


@dataclass(frozen=True)
class Trial:
    """What trying the variants gave."""

    times_ms: Mapping[Variant, float]  # of a call
    refused: Mapping[Variant, str]  # the reason in words


def try_out(
    variants: Iterable[Variant],
    open_variant: Callable[[Variant], Run],
    lr: Tensor,
) -> Trial:
    """Open each variant and time it on `lr`, (N, h, w, 3) on the device it runs on.

    `open_variant` raises, with its reason, where a variant cannot be had or computes something else.
    """
    times: dict[Variant, float] = {}
    refused: dict[Variant, str] = {}
    for variant in variants:
        try:
            run = open_variant(variant)
            times[variant] = 1000 * seconds_a_call(run, lr)
        except (torch.OutOfMemoryError, OutOfMemory):
            refused[variant] = "does not fit into memory"
        except Exception as error:  # compilers raise what they like, and a trial must not end a run
            refused[variant] = str(error).splitlines()[0] if str(error) else type(error).__name__
    return Trial(times, refused)


def fastest(times: Mapping[NameT, float]) -> NameT | None:
    """The first name within TIE of the least time; None where there is none."""
    limit = (1 + TIE) * min(times.values(), default=0.0)
    return next((name for name, time_taken in times.items() if time_taken <= limit), None)


def seconds_a_call(run: Run, lr: Tensor) -> float:
    """The least wall time of a call, over TRIAL_S; the first, which still allocates, is not counted."""
    cuda = lr.device.type == "cuda"
    calls = AT_ONCE if cuda else 1

    def once() -> float:
        began = time.perf_counter()
        for _ in range(calls):
            run(lr)
        if cuda:
            torch.cuda.synchronize(lr.device)
        return (time.perf_counter() - began) / calls

    once()
    end = time.perf_counter() + TRIAL_S
    least = once()
    while time.perf_counter() < end:
        least = min(least, once())
    return least
