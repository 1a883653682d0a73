"""What an upscale run would take, found by trying: each model on each backend, on samples of the video.

Nothing is kept: `vidsr info` says what would be done, this what it costs.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from vidsr.config import BackendName, ForecastConfig, UpscaleConfig
from vidsr.cores import usable_cores
from vidsr.errors import BackendUnavailable, UsageError, VidsrError
from vidsr.inference.backend import LADDER, choose_device, open_backend
from vidsr.inference.speed import learn_speed
from vidsr.models.weights import Weights, find_weights, preferred_models, registry
from vidsr.pipelines.apart import call_apart
from vidsr.pipelines.forecast_report import Forecast, Way
from vidsr.pipelines.geometry import plan_geometry
from vidsr.pipelines.info import describe_plan
from vidsr.pipelines.model_choice import Expected, choose_model
from vidsr.pipelines.pictures import writes_pictures
from vidsr.pipelines.samples import Decoded, Run, look_at, spread
from vidsr.pipelines.segment import Reader
from vidsr.pipelines.trial import Measured, Trial, measure
from vidsr.pipelines.upscale_plan import UpscalePlan, open_reader, plan_anyhow
from vidsr.progress import Advanced, Finished, Progress, Started, silent
from vidsr.video.durable import existing_folder

PATIENCE = 12
LEAST_PATIENCE_S = 60.0
"""How many times the asked seconds a trial may take before it is given up, and how long at least: a slow
machine takes ten seconds to load PyTorch alone."""


def forecast(config: ForecastConfig, progress: Progress = silent) -> Forecast:
    """Measure what `upscale_video` would take with each model and backend; writes nothing.

    Each is tried in a process of its own, one after the other. Raises VidsrError as upscaling does,
    and where not one of them can be tried.
    """
    job = replace(config.upscale, engine_build="never")  # an engine takes minutes to build
    if writes_pictures(job.output):
        raise UsageError(f"{job.output}: is a picture; plan is about videos")
    with open_reader(job) as reader:
        plan, refusal = plan_anyhow(job, reader)
        runs = spread(reader.timeline)
        decoded = look_at(reader, runs)
        bench = _Bench(job, reader, plan, runs, decoded, config.seconds)
        pairs = list(bench.pairs())
        progress(Started("plan", len(pairs), "trials"))
        refusals: dict[str, str] = {}
        ways: list[Way] = []
        for number, (weights, backend) in enumerate(pairs, start=1):
            if backend not in refusals:
                try:
                    ways.append(bench.try_out(weights, backend))
                    if ways[-1].backend == ways[0].backend:  # the ladder's first that works
                        pixels = reader.info.height * reader.info.width / ways[-1].network_s
                        learn_speed(weights, config.upscale, pixels)
                except BackendUnavailable as error:
                    refusals[backend] = str(error)
                except (VidsrError, TimeoutError) as error:
                    refusals[f"{weights.name} on {backend}"] = str(error)
            progress(Advanced("plan", number))
        progress(Finished("plan"))
        if not ways:
            raise VidsrError("; ".join(f"{name}: {reason}" for name, reason in refusals.items()))
        ways = _with_choice(ways, job, reader)
        taken = next(way.model for way in ways if way.chosen)
        weights = next(weights for weights, _ in pairs if weights.name == taken)
        # What was measured takes the place of what was expected.
        plan = replace(plan, weights=weights, expectation=None)
        folder = existing_folder(job.output.absolute().parent)
        return Forecast(
            description=describe_plan(job, reader, plan, refusal),
            ways=tuple(ways),
            refusals=refusals,
            frames=reader.timeline.count,
            sampled=decoded.frames,
            places=len(runs),
            unchanged=decoded.unchanged,
            decode_s=decoded.seconds_a_frame,
            free_bytes=shutil.disk_usage(folder).free,
            folder=str(folder),
        )


@dataclass(frozen=True)
class _Bench:
    """What all trials have in common."""

    job: UpscaleConfig
    reader: Reader
    plan: UpscalePlan
    runs: tuple[Run, ...]
    decoded: Decoded
    seconds: float

    def pairs(self) -> Iterator[tuple[Weights, BackendName]]:
        """Every model with every backend that the options leave open."""
        backends = LADDER if self.job.backend == "auto" else (self.job.backend,)
        for weights in self._models():
            for backend in backends:
                yield weights, backend

    def _models(self) -> list[Weights]:
        if self.job.model != "auto":
            return [self.plan.weights]
        factor = plan_geometry(self.job, self.reader.info, (1, 1)).factor
        found = []
        names = dict.fromkeys((self.plan.weights.name, *(entry.name for entry in registry())))
        for name in names:
            try:
                found.append(find_weights(name, factor, detail=self.job.detail))
            except UsageError:
                continue  # not at this factor, or not with this detail
        return found

    def try_out(self, weights: Weights, backend: BackendName) -> Way:
        """Measure one pair. Raises what the trial raises."""
        job = replace(self.job, backend=backend)
        if backend in ("tensorrt", "cuda") and not torch.cuda.is_available():
            open_backend(weights, job, silent)  # it refuses, without a process that loads PyTorch anew
        plan = self.plan
        trial = Trial(self.reader, self.runs, weights, job, plan.output, plan.encoding, self.seconds)
        patience_s = max(LEAST_PATIENCE_S, PATIENCE * self.seconds)
        return self._way(weights, backend, call_apart(measure, trial, timeout_s=patience_s))

    def _way(self, weights: Weights, backend: str, found: Measured) -> Way:
        timeline = self.reader.timeline
        # All stages run at once: the slowest sets the pace, unless the cores have not time for all. How
        # many there are for this job shows in what a network got that wants them all.
        cores = found.network_cpu_s / found.network_s if found.on_cpu else usable_cores()
        all_cpu_s = self.decoded.cpu_s_a_frame + found.network_cpu_s + found.encode_cpu_s
        frame_s = max(self.decoded.seconds_a_frame, found.network_s, found.encode_s, all_cpu_s / cores)
        frames, segments = self.plan.output.frame_count or timeline.count, len(self.plan.segments)
        video = segments * found.key_bytes + max(0, frames - segments) * found.other_bytes
        whole = self.plan.source.stat().st_size
        others = max(0, whole - timeline.bytes) if timeline.bytes else 0
        return Way(
            model=weights.name,
            scale=weights.scale,
            backend=backend,
            precision=found.precision,
            chosen=False,
            frames=found.frames,
            network_s=found.network_s,
            seconds_a_frame=frame_s,
            seconds=found.open_s + frame_s * timeline.count,
            output_bytes=round(video + others),
            disk_bytes=round(2 * video + others),
            memory_bytes=found.peak_rss_bytes,
            memory_whole=found.filled,
            device_bytes=found.device_bytes,
            notices=found.notices,
        )


def _with_choice(ways: list[Way], job: UpscaleConfig, reader: Reader) -> list[Way]:
    """The ways, with the one marked that `upscale` takes with these options."""
    first = next(name for name in LADDER if any(way.backend == name for way in ways))
    there = {way.model: way for way in ways if way.backend == first}
    preferred = [name for name in preferred_models(choose_device(job)) if name in there] or list(there)
    timeline = reader.timeline
    model = choose_model(
        [Expected(name, there[name].network_s) for name in preferred],
        timeline.count,
        float((timeline.end - timeline.start) * timeline.time_base),
    ).model
    return [replace(way, chosen=way.backend == first and way.model == model) for way in ways]
