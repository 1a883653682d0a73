import pytest

from vidsr.training.balance import PATIENCE, Balance


def warnings_of(real: float, made: float, readings: int) -> list[str]:
    balance = Balance()
    found = [balance.watch({"real": real, "made": made}) for _ in range(readings)]
    return [words for words in found if words is not None]


def test_a_fair_game_is_not_remarked_upon() -> None:
    assert warnings_of(0.7, 0.3, 3 * PATIENCE) == []


@pytest.mark.parametrize(
    ("real", "made", "words"), [(0.999, 0.001, "has won"), (0.5, 0.501, "collapsed")]
)
def test_imbalance_is_said_now_and_then(real: float, made: float, words: str) -> None:
    found = warnings_of(real, made, 3 * PATIENCE - 1)
    assert len(found) == 2
    assert all(words in text for text in found)


def test_nothing_is_said_of_the_first_moments() -> None:
    assert warnings_of(0.999, 0.001, PATIENCE - 1) == []


def test_an_imbalance_that_passes_is_forgotten() -> None:
    balance = Balance()
    for _ in range(50):
        balance.watch({"real": 0.999, "made": 0.001})
    found = [balance.watch({"real": 0.7, "made": 0.3}) for _ in range(PATIENCE)]
    assert found == [None] * PATIENCE
