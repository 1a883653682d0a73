"""TensorBoard, where its package is installed; nothing otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from torch import Tensor


class Board:
    """Scalars and pictures of one run, in a folder for `tensorboard --logdir`; a context manager."""

    def __init__(self, folder: Path, *, wanted: bool = True) -> None:
        self._writer: Any = None
        if wanted and find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add one point to each of the named curves."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def pictures(self, step: int, pictures: Sequence[Tensor]) -> None:
        """Add (H, W, 3) uint8 pictures."""
        if self._writer is not None:
            for number, picture in enumerate(pictures):
                self._writer.add_image(f"picture {number}", picture, step, dataformats="HWC")
