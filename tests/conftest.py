"""What every test has in common."""

from __future__ import annotations

import torch

# Small tensors gain nothing from a second thread, and on a busy machine lose much to it.
torch.set_num_threads(1)
