"""How several workers come to one way of computing."""

from __future__ import annotations

import subprocess
import sys

from vidsr.inference.upscaler import WorkPlan
from vidsr.pipelines.manner import Manner, choose_common


def test_all_work_as_the_one_with_the_least_memory_can() -> None:
    manners = [Manner(8, None, 4, "a"), Manner(4, 512, 2, "b"), Manner(16, 1024, 8, "a")]
    together = choose_common(manners, mixed=False)
    assert together == Manner(4, 512, 2, "a")
    assert together.work == WorkPlan(4, 512)
    assert choose_common(manners[:1], mixed=False) == manners[0]
    # A way of one kind of device means nothing to another.
    assert choose_common(manners, mixed=True).way is None


def test_a_choice_outlives_the_run_that_made_it() -> None:
    manner = Manner(2, None, 3, "fast")
    assert Manner.kept({"threads": 5, **manner.to_json()}) == manner


def test_pytorch_has_the_threads_that_were_chosen_before_it_was_loaded() -> None:
    code = (
        "import sys\n"
        "from vidsr.cores import threads, use_threads\n"
        "from vidsr.models.weights import find_weights\n"
        "use_threads(3)\n"
        "assert threads() == 3 and 'torch' not in sys.modules\n"
        "import torch\n"
        "from vidsr.inference.torch_backend import TorchBackend\n"
        "with TorchBackend(find_weights('srgan-fast', 2), torch.device('cpu')):\n"
        "    assert threads() == torch.get_num_threads() == 3\n"
        "torch.set_num_threads(2)\n"
        "assert threads() == 2\n"  # whoever tells PyTorch otherwise is heard
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
