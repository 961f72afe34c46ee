"""Maximum mean discrepancy between two groups of cells of the same unit.

Source: scDFM, Algorithm 1 (Gretton et al. 2012 for the unbiased estimator).
"""

import torch
from torch import Tensor

BANDWIDTHS = (0.5, 1.0, 2.0, 4.0)  # times the median squared distance of the real cells


def mmd2(generated: Tensor, real: Tensor) -> Tensor:
    """Unbiased squared MMD, the mean over four Gaussian kernels, always in float32 or wider.

    The bandwidths come from the real cells alone and carry no gradient. The result can be
    negative.

    Args:
        generated: (..., cells, genes), at least 2 cells; leading axes are separate units.
        real: (..., cells, genes), at least 2 cells.

    Returns:
        One value for each unit, shape (...).

    Raises:
        ValueError: A group has fewer than 2 cells, where no unbiased estimate exists.
    """
    n, m = generated.shape[-2], real.shape[-2]
    if min(n, m) < 2:
        raise ValueError(f"MMD needs at least 2 cells on each side, got {n} generated and {m} real")
    with torch.autocast(generated.device.type, enabled=False):
        wide = torch.promote_types(torch.promote_types(generated.dtype, real.dtype), torch.float32)
        distances = _squared_distances(torch.cat([generated.to(wide), real.to(wide)], dim=-2))
        # Three means near one leave a small difference: in float32 sums, four digits of it.
        median = _median_distance(distances[..., n:, n:].detach())
        kernel = _kernel(distances, scale=median).double()
        # The diagonal of exp(-0) is one: what is left are the pairs of different cells.
        within_generated = (kernel[..., :n, :n].sum((-2, -1)) - n) / (n * (n - 1))
        within_real = (kernel[..., n:, n:].sum((-2, -1)) - m) / (m * (m - 1))
        discrepancy = within_generated + within_real - 2 * kernel[..., :n, n:].mean((-2, -1))
        return discrepancy.to(wide)


def unit_mmd(
    generated: Tensor,
    real: Tensor,
    *,
    sizes: tuple[int, ...],
    real_sizes: tuple[int, ...] | None = None,
) -> Tensor:
    """Mean over units of MMD^2 between generated and real cells of the same unit, a scalar.

    Units of one cell have no unbiased MMD and are left out; zero if none is left.

    Args:
        generated: (cells, genes), rows sorted by unit.
        real: (cells, genes), likewise.
        sizes: Cells of each unit.
        real_sizes: Real cells of each unit; none: as many.
    """
    others = sizes if real_sizes is None else real_sizes
    if len({*sizes}) == len({*others}) == 1 and min(sizes[0], others[0]) > 1:
        ours, theirs = (cells.view(len(sizes), -1, cells.shape[1]) for cells in (generated, real))
        return mmd2(ours, theirs).mean()
    pairs = zip(torch.split(generated, list(sizes)), torch.split(real, list(others)), strict=True)
    values = [mmd2(ours, theirs) for ours, theirs in pairs if min(len(ours), len(theirs)) > 1]
    return torch.stack(values).mean() if values else generated.new_zeros(())


def _squared_distances(cells: Tensor) -> Tensor:
    # Centring first keeps the Gram form accurate where cells differ little from each other.
    cells = cells - cells.detach().mean(dim=-2, keepdim=True)
    squares = cells.square().sum(dim=-1)
    gram = cells @ cells.mT
    distances = (squares[..., :, None] + squares[..., None, :] - 2 * gram).clamp_min(0)
    diagonal = torch.eye(cells.shape[-2], dtype=torch.bool, device=cells.device)
    return distances.masked_fill(diagonal, 0)


def _median_distance(distances: Tensor) -> Tensor:
    rows, columns = torch.triu_indices(
        distances.shape[-2], distances.shape[-1], offset=1, device=distances.device
    )
    median = distances[..., rows, columns].median(dim=-1).values
    # Identical real cells have no scale of their own; any positive one keeps the kernel defined.
    return torch.where(median > 0, median, torch.ones_like(median))[..., None, None]


def _kernel(distances: Tensor, *, scale: Tensor) -> Tensor:
    # Each bandwidth is half the next: one exponential, then squares of it.
    kernels = [(distances / (-2 * BANDWIDTHS[-1] * scale)).exp()]
    for _ in BANDWIDTHS[1:]:
        kernels.append(kernels[-1].square())
    return torch.stack(kernels).mean(dim=0)
