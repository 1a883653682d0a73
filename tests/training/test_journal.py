import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from vidsr.training.journal import CURVE_POINTS, Journal
from vidsr.training.report import chart, render_report, to_png
from vidsr.training.window import LossWindow
from vidsr.video.color import to_rgb
from vidsr.video.stills import read_still


def test_the_best_of_each_score_is_remembered() -> None:
    journal = Journal()
    assert journal.score(10, {"psnr": 30.0, "lpips": 0.3}) == ["psnr", "lpips"]
    assert journal.score(20, {"psnr": 29.0, "lpips": 0.2}) == ["lpips"]
    assert journal.score(30, {"psnr": 31.0, "lpips": 0.25}) == ["psnr"]
    assert journal.best == {"psnr": 31.0, "lpips": 0.2}


def test_long_curves_are_thinned_but_keep_their_ends() -> None:
    journal = Journal()
    for step in range(5 * CURVE_POINTS):
        journal.note(step, {"loss": float(step)})
    curve = journal.curves["loss"]
    assert len(curve) <= CURVE_POINTS
    assert curve[0] == (0, 0.0)
    assert curve[-1][0] == 5 * CURVE_POINTS - 1
    assert all(a[0] < b[0] for a, b in pairwise(curve))


def test_a_journal_survives_as_plain_values() -> None:
    journal = Journal(dtype="bf16", baselines={"lanczos psnr": 27.0}, init_sha256="12ab")
    journal.score(5, {"psnr": 28.0})
    journal.finish("pixel", 100, 12.5, 1600)
    again = Journal.from_plain(journal.to_plain())
    assert again == journal
    assert again.updates_before("adversarial") == 100
    assert again.updates_before("pixel") == 0
    assert again.in_words({"psnr": 28.0}) == "PSNR 28 (Lanczos 27)"


def test_window_gives_means_and_begins_anew() -> None:
    window = LossWindow()
    window.add({"pixel": torch.tensor(1.0)})
    window.add({"pixel": torch.tensor(3.0)})
    assert window.read(batch=4)["pixel"] == pytest.approx(2.0)
    window.add({"pixel": torch.tensor(math.nan)})
    values = window.read(batch=4)
    assert math.isnan(values["pixel"])
    assert values["patches/s"] > 0
    assert 0 <= values["waiting"] <= 1


def test_png_is_read_by_others_as_it_was(tmp_path: Path) -> None:
    picture = torch.randint(0, 256, (7, 5, 3), dtype=torch.uint8)
    (tmp_path / "a.png").write_bytes(to_png(picture))
    assert np.array_equal(to_rgb(read_still(tmp_path / "a.png"))[0], picture.numpy())


def test_report_needs_nothing_beside_it_and_escapes_what_it_is_told() -> None:
    journal = Journal(baselines={"lanczos psnr": 27.0, "bicubic psnr": 26.5})
    for step in range(5):
        journal.note(step, {"pixel pixel": 1.0 / (step + 1)})
    journal.finish("pixel", 100, 60.0, 1600)
    strip = torch.zeros(4, 16, 3, dtype=torch.uint8)
    page = render_report("a <b> & c", journal, {"videos": "<script>"}, {"psnr": 28.1234}, [strip])
    assert "a &lt;b&gt; &amp; c" in page and "<script>" not in page
    assert "28.1234" in page and "27.0000" in page and "26.5000" in page
    assert "100 updates in 1.0 minutes" in page
    assert "src=" not in page.replace('src="data:', "") and "href" not in page
    assert "Nothing was held out" in render_report("t", Journal(), {}, {}, [])


def test_chart_draws_every_point_inside_its_frame() -> None:
    svg = chart("loss", [(0, 9.0), *[(step, 1.0 / step) for step in range(1, 40)]])
    points = svg.split('points="')[1].split('"')[0].split()
    assert len(points) == 40
    assert all(0 <= float(y) <= 180 for _, y in (point.split(",") for point in points))
