"""What a network is called wherever people read it: one wording for every summary, table and page."""

from __future__ import annotations


def network_name(model: str, detail: float | None = None, scale: int | None = None) -> str:
    """`srgan-lite x4`, or `srgan-lite x4, detail 0.75` of a model with two sets of weights.

    `scale` None leaves the factor out: where it is told beside the name, or is the same for all.
    """
    name = model if scale is None else f"{model} x{scale}"
    return name if detail is None else f"{name}, detail {detail:g}"
