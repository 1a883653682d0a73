from dataclasses import replace

import pytest
import torch

from tests.training.states import make_pair, make_state, same, weights_of
from vidsr.training.gan_step import SRPair, gan_step, pixel_step
from vidsr.training.losses import Losses

FEATURES = Losses(features=lambda rgb: {"grey": rgb.mean(dim=1, keepdim=True)}, layers={"grey": 1.0})


def test_a_two_block_network_overfits_one_batch() -> None:
    state, pair = make_state(), make_pair()
    first = pixel_step(state, pair, Losses())["pixel"].item()
    for _ in range(150):
        last = pixel_step(state, pair, Losses())["pixel"].item()
    assert last < first / 5
    assert state.step == 151


def test_pixel_step_moves_only_the_generator() -> None:
    state = make_state("adversarial")
    assert state.discriminator is not None
    before, judge = weights_of(state.generator), weights_of(state.discriminator)
    pixel_step(state, make_pair(), Losses())
    assert not same(before, weights_of(state.generator))
    assert same(judge, weights_of(state.discriminator))


@pytest.mark.parametrize("kind", ["standard", "relativistic"])
def test_gan_step_moves_both_networks(kind: str) -> None:
    state = make_state("adversarial")
    assert state.discriminator is not None
    generator, judge = weights_of(state.generator), weights_of(state.discriminator)
    terms = gan_step(state, make_pair(), replace(FEATURES, adversarial=kind))  # type: ignore[arg-type]
    moved = weights_of(state.generator)
    assert all(not torch.equal(generator[name], moved[name]) for name in moved)
    moved = weights_of(state.discriminator)
    assert all(not torch.equal(judge[name], moved[name]) for name in moved)
    assert {"discriminator", "real", "made", "adversarial", "perceptual", "pixel", "norm"} == set(terms)
    assert all(parameter.requires_grad for parameter in state.discriminator.parameters())


def test_discriminator_learns_to_tell_apart_what_does_not_change() -> None:
    state, pair = make_state("adversarial"), make_pair()
    frozen = weights_of(state.generator)
    for _ in range(40):
        terms = gan_step(state, pair, Losses(adversarial_weight=1.0))
        state.generator.load_state_dict(frozen)
    assert terms["real"] - terms["made"] > 0.3


def test_generator_fools_a_discriminator_that_does_not_learn() -> None:
    state, pair = make_state("adversarial"), make_pair()
    assert state.discriminator is not None
    state.set_learning_rate(0.0)
    for group in state.generator_optimizer.param_groups:
        group["lr"] = 2e-3
    first = gan_step(state, pair, Losses(adversarial_weight=1.0))["adversarial"].item()
    for _ in range(30):
        last = gan_step(state, pair, Losses(adversarial_weight=1.0))["adversarial"].item()
    assert last < first - 0.01


