from __future__ import annotations

import json
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.blends import save_sets
from tests.synthetic import corrupt, make_video
from vidsr.config import EvaluateConfig
from vidsr.errors import InputError, OutputError, UsageError, WeightsError
from vidsr.evaluation.metrics import luma, psnr
from vidsr.evaluation.pictures import find_lr, list_pictures, to_bytes
from vidsr.evaluation.report import EvaluationReport
from vidsr.frames import ColorSpec, FrameBatch
from vidsr.models.generator import Generator
from vidsr.models.generator_config import GeneratorConfig
from vidsr.models.weights_file import save_weights
from vidsr.pipelines.evaluate import compare_methods, evaluate_images, evaluate_video
from vidsr.progress import Advanced, Event, Finished, Notice, Started
from vidsr.video.reader import VideoReader
from vidsr.video.resample import imresize
from vidsr.video.stills import write_still

RGB = ColorSpec(matrix="rgb", range="full", subsampling=(1, 1))


def nearest(lr: Tensor) -> Tensor:
    return functional.interpolate(lr, scale_factor=4, mode="nearest")


def picture(seed: int, height: int = 64, width: int = 72) -> Tensor:
    """(1, 3, H, W) bytes as floats, smooth enough to be reduced by 4 and known again."""
    noise = torch.rand(
        1, 3, height // 8 + 1, width // 8 + 1, generator=torch.Generator().manual_seed(seed)
    )
    return to_bytes(functional.interpolate(noise, size=(height, width), mode="bicubic").clamp(0, 1))


def save(path: Path, rgb: Tensor) -> Path:
    planes = tuple((rgb[:, i] * 255).round().byte().contiguous() for i in range(3))
    write_still(path, FrameBatch(planes, RGB, (0,), Fraction(1, 25)))
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "hr"
    folder.mkdir()
    save(folder / "one.png", picture(1))
    save(folder / "two.png", picture(2, 67, 70))  # no multiple of 4
    (folder / "notes.txt").write_text("not a picture")
    return folder


def compare(config: EvaluateConfig, progress: list[Event] | None = None) -> EvaluationReport:
    events: list[Event] = [] if progress is None else progress
    methods = {"bicubic": lambda lr: imresize(lr, 4), "nearest": nearest}
    return compare_methods(config, methods, events.append)


