import pytest
import torch

from vidsr.distributed import World
from vidsr.errors import UsageError

CPU = torch.device("cpu")


def test_a_single_process_is_a_world_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    world = World.from_environment()
    assert world == World(0, 1, 0)
    assert world.leads
    with world.joined(CPU) as joined:
        joined.wait()
        assert joined.agree(2.5, CPU) == 2.5
        assert joined.any(True, CPU) and not joined.any(False, CPU)
        assert not torch.distributed.is_initialized()


def test_torchruns_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    world = World.from_environment()
    assert (world.rank, world.size, world.local_rank) == (3, 4, 1)
    assert not world.leads


@pytest.mark.parametrize(("rank", "size"), [("4", "4"), ("-1", "2"), ("0", "0"), ("one", "2")])
def test_nonsense_is_refused(monkeypatch: pytest.MonkeyPatch, rank: str, size: str) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", size)
    with pytest.raises(UsageError, match="RANK"):
        World.from_environment()