@pytest.mark.parametrize("judged", [None, 2])
@pytest.mark.parametrize("stage", ["pixel", "adversarial"])
def test_accumulated_parts_equal_one_batch(stage: str, judged: int | None) -> None:
    losses = replace(FEATURES, variation_weight=0.1)
    pair = make_pair()._replace(judged=judged)
    step = pixel_step if stage == "pixel" else gan_step
    whole = make_state(stage)  # type: ignore[arg-type]
    parts = make_state(stage, accumulate=2)  # type: ignore[arg-type]
    for state in (whole, parts):  # plain descent: Adam would blow rounding up where gradients are tiny
        state.generator_optimizer = torch.optim.SGD(state.generator.parameters(), 0.1)
        if state.discriminator is not None:
            state.discriminator_optimizer = torch.optim.SGD(state.discriminator.parameters(), 0.1)
    first = step(whole, pair, losses)
    second = step(parts, pair, losses)
    for name in first:
        assert second[name].item() == pytest.approx(first[name].item(), rel=1e-4), name
    for one, other in zip(whole.generator.parameters(), parts.generator.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def test_only_judged_patches_meet_the_discriminator_and_the_features() -> None:
    pair = make_pair()
    losses = replace(FEATURES, adversarial="relativistic", adversarial_weight=1.0, pixel_weight=1.0)
    seen: list[int] = []

    def features(rgb: torch.Tensor) -> dict[str, torch.Tensor]:
        seen.append(len(rgb))
        return {"grey": rgb.mean(dim=1, keepdim=True)}

    terms, judges = [], []
    for others in (pair.hr, pair.hr.flip(0)):  # what the patches behind should be: no verdict on it
        hr = torch.cat([pair.hr[:2], others[2:]])
        state = make_state("adversarial")
        assert state.discriminator is not None
        given = SRPair(pair.lr, hr, judged=2)
        terms.append(gan_step(state, given, replace(losses, features=features)))
        judges.append(weights_of(state.discriminator))
    assert set(seen) == {2}
    assert same(*judges)
    for name in ("discriminator", "adversarial", "perceptual"):
        assert torch.equal(terms[0][name], terms[1][name])
    assert terms[0]["pixel"] != terms[1]["pixel"]


def test_judges_see_the_ideal_and_the_pixel_loss_the_picture() -> None:
    pair = make_pair()
    losses = replace(FEATURES, adversarial="relativistic", adversarial_weight=1.0, pixel_weight=1.0)
    ideal = pair.hr.flip(3)
    found = gan_step(make_state("adversarial"), pair._replace(real=ideal), losses)
    as_hr = gan_step(make_state("adversarial"), pair._replace(hr=ideal), losses)
    for name in ("discriminator", "adversarial", "perceptual"):
        assert torch.equal(found[name], as_hr[name])
    assert torch.equal(found["pixel"], gan_step(make_state("adversarial"), pair, losses)["pixel"])
    assert found["pixel"] != as_hr["pixel"]


def test_an_update_that_is_not_finite_is_skipped() -> None:
    state, pair = make_state(), make_pair()
    pixel_step(state, pair, Losses())
    before = weights_of(state.generator)
    broken = SRPair(torch.full_like(pair.lr, float("nan")), pair.hr)
    terms = pixel_step(state, broken, Losses())
    assert not torch.isfinite(terms["pixel"])
    assert same(before, weights_of(state.generator))
    terms = pixel_step(state, pair, Losses())
    assert torch.isfinite(terms["pixel"])
    assert not same(before, weights_of(state.generator))


def test_bf16_step_is_near_the_exact_one() -> None:
    exact, half = make_state(), make_state()
    half.dtype = torch.bfloat16
    first = pixel_step(exact, make_pair(), Losses())["pixel"].item()
    second = pixel_step(half, make_pair(), Losses())["pixel"].item()
    # bf16 keeps 8 bits: a relative error of 2**-8 at most a rounding.
    assert second == pytest.approx(first, rel=2e-2)
    assert second != first


def test_gradient_is_clipped_to_the_norm() -> None:
    state = make_state()
    state.clip_norm = 1e-3
    state.generator_optimizer = torch.optim.SGD(state.generator.parameters(), 1.0)
    before = weights_of(state.generator)
    terms = pixel_step(state, make_pair(), Losses())
    after = weights_of(state.generator)
    moved = sum(float((after[name] - before[name]).square().sum()) for name in after) ** 0.5
    assert terms["norm"] > 1e-2
    assert moved == pytest.approx(1e-3, rel=1e-2)


def test_batches_that_cannot_be_cut_evenly_are_refused() -> None:
    with pytest.raises(ValueError, match="3 equal parts"):
        make_pair(4).split(3)
    with pytest.raises(ValueError, match="1 patches"):
        make_pair(4)._replace(judged=1).split(2)


def test_gan_step_without_a_discriminator_is_refused() -> None:
    with pytest.raises(ValueError, match="discriminator"):
        gan_step(make_state(), make_pair(), Losses())
