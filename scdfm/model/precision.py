"""Number format of a velocity: float32 throughout, or bfloat16 products by autocast.

Only what the field computes runs under autocast. The loss, the MMD, the solver's sums and the
normalisation after an attention's difference stay in float32: there, large numbers that are almost
equal are subtracted.
"""

import torch
from torch import Tensor


def autocast(device: torch.device, dtype: torch.dtype | None) -> torch.autocast:
    """Compute products in `dtype` for the time of the block; none: as the tensors are."""
    if dtype is None:
        return torch.autocast(device.type, enabled=False)
    return torch.autocast(device.type, dtype=dtype)


def wide(x: Tensor) -> Tensor:
    """The tensor in float32, or as it is where it is wider."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
