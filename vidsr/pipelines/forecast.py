"""What an upscale run would take, found by trying: each model on each backend, on samples of the video.

Nothing is kept: `vidsr info` says what would be done, this what it costs.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

from vidsr.config import PIPE, BackendName, ForecastConfig, UpscaleConfig
from vidsr.cores import usable_cores
from vidsr.errors import BackendUnavailable, UsageError, VidsrError
from vidsr.inference.backend import LADDER, choose_device, open_backend
from vidsr.inference.card_driver import card_answers
from vidsr.inference.speed import learn_speed
from vidsr.models.weights import preferred_models, registry
from vidsr.pipelines.apart import call_apart
from vidsr.pipelines.forecast_report import Forecast, Way
from vidsr.pipelines.info import describe_plan
from vidsr.pipelines.model_choice import Expected, choose_model
from vidsr.pipelines.samples import Decoded, Run, look_at, spread
from vidsr.pipelines.segment import Reader
from vidsr.pipelines.trial import Measured, Trial, measure
from vidsr.pipelines.upscale_plan import UpscalePlan, open_reader, plan_anyhow, writes_pictures
from vidsr.progress import Advanced, Finished, Progress, Started, silent
from vidsr.video.durable import existing_folder
from vidsr.video.scratch import Scratch

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
    if PIPE in (job.input, job.output):
        raise UsageError("a pipe cannot be looked at beforehand: plan with files")
    if writes_pictures(job.output):
        raise UsageError(f"{job.output}: is a picture; plan is about videos")
    with open_reader(job) as reader:
        plan, refusal = plan_anyhow(job, reader)
        runs = spread(reader.timeline)
        bench = _Bench(job, reader, runs, look_at(reader, runs), config.seconds)
        plans = _plans(job, reader, plan)
        ways, refusals = _try_all(bench, plans, progress)
        ways = _with_choice(ways, job, reader)
        taken = next(way.model for way in ways if way.chosen)
        plan = next(plan for plan in plans if plan.weights.name == taken)
        folder = existing_folder(job.output.absolute().parent)
        return Forecast(
            # What was measured takes the place of what was expected.
            description=describe_plan(job, reader, replace(plan, expectation=None), refusal),
            ways=tuple(ways),
            refusals=refusals,
            frames=reader.timeline.count,
            sampled=bench.decoded.frames,
            places=len(runs),
            unchanged=bench.decoded.unchanged,
            decode_s=bench.decoded.seconds_a_frame,
            free_bytes=shutil.disk_usage(folder).free,
            folder=str(folder),
        )


def _plans(job: UpscaleConfig, reader: Reader, plan: UpscalePlan) -> list[UpscalePlan]:
    """The job with every model that the options leave open, the one it would take first."""
    if job.model != "auto":
        return [plan]
    found = [plan]
    for name in dict.fromkeys(entry.name for entry in registry()):
        if name != plan.weights.name:
            try:
                found.append(plan_anyhow(replace(job, model=name), reader)[0])
            except UsageError:
                continue  # not at this factor, or not with this detail
    return found


def _try_all(
    bench: _Bench, plans: Sequence[UpscalePlan], progress: Progress
) -> tuple[list[Way], dict[str, str]]:
    """Every plan on every backend that the options leave open; and why not, by what was not tried."""
    backends = LADDER if bench.job.backend == "auto" else (bench.job.backend,)
    ways: list[Way] = []
    refusals: dict[str, str] = {}
    progress(Started("plan", len(plans) * len(backends), "trials"))
    for number, (plan, backend) in enumerate(product(plans, backends), start=1):
        if backend not in refusals:
            try:
                ways.append(bench.try_out(plan, backend))
            except BackendUnavailable as error:
                refusals[backend] = str(error)
            except (VidsrError, TimeoutError) as error:
                refusals[f"{plan.weights.label} on {backend}"] = str(error)
            else:
                if backend == ways[0].backend:  # the ladder's first that works
                    bench.learn(plan, ways[-1])
        progress(Advanced("plan", number))
    progress(Finished("plan"))
    if not ways:
        raise VidsrError("; ".join(f"{name}: {reason}" for name, reason in refusals.items()))
    return ways, refusals


@dataclass(frozen=True)
class _Bench:
    """What all trials have in common."""

    job: UpscaleConfig
    reader: Reader
    runs: tuple[Run, ...]
    decoded: Decoded
    seconds: float

    def try_out(self, plan: UpscalePlan, backend: BackendName) -> Way:
        """Measure one model on one backend. Raises what the trial raises."""
        job = replace(self.job, backend=backend)
        if backend in ("tensorrt", "cuda") and not card_answers():
            # It refuses, without a process that loads PyTorch anew only to say so.
            open_backend(plan.weights, job, silent)
        patience_s = max(LEAST_PATIENCE_S, PATIENCE * self.seconds)
        with Scratch() as folder:
            trial = Trial(
                self.reader,
                self.runs,
                plan.weights,
                job,
                plan.output,
                plan.encoding,
                self.seconds,
                folder,
            )
            found = call_apart(measure, trial, timeout_s=patience_s)
        return self._way(plan, backend, found)

    def learn(self, plan: UpscalePlan, way: Way) -> None:
        """Let `--model auto` know from now on what was measured."""
        pixels = self.reader.info.height * self.reader.info.width
        learn_speed(plan.weights, self.job, pixels / way.network_s)

    def _way(self, plan: UpscalePlan, backend: str, found: Measured) -> Way:
        timeline = self.reader.timeline
        frame_s = self._frame_s(found)
        frames, segments = plan.output.frame_count or timeline.count, len(plan.segments)
        video = segments * found.key_bytes + max(0, frames - segments) * found.other_bytes
        others = max(0, plan.source.stat().st_size - timeline.bytes) if timeline.bytes else 0
        return Way(
            model=plan.weights.name,
            scale=plan.weights.scale,
            detail=plan.weights.detail,
            backend=backend,
            precision=found.precision,
            chosen=False,
            frames=found.frames,
            network_s=found.network_s,
            network_share=found.network_share,
            seconds_a_frame=frame_s,
            seconds=found.open_s + frame_s * timeline.count,
            output_bytes=round(video + others),
            disk_bytes=round(2 * video + others),
            memory_bytes=found.peak_rss_bytes,
            memory_whole=found.filled,
            device_bytes=found.device_bytes,
            notices=found.notices,
        )

    def _frame_s(self, found: Measured) -> float:
        """Seconds a frame of all stages at once.

        The slowest of them sets the pace, unless the cores have not time for all. How many cores there
        are for this job shows in what a network got that wants them all.
        """
        cores = found.network_cpu_s / found.network_s if found.on_cpu else usable_cores()
        network_s = found.network_s * found.network_share
        network_cpu_s = found.network_cpu_s * found.network_share
        all_cpu_s = self.decoded.cpu_s_a_frame + network_cpu_s + found.encode_cpu_s
        return max(self.decoded.seconds_a_frame, network_s, found.encode_s, all_cpu_s / cores)


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
