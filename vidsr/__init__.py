"""vidsr: video super-resolution with SRGAN that keeps every frame at its own time."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidsr.config import BuildEngineConfig as BuildEngineConfig
    from vidsr.config import EncodeConfig as EncodeConfig
    from vidsr.config import EvaluateConfig as EvaluateConfig
    from vidsr.config import ForecastConfig as ForecastConfig
    from vidsr.config import UpscaleConfig as UpscaleConfig
    from vidsr.errors import VidsrError as VidsrError
    from vidsr.page_config import CompareConfig as CompareConfig
    from vidsr.page_config import SampleConfig as SampleConfig
    from vidsr.pipelines.build_engine import build_engine as build_engine
    from vidsr.pipelines.compare import compare_videos as compare_videos
    from vidsr.pipelines.evaluate import evaluate_images as evaluate_images
    from vidsr.pipelines.evaluate import evaluate_video as evaluate_video
    from vidsr.pipelines.evaluate_clips import evaluate_clips as evaluate_clips
    from vidsr.pipelines.folder import upscale_folder as upscale_folder
    from vidsr.pipelines.forecast import forecast as forecast
    from vidsr.pipelines.sample import sample_video as sample_video
    from vidsr.pipelines.train import train as train
    from vidsr.pipelines.upscale import upscale_video as upscale_video
    from vidsr.train_config import TrainConfig as TrainConfig

_HOMES = {
    "BuildEngineConfig": "vidsr.config",
    "CompareConfig": "vidsr.page_config",
    "EncodeConfig": "vidsr.config",
    "EvaluateConfig": "vidsr.config",
    "ForecastConfig": "vidsr.config",
    "SampleConfig": "vidsr.page_config",
    "TrainConfig": "vidsr.train_config",
    "UpscaleConfig": "vidsr.config",
    "VidsrError": "vidsr.errors",
    "build_engine": "vidsr.pipelines.build_engine",
    "compare_videos": "vidsr.pipelines.compare",
    "evaluate_clips": "vidsr.pipelines.evaluate_clips",
    "evaluate_images": "vidsr.pipelines.evaluate",
    "evaluate_video": "vidsr.pipelines.evaluate",
    "forecast": "vidsr.pipelines.forecast",
    "sample_video": "vidsr.pipelines.sample",
    "train": "vidsr.pipelines.train",
    "upscale_folder": "vidsr.pipelines.folder",
    "upscale_video": "vidsr.pipelines.upscale",
}
"""Where each public name lives; modules load on first use, so importing vidsr costs nothing."""

__all__ = [
    "BuildEngineConfig",
    "CompareConfig",
    "EncodeConfig",
    "EvaluateConfig",
    "ForecastConfig",
    "SampleConfig",
    "TrainConfig",
    "UpscaleConfig",
    "VidsrError",
    "build_engine",
    "compare_videos",
    "evaluate_clips",
    "evaluate_images",
    "evaluate_video",
    "forecast",
    "sample_video",
    "train",
    "upscale_folder",
    "upscale_video",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("vidsr-cli")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'vidsr' has no attribute {name!r}")
