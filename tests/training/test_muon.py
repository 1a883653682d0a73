import pytest
import torch
from torch import nn

from tests.training.states import make_pair, make_state
from vidsr.training.gan_step import pixel_step
from vidsr.training.losses import Losses
from vidsr.training.muon import GAIN, MOMENTUM, WIDEST, Muon, orthogonalized


@pytest.mark.parametrize("shape", [(2, 8, 72), (1, 48, 27), (1, 3, 5184), (3, 16, 16)])
def test_singular_values_become_alike_and_vectors_stay(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    left, _, right = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    sizes = torch.logspace(-1.5, 0, left.shape[-1])  # the least is above a hundredth of the norm
    given = left * sizes @ right
    assert float(sizes[0] / given[0].norm()) > 0.01
    found = orthogonalized(given)
    in_given_axes = left.mT @ found @ right.mT
    values = torch.diagonal(in_given_axes, dim1=1, dim2=2)
    assert 0.67 < float(values.min()) <= float(values.max()) < 1.21
    assert torch.allclose(in_given_axes, torch.diag_embed(values), atol=1e-4)


def test_no_gradient_is_no_step() -> None:
    assert torch.equal(orthogonalized(torch.zeros(2, 4, 9)), torch.zeros(2, 4, 9))


def test_the_first_step_is_that_of_the_formula() -> None:
    torch.manual_seed(1)
    convolution = nn.Conv2d(4, 6, 3)
    weight, bias = convolution.weight.detach().clone(), convolution.bias.detach().clone()  # type: ignore[union-attr]
    optimizer = Muon(convolution.parameters(), 0.01)
    convolution(torch.rand(2, 4, 8, 8)).square().sum().backward()
    gradient = convolution.weight.grad
    assert gradient is not None and convolution.bias is not None and convolution.bias.grad is not None
    optimizer.step()
    rows = gradient.reshape(1, 6, 36) * (1 + MOMENTUM)
    expected = weight - 0.01 * GAIN * 36**0.5 * orthogonalized(rows).reshape(6, 4, 3, 3)
    assert torch.allclose(convolution.weight, expected, atol=1e-6)
    # Adam's first step is its rate, in the direction of the gradient's sign.
    assert torch.allclose(convolution.bias, bias - 0.01 * convolution.bias.grad.sign(), atol=1e-5)


def test_a_wide_filter_takes_no_longer_steps_than_the_widest() -> None:
    torch.manual_seed(2)
    tail = nn.Conv2d(64, 3, 9, bias=False)
    before = tail.weight.detach().clone()
    optimizer = Muon(tail.parameters(), 0.01)
    tail.weight.grad = torch.randn_like(tail.weight)
    optimizer.step()
    rows = (before - tail.weight).flatten(1).norm(dim=1)
    longest = 0.01 * GAIN * WIDEST**0.5
    assert ((0.6 * longest < rows) & (rows < 1.3 * longest)).all()


def test_layouts_and_company_do_not_matter() -> None:
    """Filters in channels-last memory, or beside others of their shape, are moved the same way."""
    torch.manual_seed(3)
    alone = nn.Conv2d(8, 8, 3)
    company = nn.Sequential(nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3))
    company[1].load_state_dict(alone.state_dict())
    company[1].weight.data = company[1].weight.data.contiguous(memory_format=torch.channels_last)
    one, both = Muon(alone.parameters(), 0.01), Muon(company.parameters(), 0.01)
    for seed in range(3):
        torch.manual_seed(seed)
        alone.weight.grad = torch.randn_like(alone.weight)
        company[0].weight.grad = torch.randn_like(company[0].weight)
        company[1].weight.grad = alone.weight.grad.clone()
        one.step()
        both.step()
    assert torch.allclose(alone.weight, company[1].weight, atol=1e-6)


def test_a_network_learns_by_it() -> None:
    state = make_state()
    state.generator_optimizer = Muon(state.generator.parameters(), 1e-3)
    losses = [float(pixel_step(state, make_pair(), Losses())["pixel"]) for _ in range(60)]
    assert losses[-1] < 0.3 * losses[0]


def test_a_closure_is_refused() -> None:
    convolution = nn.Conv2d(1, 1, 1)
    with pytest.raises(ValueError, match="no closure"):
        Muon(convolution.parameters(), 0.01).step(lambda: 0.0)
