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

    `open_variant` raises, with its reason, where a variant cannot be had or computes something else. On
    a card each is let go before the next is opened: a recorded one holds the memory of a whole call. On
    a processor, which others use too, they take turns, so that a busy moment disturbs all of them.
    """
    times: dict[Variant, float] = {}
    refused: dict[Variant, str] = {}
    turns: dict[Variant, Run] = {}
    for variant in variants:
        try:
            if lr.device.type == "cpu":
                turns[variant] = _warmed(open_variant, variant, lr)
            else:
                _repeat({variant: _warmed(open_variant, variant, lr)}, lr, times)
        except (torch.OutOfMemoryError, OutOfMemory):
            refused[variant] = "does not fit into memory"
        except Exception as error:  # compilers raise what they like, and a trial must not end a run
            refused[variant] = str(error).splitlines()[0] if str(error) else type(error).__name__
    _repeat(turns, lr, times)
    return Trial({variant: 1000 * seconds for variant, seconds in times.items()}, refused)


def _warmed(open_variant: Callable[[Variant], Run], variant: Variant, lr: Tensor) -> Run:
    run = open_variant(variant)
    run(lr)  # the first call still allocates, or compiles
    return run


def _repeat(turns: Mapping[Variant, Run], lr: Tensor, times: dict[Variant, float]) -> None:
    """Call all in turn, TRIAL_S for each and once at least, and keep the least time of each."""
    end = time.perf_counter() + TRIAL_S * len(turns)
    while turns:
        for variant, run in turns.items():
            times[variant] = min(times.get(variant, float("inf")), call_s(run, lr))
        if time.perf_counter() >= end:
            break


def call_s(run: Run, lr: Tensor) -> float:
    """Seconds of a call: of the clock on a card, of processor time, over all cores, on a processor.

    Wall time there would tell more of what else the machine does than of the call.
    """
    if lr.device.type == "cpu":
        began = time.process_time()
        run(lr)
        return time.process_time() - began
    began = time.perf_counter()
    for _ in range(AT_ONCE):
        run(lr)
    torch.cuda.synchronize(lr.device)
    return (time.perf_counter() - began) / AT_ONCE


def fastest(times: Mapping[NameT, float]) -> NameT | None:
    """The first name within TIE of the least time; None where there is none."""
    limit = (1 + TIE) * min(times.values(), default=0.0)
    return next((name for name, time_taken in times.items() if time_taken <= limit), None)
