import pytest
import torch
from torch import nn

from vidsr.training.average import update_average
from vidsr.training.schedule import FLOOR, Schedule


def test_cosine_warms_up_then_falls_to_the_floor() -> None:
    schedule = Schedule(learning_rate=1e-3, warm_up=10, updates=1000, seconds=None)
    assert schedule.rate(0, 0) == pytest.approx(1e-4)
    assert schedule.rate(9, 0) == pytest.approx(1e-3, rel=1e-3)
    assert schedule.rate(500, 0) == pytest.approx(1e-3 * (FLOOR + (1 - FLOOR) / 2))
    assert schedule.rate(1000, 0) == pytest.approx(1e-3 * FLOOR)
    assert schedule.progress(1000, 0) == 1
    assert schedule.extent == (1000, "updates")


def test_hours_follow_the_clock_not_the_updates() -> None:
    schedule = Schedule(learning_rate=1.0, warm_up=0, updates=None, seconds=60.0)
    assert schedule.progress(10**6, 30.0) == 0.5
    assert schedule.rate(7, 60.0) == pytest.approx(FLOOR)
    assert schedule.extent == (60, "s")
    assert schedule.done(7, 12.7) == 12


def test_a_stage_without_updates_is_through() -> None:
    assert Schedule(learning_rate=1.0, warm_up=0, updates=0, seconds=None).progress(0, 0) == 1


def test_steps_halve() -> None:
    schedule = Schedule(learning_rate=1.0, warm_up=0, updates=8, seconds=None, kind="step")
    assert [schedule.rate(step, 0) for step in range(8)] == [1, 1, 1, 1, 0.5, 0.5, 0.25, 0.125]


def test_a_length_is_needed() -> None:
    with pytest.raises(ValueError, match="updates or in seconds"):
        Schedule(1.0, 0, None, None)


def test_average_follows_with_its_ramp() -> None:
    network, average = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(1.0)
        average.weight.fill_(0.0)
    update_average(average, network, step=1, decay=0.999)
    first = 1 - 2 / 11
    assert average.weight.item() == pytest.approx(first)
    update_average(average, network, step=10**6, decay=0.999)
    assert average.weight.item() == pytest.approx(first + 0.001 * (1 - first))


def test_average_copies_the_statistics_of_batch_norm() -> None:
    network, average = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
    network(torch.rand(4, 2, 3, 3))
    update_average(average, network, step=1, decay=0.999)
    assert network.running_mean is not None and average.running_mean is not None
    assert torch.equal(average.running_mean, network.running_mean)
