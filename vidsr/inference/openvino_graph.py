"""A generator as an OpenVINO graph, written from its tensors: pixels in, pixels out, nothing traced.

OpenVINO's own converter traces the PyTorch module, which takes seconds of every start. The same graph
written from the generator's configuration is there in milliseconds, and because every node of it is made
here, 8-bit arithmetic goes exactly where it is wanted.

Importing OpenVINO reports usage by default: it writes an identifier into the user's home and sends to
Google Analytics without having asked (openvino/tools/ovc/telemetry_utils.py of release 2026.4 passes
`enable_opt_in_dialog=False`). vidsr hides the sending package before that import, so that OpenVINO takes
its own empty stand-in, for the whole process; nothing is written and nothing sent. Hidden for the import
alone is the converter of other frameworks' models, which would be a third of its time.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vidsr.arrays import DType
from vidsr.inference.calibration import LEVELS, grid
from vidsr.inference.sub_pixels import before_shuffle
from vidsr.models.generator_config import LEAKY_SLOPE, GeneratorConfig

if "openvino" not in sys.modules:
    # None in this table makes the import fail as if the package were not installed.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    sys.modules["openvino.tools.ovc"] = None  # type: ignore[assignment]

import openvino

if sys.modules.get("openvino.tools.ovc", ...) is None:
    del sys.modules["openvino.tools.ovc"]
from openvino import Model, Node
from openvino import opset13 as ops

Ranges: TypeAlias = Mapping[str, tuple[float, float]]
"""Least and greatest value of what goes into a convolution, by the convolution's name."""

Tensors: TypeAlias = Mapping[str, NDArray[np.float32]]
"""Those of a generator, by name."""

VERSION: str = openvino.__version__

_FILTER_LEVELS = 255  # symmetric: -127 to 127, as the multiply-add instructions want it


def build_graph(
    config: GeneratorConfig, tensors: Tensors, dtype: DType, ranges: Ranges | None = None
) -> Model:
    """The graph from (N, h, w, 3) RGB to the cells of its enlargement, every side of it dynamic.

    What comes out is (N, f*h, f*w, 3 * (scale/f)**2): all is done but the last PixelShuffle, which is
    for `shuffle.spread` and whose factor `last_shuffle` tells. uint8 in and out where `dtype` says so,
    rounded to the nearest level with halves to even as PyTorch rounds; else fp32 in [0, 1], clamped,
    with no 8-bit step at either end. `tensors` are the generator's, batch norm folded (see
    `load_tensors`). The convolutions named in `ranges` are computed in 8 bits: their filters with a
    scale for each output channel, their input with one affine map that holds zero exactly (the
    padding). All sums, the skip connections and the input that is added at the end stay fp32.
    """
    layers = _Layers(config, tensors, ranges or {})
    bytes_in = dtype == "uint8"
    pixels = ops.parameter([-1, -1, -1, 3], np.uint8 if bytes_in else np.float32, name="lr")
    lr = ops.transpose(pixels, _integers(0, 3, 1, 2))
    if bytes_in:
        lr = ops.multiply(ops.convert(lr, "f32"), np.float32(1 / 255))
    deep = _body(layers, layers.activation(layers.convolution(lr, "head"), "head_act"))
    if layers.config.upsampler == "staged":
        # Clamped and rounded where the values still are in the layout of the convolution.
        cells = ops.transpose(_finish(_staged(layers, deep, lr), bytes_in), _integers(0, 2, 3, 1))
    else:
        cells = _single(layers, deep, lr, bytes_in)
    return Model([cells], [pixels], "vidsr")


def last_shuffle(config: GeneratorConfig) -> int:
    """Factor of the PixelShuffle that is left to do behind the graph."""
    return config.scale if config.upsampler == "single" else 2


