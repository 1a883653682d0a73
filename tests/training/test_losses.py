"""Every loss against a value worked out by hand."""

import math

import pytest
import torch

from vidsr.training.losses import (
    CHARBONNIER_EPSILON,
    beliefs,
    charbonnier,
    discriminator_loss,
    generator_adversarial_loss,
    l1,
    mse,
    perceptual,
    total_variation,
)

SR = torch.tensor([[[[0.0, 0.5], [1.0, 0.25]]]])
HR = torch.tensor([[[[0.5, 0.5], [0.0, 0.75]]]])  # differences 0.5, 0, 1, 0.5


def test_l1() -> None:
    assert l1(SR, HR).item() == pytest.approx(2.0 / 4)


def test_mse() -> None:
    assert mse(SR, HR).item() == pytest.approx(1.5 / 4)


def test_charbonnier() -> None:
    epsilon = CHARBONNIER_EPSILON
    by_hand = (2 * math.hypot(0.5, epsilon) + epsilon + math.hypot(1, epsilon)) / 4
    assert charbonnier(SR, HR).item() == pytest.approx(by_hand, rel=1e-6)


def test_charbonnier_has_a_gradient_at_zero_difference() -> None:
    sr = HR.clone().requires_grad_(True)
    torch.autograd.backward(charbonnier(sr, HR))
    assert sr.grad is not None
    assert torch.equal(sr.grad, torch.zeros_like(HR))


def test_perceptual_weighs_its_layers() -> None:
    sr = {"relu1_1": torch.zeros(1, 2, 2, 2), "relu2_1": torch.ones(1, 3, 1, 1)}
    hr = {"relu1_1": torch.full((1, 2, 2, 2), 3.0), "relu2_1": torch.full((1, 3, 1, 1), 2.0)}
    assert perceptual(sr, hr, {"relu1_1": 0.5, "relu2_1": 2.0}).item() == pytest.approx(4.5 + 2.0)


def test_standard_adversarial_losses() -> None:
    real, made = torch.tensor([[math.log(3)]]), torch.tensor([[0.0]])  # probabilities 3/4 and 1/2
    assert discriminator_loss(real, made).item() == pytest.approx(-math.log(3 / 4) - math.log(1 / 2))
    assert generator_adversarial_loss(None, made).item() == pytest.approx(-math.log(1 / 2))
    smoothed = -0.9 * math.log(3 / 4) - 0.1 * math.log(1 / 4) - math.log(1 / 2)
    assert discriminator_loss(real, made, smoothing=0.1).item() == pytest.approx(smoothed)


def test_relativistic_adversarial_losses() -> None:
    real, made = torch.tensor([[1.0], [3.0]]), torch.tensor([[0.0], [2.0]])  # means 2 and 1

    def minus_log_s(x: float) -> float:
        return math.log1p(math.exp(-x))

    above = (minus_log_s(1 - 1) + minus_log_s(3 - 1)) / 2  # real against the mean of made
    below = (minus_log_s(-(0 - 2)) + minus_log_s(-(2 - 2))) / 2
    found = discriminator_loss(real, made, "relativistic").item()
    assert found == pytest.approx((above + below) / 2)
    raised = (minus_log_s(0 - 2) + minus_log_s(2 - 2)) / 2
    lowered = (minus_log_s(-(1 - 1)) + minus_log_s(-(3 - 1))) / 2
    found = generator_adversarial_loss(real, made, "relativistic").item()
    assert found == pytest.approx((raised + lowered) / 2)


def test_each_judge_is_compared_with_its_own_mean() -> None:
    # Two judges of another tilt each; to both, real and made pictures are alike.
    logits = torch.tensor([[5.0, -5.0], [5.0, -5.0]])
    chance = math.log(2)
    assert discriminator_loss(logits, logits, "relativistic").item() == pytest.approx(chance)
    places = logits[:, :, None, None].expand(2, 2, 3, 3)
    assert generator_adversarial_loss(places, places, "relativistic").item() == pytest.approx(chance)
    assert [each.item() for each in beliefs(places, places, "relativistic")] == [0.5, 0.5]


def test_beliefs() -> None:
    real, made = torch.tensor([[math.log(3)]]), torch.tensor([[0.0]])
    assert [each.item() for each in beliefs(real, made)] == pytest.approx([3 / 4, 1 / 2])
    # Real is above made by log 3, made below real by as much.
    found = [each.item() for each in beliefs(real, made, "relativistic")]
    assert found == pytest.approx([3 / 4, 1 / 4])


def test_relativistic_generator_needs_real_logits() -> None:
    with pytest.raises(ValueError, match="real"):
        generator_adversarial_loss(None, torch.zeros(1, 1), "relativistic")


def test_total_variation() -> None:
    # Down: |1-0|, |0.25-0.5|; across: |0.5-0|, |0.25-1|.
    assert total_variation(SR).item() == pytest.approx(1.25 / 2 + 1.25 / 2)
    assert total_variation(torch.full((1, 3, 4, 4), 0.3)).item() == 0
