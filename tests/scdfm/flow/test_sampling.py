"""Facts of generated cells."""

import numpy as np
import pytest
import torch

from scdfm.flow.sampling import Cells, SamplingConfig, canonical_blocks, generate, rollout
from tests.scdfm import small

BLOCKS = [np.arange(small.GENES)]


def controls(*, cells: int = 5) -> Cells:
    draw = np.random.default_rng(3)
    control = draw.random((cells, small.GENES), dtype=np.float32)
    return Cells(control=control, start=control, identity=range(cells), replicate=[0] * cells)


def sample(source: str = "noise", *, given: Cells | None = None, **settings: object) -> np.ndarray:
    made = small.awake(small.field()).float()
    return generate(
        made,
        given or controls(),
        condition=("G1",),
        blocks=BLOCKS,
        source=source,  # type: ignore[arg-type]
        config=SamplingConfig.model_validate({"steps": 3} | settings),
        seed=7,
    )


def test_expression_is_never_negative() -> None:
    assert sample().min() >= 0
    assert sample(clamp=False).min() < 0


@pytest.mark.parametrize("source", ["noise", "control", "other_control"])
def test_a_cell_does_not_depend_on_its_batch(source: str) -> None:
    together = sample(source)
    given = controls()
    alone = [
        sample(source, given=Cells(given.control[[k]], given.control[[k]], [k], [0]))
        for k in range(len(together))
    ]
    np.testing.assert_allclose(np.concatenate(alone), together, atol=1e-6)


def test_replicates_of_a_control_cell_differ_from_noise_and_not_from_control() -> None:
    given = controls(cells=1)
    rows = np.repeat(given.control, 2, axis=0)
    twice = Cells(rows, rows, [0, 0], [0, 1])
    first, second = sample("noise", given=twice)
    assert not np.allclose(first, second)
    first, second = sample("control", given=twice)
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_the_same_seed_gives_the_same_cells() -> None:
    np.testing.assert_array_equal(sample(), sample())


def test_from_control_an_untrained_field_predicts_no_change() -> None:
    made = small.field().float()
    made.start_at_rest()
    given = controls()
    out = generate(
        made,
        given,
        condition=("G1", "G3"),
        blocks=BLOCKS,
        source="control",
        config=SamplingConfig(),
        seed=0,
    )
    np.testing.assert_array_equal(out, given.control)


def test_a_rollout_switches_dropout_off_and_leaves_the_mode_as_it_was() -> None:
    made = small.awake(small.field(dropout=0.5)).float().train()
    step = small.cells(units=(("G1",),))

    def run() -> torch.Tensor:
        return rollout(
            made,
            start=step.control.float(),
            control=step.control.float(),
            genes=step.genes,
            conditions=step.conditions,
            unit_of_cell=step.unit_of_cell,
            config=SamplingConfig(steps=2),
        )

    torch.testing.assert_close(run(), run())
    assert made.training


def test_blocks_hold_every_gene_once() -> None:
    blocks = canonical_blocks(10, size=4, seed=0)
    assert [len(block) for block in blocks] == [4, 4, 2]
    assert sorted(np.concatenate(blocks).tolist()) == list(range(10))


def test_genes_that_fit_are_one_block_in_order() -> None:
    [block] = canonical_blocks(6, size=9, seed=3)
    assert block.tolist() == [0, 1, 2, 3, 4, 5]


def test_steps_are_late_from_noise_and_even_from_control_cells() -> None:
    midpoint = SamplingConfig()
    assert midpoint.settled("noise").spacing == "late"
    assert midpoint.settled("other_control").spacing == "even"
    assert SamplingConfig(solver="rk4").settled("noise").spacing == "even"
    assert SamplingConfig(spacing="late").settled("control").spacing == "late"