class _Layers:
    """The nodes of a generator's layers, by the layers' names."""

    def __init__(self, config: GeneratorConfig, tensors: Tensors, ranges: Ranges) -> None:
        self.config = config
        self._ranges = ranges
        self._tensors = dict(tensors)
        if self.config.upsampler == "staged":
            tail = before_shuffle(tensors["tail.weight"], tensors["tail.bias"], 2)
            self._tensors["tail.weight"], self._tensors["tail.bias"] = tail

    def convolution(self, data: Node, name: str) -> Node:
        """A convolution that keeps the size."""
        weight, bias = self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"]
        filters = ops.constant(weight)
        if name in self._ranges:
            data = _rounded(data, *self._ranges[name])
            greatest = np.abs(weight).max(axis=(1, 2, 3), keepdims=True)
            # A channel of zeros has no scale of its own; any serves.
            greatest = np.where(greatest > 0, greatest, np.float32(1))
            bounds = ops.constant(-greatest), ops.constant(greatest)
            filters = ops.fake_quantize(filters, *bounds, *bounds, _FILTER_LEVELS)
        pad = [side // 2 for side in weight.shape[2:]]
        sums = ops.convolution(data, filters, [1, 1], pad, pad, [1, 1])
        return ops.add(sums, ops.constant(bias.reshape(1, -1, 1, 1)))

    def activation(self, data: Node, name: str, copies: int = 1) -> Node:
        """The activation of the configured kind, with the learned slopes of layer `name`.

        Before a shuffle each channel stands `copies` times, and so must its slope.
        """
        if self.config.activation == "relu":
            return ops.relu(data)
        if self.config.activation == "leaky_relu":
            return ops.prelu(data, ops.constant(np.array([LEAKY_SLOPE], np.float32)))
        slopes = self._tensors[f"{name}.weight"]
        return ops.prelu(data, ops.constant(slopes.repeat(copies) if len(slopes) > 1 else slopes))


def _body(layers: _Layers, shallow: Node) -> Node:
    deep = shallow
    if layers.config.body == "plain":
        for block in range(layers.config.blocks):
            deep = layers.convolution(deep, f"body.{3 * block}")
            deep = layers.activation(deep, f"body.{3 * block + 2}")
        return deep
    for block in range(layers.config.blocks):
        name = f"body.{block}"
        inner = layers.activation(layers.convolution(deep, f"{name}.conv1"), f"{name}.act")
        deep = ops.add(deep, layers.convolution(inner, f"{name}.conv2"))
    return ops.add(shallow, layers.convolution(deep, "body_conv"))


def _staged(layers: _Layers, deep: Node, lr: Node) -> Node:
    """Stages of x2 and the tail, (N, 12, scale/2*h, scale/2*w); all but the last shuffle before it.

    At high resolution the tail has three output channels for sixteen lanes, and is the slowest layer of
    the paper's network. Its equal before the last shuffle has twelve and makes the two stages and the
    tail of 64 channels 1.7 times faster, in fp32 and in 8 bits.
    """
    for stage in range(layers.config.stages):
        if stage > 0:
            deep = _shuffle(deep, 2)
        wide = layers.convolution(deep, f"upsample.{3 * stage}")
        deep = layers.activation(wide, f"upsample.{3 * stage + 2}", copies=4)
    sr = layers.convolution(deep, "tail")
    if layers.config.input_skip:
        if layers.config.scale == 4:
            lr = ops.depth_to_space(ops.concat([lr] * 4, 1), "blocks_first", 2)
        sr = ops.add(sr, _copies(lr, 4))
    if layers.config.output == "tanh":
        sr = ops.multiply(ops.add(ops.tanh(sr), np.float32(1)), np.float32(0.5))
    return sr


def _single(layers: _Layers, deep: Node, lr: Node, bytes_out: bool) -> Node:
    """The tail and what follows it, (N, h, w, 3 * scale**2), finished.

    An input that is added is added to all values of its colour in the pass that clamps and rounds them:
    as the sum of a convolution it would be written out and read once more, 22 MB for 320x180 by four.
    """
    times = layers.config.scale**2
    sr = ops.transpose(layers.convolution(deep, "tail"), _integers(0, 2, 3, 1))
    if layers.config.input_skip:
        # A 0 keeps a side of the input, whatever it is.
        lr = ops.reshape(ops.transpose(lr, _integers(0, 2, 3, 1)), _integers(0, 0, 0, 3, 1), True)
        sr = ops.add(ops.reshape(sr, _integers(0, 0, 0, 3, times), True), lr)
    return ops.reshape(_finish(sr, bytes_out), _integers(0, 0, 0, 3 * times), True)


def _copies(lr: Node, times: int) -> Node:
    """Each channel of `lr` so many times; as a convolution it joins the one before."""
    which = np.eye(3, dtype=np.float32).repeat(times, axis=0)
    filters = ops.constant(which[:, :, None, None])
    return ops.convolution(lr, filters, [1, 1], [0, 0], [0, 0], [1, 1])


def _shuffle(data: Node, factor: int) -> Node:
    """PixelShuffle; OpenVINO's "depth_first" has the channels in PyTorch's order."""
    return ops.depth_to_space(data, "depth_first", factor)


def _finish(sr: Node, bytes_out: bool) -> Node:
    if not bytes_out:
        return ops.clamp(sr, 0.0, 1.0)
    levels = ops.clamp(ops.multiply(sr, np.float32(255)), 0.0, 255.0)
    return ops.convert(ops.round(levels, "half_to_even"), "u8")


def _rounded(data: Node, low: float, high: float) -> Node:
    """`data` clamped to a range and rounded to its 8-bit levels."""
    step, zero = grid(low, high)
    bounds = (
        ops.constant(np.float32(-zero * step)),
        ops.constant(np.float32((LEVELS - 1 - zero) * step)),
    )
    return ops.fake_quantize(data, *bounds, *bounds, LEVELS)


def _integers(*values: int) -> Node:
    return ops.constant(np.array(values, np.int64))
