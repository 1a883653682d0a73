"""Pictures out: one picture, or a numbered sequence of them, from pictures or from a video."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, repeat
from pathlib import Path

from vidsr.config import UpscaleConfig
from vidsr.errors import OutputError, ProofError, UsageError
from vidsr.frames import FrameBatch
from vidsr.inference.upscaler import Upscaler
from vidsr.pipelines.ability import ability_of
from vidsr.pipelines.geometry import plan_geometry
from vidsr.pipelines.manner import Manner, Material, choose, compute_job
from vidsr.pipelines.model_choice import choose_weights
from vidsr.pipelines.orders import BackendOpener
from vidsr.pipelines.report import UpscaleReport, provenance
from vidsr.pipelines.resume import open_job, software
from vidsr.pipelines.score_report import Moment, ScoreReport
from vidsr.pipelines.segment import QUEUE_BYTES, Reader
from vidsr.pipelines.stages import StageClock, run_stages, slowest
from vidsr.plain import plain
from vidsr.progress import Advanced, Finished, Notice, Progress, Started
from vidsr.video.faithfulness import comparable, score
from vidsr.video.job import job_folder
from vidsr.video.provenance import history, made_by
from vidsr.video.sequences import SequenceReader, numbered
from vidsr.video.stills import is_still, read_still, stored_color, write_still

FIRST_NUMBER = 1
"""Number of the first picture of a sequence made from a video, as FFmpeg's image muxer counts."""


@dataclass(frozen=True)
class PictureTarget:
    """Where each frame goes."""

    pattern: Path  # a file, or a pattern with a number
    first_number: int
    sources: tuple[Path, ...]  # pictures whose ICC profiles and EXIF the results take over

    @classmethod
    def choose(cls, output: Path, reader: Reader) -> PictureTarget:
        """Numbers go on from the input's own; UsageError where one picture cannot hold the input."""
        count = reader.timeline.count
        if is_still(output) and count != 1:
            raise UsageError(
                f"{output}: one picture cannot hold {count} frames; "
                f"give a pattern such as {output.stem}_%05d{output.suffix}"
            )
        if isinstance(reader, SequenceReader):
            return cls(output, reader.first_number, reader.files)
        return cls(output, FIRST_NUMBER, ())

    def path(self, index: int) -> Path:
        """The file of the frame with this index, counted from 0."""
        return (
            self.pattern if is_still(self.pattern) else numbered(self.pattern, self.first_number + index)
        )

    def finished(self, count: int) -> int:
        """How many of the first `count` pictures are there already, without a gap."""
        return next((i for i in range(count) if not self.path(i).exists()), count)

    def prove(
        self, count: int, least: int, size: tuple[int, int], sources: Iterable[FrameBatch | None]
    ) -> Iterator[Moment | None]:
        """Read all pictures back beside the frames they were made from, where there are any; score them.

        Raises ProofError for too few, and for one of another size.
        """
        if count < least:
            raise ProofError(f"{self.pattern}: {count} pictures for {least} frames")
        for index, source in zip(range(count), sources, strict=False):
            picture = read_still(self.path(index))
            if picture.size != size:
                raise ProofError(
                    f"{self.path(index)}: is {picture.size[1]}x{picture.size[0]}, "
                    f"not {size[1]}x{size[0]} pixels"
                )
            if source is None:
                yield None
                continue
            found = score(comparable(source, picture.color), picture)
            yield Moment(index, float(source.pts[0] * source.time_base), found)

    def refuse_existing(self, count: int) -> None:
        """Raise OutputError if a picture of this name is there."""
        for index in range(count):
            if self.path(index).exists():
                raise OutputError(
                    f"{self.path(index)}: exists already; take another name, or --overwrite"
                )


