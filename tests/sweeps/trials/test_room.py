"""What a sweep is told that asks for more than there is."""

import pytest
import torch

from sweeps import SweepConfig, tune


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_sweep_for_gpus_on_a_machine_without_names_cpus_gpus_and_settings(
    tiny_sweep: SweepConfig,
) -> None:
    resources = tiny_sweep.resources.model_copy(update={"cpu": 4, "gpu": 1.0})
    sweep = tiny_sweep.model_copy(update={"resources": resources})
    with pytest.raises(ValueError, match=r"4 CPUs and 1 GPU.*resources\.gpu") as caught:
        tune(sweep, address="local")
    assert "--gpu" not in str(caught.value)
    assert not sweep.directory.exists()
