"""The processes of one training: who this one is, from torchrun's environment.

A single process is a world of one, in which every operation here does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from vidsr.errors import UsageError

if TYPE_CHECKING:
    import torch

PATIENCE = timedelta(hours=24)
"""How long a process waits for the others: one of them fills the data cache, which can take hours."""


@dataclass(frozen=True)
class World:
    """How many processes train together, and which of them this is."""

    rank: int = 0  # among all processes
    size: int = 1
    local_rank: int = 0  # among those of this machine: the index of its GPU

    def __post_init__(self) -> None:
        if self.size < 1 or not 0 <= self.rank < self.size or self.local_rank < 0:
            raise UsageError(
                f"RANK {self.rank} of WORLD_SIZE {self.size} makes no sense: start with torchrun"
            )

    @classmethod
    def from_environment(cls) -> World:
        """Read RANK, WORLD_SIZE and LOCAL_RANK as torchrun sets them; without them, a world of one."""
        try:
            return cls(
                rank=int(os.environ.get("RANK", "0")),
                size=int(os.environ.get("WORLD_SIZE", "1")),
                local_rank=int(os.environ.get("LOCAL_RANK", "0")),
            )
        except ValueError as error:
            raise UsageError(f"RANK, WORLD_SIZE and LOCAL_RANK must be numbers: {error}") from error

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes files and reports."""
        return self.rank == 0

    @contextmanager
    def joined(self, device: torch.device) -> Iterator[World]:
        """Join the other processes for the length of a block: NCCL between GPUs, gloo between CPUs."""
        if self.size == 1:
            yield self
            return
        from torch import distributed

        backend = "nccl" if device.type == "cuda" else "gloo"
        distributed.init_process_group(backend, rank=self.rank, world_size=self.size, timeout=PATIENCE)
        try:
            yield self
        finally:
            distributed.destroy_process_group()

    def wait(self) -> None:
        """Return once every process is here."""
        if self.size > 1:
            from torch import distributed

            distributed.barrier()

    def agree(self, value: float, device: torch.device) -> float:
        """The leading process's value, in every process."""
        if self.size == 1:
            return value
        import torch
        from torch import distributed

        shared = torch.tensor([value], dtype=torch.float64, device=device)
        distributed.broadcast(shared, src=0)
        return float(shared.item())

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether the flag is set in at least one process."""
        if self.size == 1:
            return flag
        import torch
        from torch import distributed

        shared = torch.tensor([float(flag)], device=device)
        distributed.all_reduce(shared, op=distributed.ReduceOp.MAX)
        return bool(shared.item() > 0)