def upscale_to_pictures(
    config: UpscaleConfig,
    reader: Reader,
    progress: Progress,
    opener: BackendOpener,
) -> UpscaleReport:
    """Enlarge every frame into a picture; each appears whole, and a stopped run goes on after the last.

    Raises VidsrError with one line for the user.
    """
    began = time.perf_counter()
    info = reader.info
    choice = choose_weights(config, info, reader.timeline)
    weights = choice.weights
    if choice.expectation is not None:
        progress(Notice(f"{weights.label}: {choice.expectation}"))
    geometry = plan_geometry(config, info, (1, 1))
    size = geometry.height, geometry.width
    target = PictureTarget.choose(config.output, reader)
    color = stored_color(config.output, info.color)
    material = Material((info.height, info.width), info.color, color)
    count = reader.timeline.count
    encoding = {"format": config.output.suffix.lower(), "color": str(color)}
    if not config.overwrite and (config.restart or not job_folder(config.output).exists()):
        target.refuse_existing(count)
    with (
        opener(weights, config, progress) as backend,
        open_job(
            config,
            reader,
            ability_of(backend),
            choose(backend, config, material),
            weights,
            size=size,
            encoding=encoding,
            chosen={},
        ) as job,
    ):
        manner = Manner.kept(job.chosen)
        compute_job(manner, backend, material)
        found = target.finished(count) if job.resumed else 0
        if found:
            progress(Notice(f"going on after {found} finished pictures"))
        clocks = StageClock("decode"), StageClock("network"), StageClock("encode")
        upscaler = Upscaler(backend, manner.work, color, size, skip=config.skip)
        progress(Started("upscale", count, "pictures", found))
        done = found
        losses: dict[str, None] = {}
        making = provenance(weights, info, ability_of(backend))
        before = "" if target.sources else history(config.input)

        def frames() -> Iterator[FrameBatch]:
            return (frame for batch in reader.batches(1) for frame in batch.split(1))

        def read() -> Iterator[FrameBatch]:
            # Counted from the beginning: only so is the count the same in every run.
            return islice(frames(), found, None)

        def enlarge(batches: Iterable[FrameBatch]) -> Iterator[FrameBatch]:
            def each() -> Iterator[FrameBatch]:
                for batch in batches:
                    upscaler.begin_segment()  # a picture is a whole
                    yield batch

            return upscaler.stream(each())

        def write(batches: Iterable[FrameBatch]) -> None:
            nonlocal done
            for batch in batches:
                source = target.sources[done] if done < len(target.sources) else None
                told = made_by(making, before if source is None else history(source))
                lost = write_still(target.path(done), batch, tags_from=source, software=told)
                losses.update(dict.fromkeys(lost))
                done += 1
                progress(Advanced("upscale", done, slowest(clocks)))

        run_stages(read, enlarge, write, limit=QUEUE_BYTES, clocks=clocks)
        progress(Finished("upscale"))
        for loss in losses:
            progress(Notice(loss))
        errors = reader.errors  # those of one pass over the input: the proof is a second one
        progress(Started("prove", done, "pictures"))
        moments: list[Moment] = []
        sources = frames() if config.score else repeat(None)
        for number, moment in enumerate(target.prove(done, count - errors, size, sources), start=1):
            moments += [] if moment is None else [moment]
            progress(Advanced("prove", number))
        progress(Finished("prove"))
        job.remove()
    return UpscaleReport(
        input=str(config.input),
        output=str(config.output),
        input_size=(info.width, info.height),
        output_size=(geometry.width, geometry.height),
        model=weights.name,
        scale=backend.scale,
        backend=backend.name,
        precision=backend.precision,
        frames=done,
        input_frames=count,
        resumed_frames=found,
        decode_errors=errors,
        work=upscaler.tally,
        seconds=time.perf_counter() - began,
        stage_seconds={clock.name: round(clock.busy_s, 3) for clock in clocks},
        notices=tuple(losses),
        checks=(f"{done} picture{'s' if done != 1 else ''} read back whole",),
        proof={"pictures": done},
        faithfulness=ScoreReport(
            done,
            tuple((moment,) for moment in moments),
            (geometry.height / info.height, geometry.width / info.width),
            pictures=True,
        ),
        settings=plain(config),
        weights=weights.to_json(),
        encoding=encoding,
        versions=software(backend.runtime),
        provenance=str(making),
    )
