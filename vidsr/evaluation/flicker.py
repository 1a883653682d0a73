"""Flicker: what changes from frame to frame in an enlarged video and does not in its reference.

Three measures of a pair of neighbouring frames; lower is steadier for all of them.

temporal        mean |(d_t - d_{t-1}) - (r_t - r_{t-1})|, in luma codes: how much of the change is not
                the reference's. Needs no flow; sees blur of moving things as well as flicker.
warping error   mean (d_{t-1} - W(d_t))^2 with luma in [0, 1] and W the fetch along the reference's flow,
                over what the flow can follow: W.-S. Lai et al., "Learning Blind Video Temporal
                Consistency", ECCV 2018 (arXiv:1808.00449). The reference's own is given
                beside it: flow is never perfect, and a blurred video is below a sharp one.
tOF             mean |u_d - u_r| + |v_d - v_r|, in pixels: how far the motion seen in the video is from
                the reference's: M. Chu et al., "Learning Temporal Coherence via Self-Supervision for
                GAN-based Video Generation" (TecoGAN), ACM TOG 39(4), 2020 (arXiv:1811.09393).

The flow is that of `vidsr.evaluation.flow`, not the papers' (FlowNet2, Farneback), so numbers compare
with each other and not with published ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vidsr.evaluation.flow import estimate_flow, visible, warp

LEAST_FOLLOWED = 1 / 3
"""Share of the picture that the flow must follow; below it the pair is taken for a cut."""


@dataclass(frozen=True)
class FlickerStep:
    """The measures of one pair of neighbouring frames; None where the flow cannot follow (a cut)."""

    temporal: float  # luma codes, 0..255
    warping: float | None  # squared luma, luma in [0, 1]
    warping_reference: float | None  # the same of the reference itself
    tof: float | None  # pixels
    followed: float  # share of the picture that the reference's flow follows, 0 to 1


def temporal_change(
    reference: tuple[Tensor, Tensor], distorted: tuple[Tensor, Tensor], *, border: int = 0
) -> float:
    """The first measure alone, in luma codes; arguments as of `flicker_step`, which is far slower."""
    (r0, r1), (d0, d1) = reference, distorted
    inner = (..., slice(border, r0.shape[-2] - border), slice(border, r0.shape[-1] - border))
    return float(((d1 - d0) - (r1 - r0))[inner].abs().mean())


def flicker_step(
    reference: tuple[Tensor, Tensor], distorted: tuple[Tensor, Tensor], *, border: int = 0
) -> FlickerStep:
    """Measure one pair: each side a frame and the next, (1, 1, H, W) float luma on the scale 0..255.

    `border` pixels on each side take part in finding the flow but not in the measures.
    """
    r0, r1 = reference
    d0, d1 = distorted
    inner = (..., slice(border, r0.shape[-2] - border), slice(border, r0.shape[-1] - border))
    temporal = temporal_change(reference, distorted, border=border)
    forward = estimate_flow(r0, r1)
    mask = visible(forward, estimate_flow(r1, r0))[inner]
    followed = float(mask.float().mean())
    if followed < LEAST_FOLLOWED:
        return FlickerStep(temporal, None, None, None, followed)

    def warping(first: Tensor, second: Tensor) -> float:
        error = ((first - warp(second, forward)) / 255)[inner].square()
        return float(error[mask].mean())

    motion = (estimate_flow(d0, d1) - forward)[inner].abs().sum(dim=1).mean()
    return FlickerStep(temporal, warping(d0, d1), warping(r0, r1), float(motion), followed)
