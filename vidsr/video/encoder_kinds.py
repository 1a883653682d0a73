"""What vidsr knows of FFmpeg's encoders: their scales, presets, habits and defaults.

The qualities are chosen to be visually transparent: at its size an enlarged frame has soft edges, so a
quantiser that is fine for camera video is generous here. Measured on a 320x180 film clip enlarged to
1280x720, with the presets below, on two cores: x264 CRF 16 gives 48.7 dB at 27 frames/s, x265 CRF 18
48.5 dB at 11, SVT-AV1 CRF 20 49.5 dB at 43, VP9 CRF 18 48.7 dB at 23. So the four numbers mean about the
same quality, and no encoder is as slow as the paper's network is on the same two cores. The numbers of
the encoders on cards (NVENC, QSV) were not measured. Such encoders need more bits for the same quality,
so none is ever chosen unless it is asked for by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from vidsr.errors import UsageError


@dataclass(frozen=True)
class EncoderKind:
    """What is known of an encoder before it is opened; the defaults know nothing."""

    quality: str | None = None  # the option that --crf sets
    best: float = 0  # the scale's ends
    worst: float = 0
    usual: float = 0  # visually transparent
    fractions: bool = False  # the scale has steps between whole numbers
    preset: str | None = None  # the option that --preset sets
    presets: tuple[str, ...] = ()  # its values; empty: the encoder checks them
    usual_preset: str = ""
    # For fast networks. At 1280x720, CPU ms a frame, quick against usual: x264 21 and 54, x265 93 and
    # 138, SVT-AV1 19 and 55, for 0.7 to 1.3 dB less at about the same size, from 46 dB on.
    quick_preset: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    takes_gop: bool = True  # False: every frame is a keyframe
    odd_sizes: bool = False  # takes sizes that are no multiple of the chroma's
    gray: bool = (
        False  # stores luma alone; most players show nothing then, and gray chroma costs nothing
    )
    alpha: bool = True  # players find the alpha that it stores
    formats: tuple[
        str, ...
    ] = ()  # FFmpeg's pixel formats that it stores as they are; empty: all it takes
    on_card: bool = False  # a part of a graphics card: most machines have none
    segment_format: str = "nut"  # FFmpeg's container for one segment

    def quality_value(self, encoder: str, asked: float | None) -> str:
        """The value of the option `quality`. Raises UsageError for one that is outside the scale."""
        value = self.usual if asked is None else asked
        if not self.best <= value <= self.worst:
            raise UsageError(
                f"--crf for {encoder} must be from {self.best:g} to {self.worst:g}, not {value:g}"
            )
        if not self.fractions and value != int(value):
            raise UsageError(f"--crf for {encoder} must be a whole number, not {value:g}")
        return f"{value:g}"

    def preset_value(self, encoder: str, asked: str | None, *, hurry: bool) -> str:
        """The value of the option `preset`. Raises UsageError, naming the choices, for another one."""
        if asked is not None and self.presets and asked not in self.presets:
            raise UsageError(
                f"--preset for {encoder} must be one of {', '.join(self.presets)}, not {asked}"
            )
        return asked or (hurry and self.quick_preset) or self.usual_preset


_X26X = EncoderKind(
    quality="crf",
    worst=51,
    fractions=True,
    preset="preset",
    presets=(
        *("ultrafast", "superfast", "veryfast", "faster", "fast"),
        *("medium", "slow", "slower", "veryslow", "placebo"),
    ),
    usual_preset="medium",
    quick_preset="veryfast",
    # x265 stores alpha as a second layer that hardly any decoder looks for; x264 takes none.
    alpha=False,
)

_NVENC = EncoderKind(
    quality="cq",
    best=1,
    worst=51,
    usual=19,
    fractions=True,
    preset="preset",
    presets=(
        "p1",
        "p2",
        "p3",
        "p4",
        "p5",
        "p6",
        "p7",
    ),  # fastest to best; the older names are deprecated
    usual_preset="p6",
    options={"rc": "vbr", "b": "0"},  # the quality alone decides, not FFmpeg's 2 Mbit/s
    alpha=False,
    # It takes more, and makes 4:2:0 of packed RGB and ten bits of sixteen (libavcodec/nvenc.c).
    formats=("yuv420p", "nv12", "p010le", "yuv444p", "yuv444p10msble", "gbrp", "gbrp10msble"),
    on_card=True,
)

_QSV = EncoderKind(
    quality="global_quality",
    best=1,
    worst=51,
    usual=18,
    preset="preset",
    usual_preset="slow",
    alpha=False,
    on_card=True,
)

_RAW_FORMATS = (
    *("yuv420p", "yuv422p", "yuv444p", "yuv440p", "yuv411p", "yuv410p"),
    *(f"yuv{digits}p{depth}le" for digits in (420, 422, 444) for depth in (9, 10, 12, 14, 16)),
    *("gray", *(f"gray{depth}le" for depth in (9, 10, 12, 14, 16))),
    *("gbrp", *(f"gbrp{depth}le" for depth in (9, 10, 12, 14, 16))),
    *("gbrap", *(f"gbrap{depth}le" for depth in (10, 12, 16))),
    *("yuva420p", "yuva422p", "yuva444p", "yuva444p10le", "yuva444p12le", "yuva444p16le"),
)
"""Planar formats that NUT has a four-character code for (libavformat/nut.c), so that it says which."""

KINDS: Mapping[str, EncoderKind] = {
    "libx264": replace(_X26X, usual=16),
    # x265 writes to the terminal by itself, past FFmpeg's log, and opens GOPs unless told not to.
    "libx265": replace(_X26X, usual=18, options={"x265-params": "log-level=error:open-gop=0"}),
    "libsvtav1": EncoderKind(
        quality="crf",
        best=1,
        worst=63,
        usual=20,
        preset="preset",
        presets=tuple(str(number) for number in range(14)),
        usual_preset="6",
        quick_preset="9",
    ),
    "libvpx-vp9": EncoderKind(
        quality="crf",
        worst=63,
        usual=18,
        preset="cpu-used",
        presets=tuple(str(number) for number in range(9)),
        usual_preset="4",
        options={"b": "0", "deadline": "good", "row-mt": "1"},
        odd_sizes=True,
    ),
    # NUT has no tag for ProRes; MOV is its home.
    "prores_ks": EncoderKind(
        options={"vendor": "apl0"}, takes_gop=False, odd_sizes=True, segment_format="mov"
    ),
    "ffv1": EncoderKind(
        options={"level": "3", "slicecrc": "1", "g": "1"}, takes_gop=False, odd_sizes=True, gray=True
    ),
    "rawvideo": EncoderKind(takes_gop=False, odd_sizes=True, gray=True, formats=_RAW_FORMATS),
    "h264_nvenc": _NVENC,
    "hevc_nvenc": _NVENC,
    "av1_nvenc": replace(_NVENC, worst=63, usual=24),
    "h264_qsv": _QSV,
    "hevc_qsv": _QSV,
    "av1_qsv": _QSV,
}
"""The encoders that vidsr sets up; others of FFmpeg's need --encoder-options for their quality."""

NVENC = frozenset(name for name in KINDS if name.endswith("_nvenc"))
"""NVIDIA's encoders on the card, by FFmpeg's names."""

CODECS: Mapping[str, str] = {
    "h264": "libx264",
    "hevc": "libx265",
    "av1": "libsvtav1",
    "vp9": "libvpx-vp9",
    "prores": "prores_ks",
    "ffv1": "ffv1",
}
"""What --codec calls the encoder that it means: always the one in software."""


def kind_of(encoder: str) -> EncoderKind:
    """What is known of an encoder by FFmpeg's name of it; of most, nothing."""
    return KINDS.get(encoder, EncoderKind())
