"""Facts of data-parallel steps: workers together do what one process does with all their cells."""

from pathlib import Path

import pytest
import torch
import torch.distributed
from torch import multiprocessing
from torch.nn.parallel import DistributedDataParallel

from tests.gpu.devices import ON_GPU, cells, trainer

BACKENDS = {"cpu": "gloo", "cuda": "nccl"}


def work(rank: int, world: int, device: str, variant: str, recompute: bool, folder: Path) -> None:
    """Take one step on this worker's batch; rank 0 writes loss and averaged gradient."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        BACKENDS[device], init_method=f"file://{folder / 'meet'}", rank=rank, world_size=world
    )
    here = f"{device}:{rank}" if device == "cuda" else device
    made = trainer(here, variant=variant, checkpoint_activations=recompute)
    made.wrapped = DistributedDataParallel(made.model)
    made.world = made.together = world
    losses = made.step(cells(here, index=rank))
    if rank == 0:
        gradient = {n: w.grad.cpu() for n, w in made.model.named_parameters() if w.grad is not None}
        torch.save({"loss": losses.total.detach().cpu(), "gradient": gradient}, folder / "rank0")
    assert made.progress.next_batch == world
    torch.distributed.destroy_process_group()


@pytest.mark.timeout(300)
@pytest.mark.slow
@pytest.mark.parametrize("recompute", [False, True], ids=["kept", "recomputed"])
@pytest.mark.parametrize("variant", ["paper", "release"])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=ON_GPU)])
def test_workers_average_what_each_would_do_alone(
    device: str, variant: str, recompute: bool, tmp_path: Path
) -> None:
    world = torch.cuda.device_count() if device == "cuda" else 2
    alone = [trainer(device, variant=variant) for _ in range(world)]
    losses = [made.step(cells(device, index=rank)) for rank, made in enumerate(alone)]
    multiprocessing.spawn(
        work, args=(world, device, variant, recompute, tmp_path), nprocs=world, join=True
    )
    together = torch.load(tmp_path / "rank0", weights_only=True)
    torch.testing.assert_close(
        together["loss"], losses[0].total.detach().cpu(), rtol=1e-4, atol=1e-5
    )
    for name, gradient in together["gradient"].items():
        each = [dict(made.model.named_parameters())[name].grad for made in alone]
        mean = torch.stack([one.cpu() for one in each if one is not None]).mean(dim=0)
        torch.testing.assert_close(gradient, mean, rtol=1e-3, atol=1e-4)