def test_pictures_are_scored_by_every_method(pictures: Path) -> None:
    events: list[Event] = []
    report = compare(EvaluateConfig(images=pictures), events)
    assert report.model == "nearest"
    assert [image.image for image in report.images] == ["one.png", "two.png"]
    for seed, size, image in ((1, (64, 72), report.images[0]), (2, (67, 70), report.images[1])):
        hr = picture(seed, *size)[..., : size[0] // 4 * 4, : size[1] // 4 * 4]
        lr = to_bytes(imresize(hr, 0.25))
        for method, sr in (("bicubic", to_bytes(imresize(lr, 4))), ("nearest", nearest(lr))):
            expected = float(psnr(luma(sr), luma(hr), border=4))
            assert image.scores[method].psnr_db == pytest.approx(expected, abs=1e-4)
    assert report.mean("bicubic").psnr_db > report.mean("nearest").psnr_db
    assert isinstance(events[0], Started) and events[0].total == 2
    assert isinstance(events[-1], Finished)
    assert [event.done for event in events if isinstance(event, Advanced)] == [1, 2]


def test_low_resolution_pictures_can_be_given(pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lr"
    folder.mkdir()
    save(folder / "one.png", to_bytes(imresize(picture(1), 0.25)))
    save(folder / "twox4.png", to_bytes(imresize(picture(2, 67, 70)[..., :64, :68], 0.25)))
    made = compare(EvaluateConfig(images=pictures))
    given = compare(EvaluateConfig(images=pictures, lr=folder))
    assert given.lr == str(folder) and made.lr == "bicubic"
    assert given.images[0] == made.images[0]
    assert given.images[1].scores["nearest"].psnr_db > 15  # the picture is cut to what LR shows


def test_low_resolution_pictures_are_found_by_name(tmp_path: Path) -> None:
    for name in ("0801x4.png", "0801x2.png", "08010x4.png", "a_LRBI_x4.png", "b.png", "b_x4.png"):
        (tmp_path / name).write_bytes(b"x")
    assert find_lr(Path("0801.png"), tmp_path, 4).name == "0801x4.png"
    assert find_lr(Path("0801.png"), tmp_path, 2).name == "0801x2.png"
    assert find_lr(Path("a.webp"), tmp_path, 4).name == "a_LRBI_x4.png"
    assert find_lr(Path("b.png"), tmp_path, 4).name == "b.png"
    with pytest.raises(InputError, match=r"no low-resolution picture for c\.png"):
        find_lr(Path("c.png"), tmp_path, 4)
    (tmp_path / "0801_x4.png").write_bytes(b"x")
    with pytest.raises(InputError, match="several"):
        find_lr(Path("0801.png"), tmp_path, 4)


def test_pictures_that_do_not_belong_together_are_refused(pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lr"
    folder.mkdir()
    save(folder / "one.png", picture(1, 15, 18))
    with pytest.raises(InputError, match=r"lr/one\.png: 18x15 is not .*one\.png \(72x64\) reduced by 4"):
        compare(EvaluateConfig(images=pictures, lr=folder))


def test_no_pictures_small_pictures_and_broken_ones_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        list_pictures(tmp_path / "gone")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="holds no pictures"):
        list_pictures(tmp_path)
    small = save(tmp_path / "small.png", picture(1, 16, 16))
    with pytest.raises(InputError, match=r"small\.png: 16x16 is too small"):
        compare(EvaluateConfig(images=small))
    save(tmp_path / "tiny.png", picture(1, 3, 40))
    with pytest.raises(InputError, match=r"tiny\.png: smaller than the scale"):
        compare(EvaluateConfig(images=tmp_path / "tiny.png"))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG nothing")
    with pytest.raises(InputError, match=r"broken\.png"):
        compare(EvaluateConfig(images=tmp_path / "broken.png"))


def test_a_model_that_gives_no_numbers_is_refused(pictures: Path) -> None:
    with pytest.raises(WeightsError, match="broken gives values"):
        compare_methods(
            EvaluateConfig(images=pictures), {"broken": lambda lr: nearest(lr) * float("nan")}
        )


def test_a_model_from_a_file_beside_the_filters(pictures: Path, tmp_path: Path) -> None:
    generator = Generator(GeneratorConfig(blocks=1, channels=8, upsampler="single", input_skip=True))
    for parameter in generator.parameters():
        torch.nn.init.zeros_(parameter)
    weights = tmp_path / "still.safetensors"
    save_weights(weights, generator, metadata={})  # the skip alone: repeats every pixel
    output = tmp_path / "scores.md"
    config = EvaluateConfig(images=pictures, model=str(weights), output=output, device="cpu")
    report = evaluate_images(config)
    assert report.methods == ("bicubic", "lanczos", "still")
    expected = compare(EvaluateConfig(images=pictures)).mean("nearest")
    assert report.mean("still").psnr_db == pytest.approx(expected.psnr_db, abs=1e-3)
    assert json.loads((tmp_path / "scores.json").read_text())["model"] == "still"
    assert output.read_text() == report.to_markdown()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "scores.json",
        "scores.md",
        "still.safetensors",
    ]
    with pytest.raises(OutputError, match=r"scores\.json: exists; --overwrite"):
        evaluate_images(config)
    evaluate_images(replace(config, overwrite=True))
    with pytest.raises(UsageError, match="take --scale 4"):
        evaluate_images(EvaluateConfig(images=pictures, model=str(weights), scale=2))


def test_a_blend_is_scored_by_its_detail(pictures: Path, tmp_path: Path) -> None:
    model = str(save_sets(tmp_path / "run"))
    scores = {}
    for detail in (None, 0.25, 0.0):
        config = EvaluateConfig(images=pictures, model=model, detail=detail, scale=2, device="cpu")
        report = evaluate_images(config)
        scores[report.model] = report.mean(report.model).psnr_db
        assert report.to_markdown().startswith(f"# {report.model}, x2, 2 pictures")
    assert list(scores) == ["run, detail 0.75", "run, detail 0.25", "run, detail 0"]
    assert len(set(scores.values())) == 3


def videos(tmp_path: Path, **distorted: object) -> EvaluateConfig:
    options = {"size": (64, 96), "frames": 6, "codec": "ffv1", "pix_fmt": "yuv420p"}
    reference = make_video(tmp_path / "hr.mkv", **options)  # type: ignore[arg-type]
    other = make_video(tmp_path / "sr.mkv", **(options | distorted))  # type: ignore[arg-type]
    return EvaluateConfig(reference=reference, distorted=other)


def test_a_video_equals_itself(tmp_path: Path) -> None:
    report = evaluate_video(videos(tmp_path))
    assert [frame.score.psnr_db for frame in report.frames] == [100] * 6
    assert [frame.time_s for frame in report.frames] == pytest.approx([i / 25 for i in range(6)])
    assert report.mean.ssim == pytest.approx(1)
    assert (report.unpaired_reference, report.unpaired_distorted) == (0, 0)
    assert report.flicker["temporal"] == 0
    assert report.frames[0].flicker is None and report.frames[1].flicker is not None


def test_coarser_coding_scores_lower(tmp_path: Path) -> None:
    def coded(crf: str) -> float:
        folder = tmp_path / crf
        folder.mkdir()
        config = videos(folder, codec="libx264", options={"crf": crf, "preset": "ultrafast"})
        return evaluate_video(config).mean.psnr_db

    fine, coarse = coded("10"), coded("40")
    assert 70 > fine > coarse + 10 > 25


def test_lost_frames_are_counted_and_shift_nothing(tmp_path: Path) -> None:
    events: list[Event] = []
    config = videos(tmp_path, frames=[0, 1, 3, 5], pts=[0, 1, 3, 5])
    report = evaluate_video(config, events.append)
    assert [frame.score.psnr_db for frame in report.frames] == [100] * 4
    assert (report.unpaired_reference, report.unpaired_distorted) == (2, 0)
    assert [e.text for e in events if isinstance(e, Notice)] == [
        "2 frames of the reference have no partner of the same time"
    ]


def test_frames_are_paired_by_time_over_containers(tmp_path: Path) -> None:
    # Matroska rounds times to milliseconds, MP4 does not.
    reference = make_video(tmp_path / "hr.mp4", size=(64, 96), frames=9, rate=Fraction(30000, 1001))
    other = make_video(tmp_path / "sr.mkv", size=(64, 96), frames=9, rate=Fraction(30000, 1001))
    report = evaluate_video(EvaluateConfig(reference=reference, distorted=other))
    assert (len(report.frames), report.unpaired_reference, report.unpaired_distorted) == (9, 0, 0)
    assert report.mean.psnr_db > 60


def test_numbered_pictures_take_the_frame_rate_of_the_video(tmp_path: Path) -> None:
    config = videos(tmp_path, rate=10, pix_fmt="bgr0")
    reference = make_video(
        tmp_path / "ten.mkv", size=(64, 96), frames=6, rate=10, codec="ffv1", pix_fmt="bgr0"
    )
    with VideoReader(reference) as reader:
        frames = [frame for batch in reader.batches(2) for frame in batch.split(1)]
    for number, frame in enumerate(frames, start=1):
        write_still(tmp_path / f"{number:03d}.png", frame)
    report = evaluate_video(replace(config, reference=reference, distorted=tmp_path / "%03d.png"))
    assert [frame.time_s for frame in report.frames] == pytest.approx([i / 10 for i in range(6)])
    assert report.mean.psnr_db == 100
    again = evaluate_video(
        EvaluateConfig(reference=tmp_path / "%03d.png", distorted=tmp_path / "%03d.png")
    )
    assert again.frames[1].time_s == pytest.approx(1 / 25)


def test_damage_is_said(tmp_path: Path) -> None:
    reference = make_video(tmp_path / "hr.mp4", size=(64, 96), frames=24)
    damaged = corrupt(make_video(tmp_path / "sr.mp4", size=(64, 96), frames=24), at=0.5)
    events: list[Event] = []
    report = evaluate_video(EvaluateConfig(reference=reference, distorted=damaged), events.append)
    assert min(frame.score.psnr_db for frame in report.frames) < 100
    notices = [event.text for event in events if isinstance(event, Notice)]
    assert len(notices) == 1 and re.search(r"sr\.mp4: \d+ damaged", notices[0])


def test_videos_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"sr\.mkv is 80x64, .*hr\.mkv 96x64"):
        evaluate_video(videos(tmp_path, size=(64, 80)))
    with pytest.raises(InputError, match="no frame has the time"):
        evaluate_video(videos(tmp_path, start=1000))
    with pytest.raises(InputError, match=r"gone\.mkv"):
        evaluate_video(EvaluateConfig(reference=tmp_path / "gone.mkv", distorted=tmp_path / "hr.mkv"))


def test_a_report_is_refused_before_the_work(tmp_path: Path) -> None:
    config = replace(videos(tmp_path), output=tmp_path / "gone" / "report.json")
    with pytest.raises(OutputError, match="no such folder"):
        evaluate_video(config)


def test_video_report_is_saved_in_both_forms(tmp_path: Path) -> None:
    config = replace(videos(tmp_path), output=tmp_path / "report.json")
    report = evaluate_video(config)
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads(json.dumps(report.to_json()))
    assert (tmp_path / "report.md").read_text() == report.to_markdown()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "--images"),
        ({"images": Path("a"), "reference": Path("b"), "distorted": Path("c")}, "--images"),
        ({"reference": Path("b")}, "go together"),
        ({"reference": Path("b"), "distorted": Path("c"), "lr": Path("d")}, "--lr"),
        ({"images": Path("a"), "scale": 3}, "--scale"),
        ({"images": Path("a"), "detail": 1.5}, "--detail"),
        ({"images": Path("a"), "border": -1}, "--border"),
        ({"images": Path("a"), "device": "tpu"}, "--device"),
        ({"images": Path("a"), "output": Path("r.txt")}, "--output"),
    ],
)
def test_impossible_requests_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        EvaluateConfig(**fields)  # type: ignore[arg-type]
