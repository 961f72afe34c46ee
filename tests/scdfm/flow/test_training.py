"""Facts of the training loop."""

import copy
import dataclasses
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch

from scdfm.flow.loop.fit import fit
from scdfm.flow.loop.meter import StepLog
from scdfm.flow.loop.state import Progress
from scdfm.flow.method import flow_losses
from scdfm.flow.objective import StepCells
from scdfm.flow.training import Round, Trainer, TrainingConfig
from scdfm.model.paper import VelocityField
from tests.scdfm import small


def trainer(*, variant: str = "paper", **settings: Any) -> Trainer:
    defaults = {"steps": 6, "validate_every": 2, "log_every": 2, "learning_rate": 1e-2}
    made = small.awake(small.field(dropout=0.1, variant=variant)).float()
    return Trainer(
        made,
        training=TrainingConfig.model_validate(defaults | settings),
        losses=flow_losses(source="control"),
        seed=3,
    )


def batches(start: int) -> Iterator[StepCells]:
    index = start
    while True:
        draw = torch.Generator().manual_seed(index)
        step = small.cells()
        yield dataclasses.replace(
            step,
            index=index,
            target=torch.rand(step.target.shape, generator=draw),
            control=step.control.float(),
        )
        index += 1


def run(
    made: Trainer,
    *,
    scores: list[float] | None = None,
    shapes: list[float] | None = None,
    logs: list[StepLog] | None = None,
) -> list[Round]:
    given, shape = iter(scores or []), iter(shapes or [])

    def validate(field: VelocityField) -> dict[str, float]:
        return {"mse": next(given, 1.0)}

    return list(
        fit(
            made,
            batches(made.progress.next_batch),
            validate=validate,
            watch="mse",
            mode="min",
            log=(logs if logs is not None else []).append,
            shape=lambda: next(shape, None),
        )
    )


def test_the_untrained_model_is_the_first_round() -> None:
    assert [outcome.step for outcome in run(trainer())] == [0, 2, 4, 6]


def test_the_best_round_is_the_one_that_improved_last() -> None:
    rounds = run(trainer(), scores=[5.0, 3.0, 4.0, 2.0])
    assert [outcome.improved for outcome in rounds] == [True, True, False, True]


def test_of_equal_rounds_the_later_counts_and_is_no_gain() -> None:
    rounds = run(trainer(patience=2, steps=100), scores=[5.0, 3.0, 3.0, 3.0, 1.0])
    assert [outcome.improved for outcome in rounds] == [True, True, True, True]
    assert rounds[-1].step == 6  # two rounds without gain


def test_of_rounds_that_a_base_makes_equal_the_one_whose_flow_has_the_nearest_cells_counts() -> (
    None
):
    shapes = [0.4, 0.3, 0.6, 0.3, 0.1]
    rounds = run(trainer(steps=8), scores=[5.0, 5.0, 5.0, 5.0, 6.0], shapes=shapes)
    assert [outcome.improved for outcome in rounds] == [True, True, False, True, False]


def test_patience_goes_on_while_cells_come_nearer() -> None:
    shapes = [0.4, 0.3, 0.2, 0.2, 0.2]
    rounds = run(trainer(patience=2, steps=100), scores=[5.0] * 5, shapes=shapes)
    assert rounds[-1].step == 8


def test_how_near_the_best_cells_were_is_known_after_a_restart() -> None:
    made = trainer()
    made.judge({"mse": 1.0}, watch="mse", mode="min", shape=2.0)
    again = Progress.of(made.progress.kept())
    assert again == made.progress
    assert again.best_shape == 2.0


def test_a_step_on_several_batches_has_their_mean_gradient() -> None:
    def gradients(*numbers: int) -> dict[str, torch.Tensor]:
        made = trainer(accumulate=len(numbers))
        made.step(*(next(batches(number)) for number in numbers))
        return {
            name: weight.grad
            for name, weight in made.model.named_parameters()
            if weight.grad is not None
        }

    together, first, second = gradients(0, 1), gradients(0), gradients(1)
    assert together.keys() == first.keys()
    for name, gradient in together.items():
        torch.testing.assert_close(gradient, (first[name] + second[name]) / 2)


def test_workers_that_share_a_step_unevenly_have_its_gradient_and_losses() -> None:
    def stepped(*numbers: int, **group: int) -> tuple[Trainer, torch.Tensor]:
        made = trainer()
        for name, value in group.items():
            setattr(made, name, value)
        losses = made.step(*(next(batches(number)) for number in numbers))
        return made, losses.total.detach()

    whole, loss = stepped(0, 1, 2, together=3, own=3)
    first, one = stepped(0, 2, world=2, together=3, own=2)
    other, two = stepped(1, world=2, together=3, own=1)
    torch.testing.assert_close((one + two) / 2, loss)
    assert [made.progress.next_batch for made in (whole, first, other)] == [3, 3, 3]
    both = zip(first.model.parameters(), other.model.parameters(), strict=True)
    for weight, (a, b) in zip(whole.model.parameters(), both, strict=True):
        if weight.grad is not None:
            assert a.grad is not None
            assert b.grad is not None
            torch.testing.assert_close((a.grad + b.grad) / 2, weight.grad)


def test_several_batches_a_step_are_drawn_one_after_the_other() -> None:
    made = trainer(accumulate=3)
    run(made)
    assert (made.progress.step, made.progress.next_batch) == (6, 18)


def test_patience_ends_training_early() -> None:
    rounds = run(trainer(patience=2, steps=100), scores=[5.0, 3.0, 4.0, 4.0, 1.0])
    assert [outcome.step for outcome in rounds] == [0, 2, 4, 6]
    assert rounds[-1].last


def test_a_score_that_is_not_a_number_is_never_best() -> None:
    rounds = run(trainer(), scores=[float("nan"), 3.0, float("nan"), 4.0])
    assert [outcome.improved for outcome in rounds] == [False, True, False, False]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"ema": 0.9},
        {"ema": 0.9, "average_rounds": 2},
        {"clip_norm": 0.1},
        {"checkpoint_activations": True, "weight_decay": 0.1},
    ],
    ids=["plain", "averaged", "rounds", "clipped", "recomputed"],
)
def test_a_resumed_run_ends_with_the_same_bytes(settings: dict[str, Any]) -> None:
    whole = trainer(**settings)
    run(whole)
    first = trainer(**settings)
    for cells in batches(0):
        first.step(cells)
        if first.progress.step == 2:
            first.end_round()
        if first.progress.step == 3:
            break
    second = trainer(**settings)
    second.restore(first.state())
    assert second.progress.next_batch == 3
    run(second)
    for ours, theirs in zip(second.sampler.parameters(), whole.sampler.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_training_fits_what_it_sees() -> None:
    made = trainer(steps=60, validate_every=60, log_every=10, learning_rate=1e-2)
    step = next(batches(0))
    first = made.step(step).parts["cfm"].item()
    for _ in range(60):
        last = made.step(step).parts["cfm"].item()
    assert last < 0.7 * first


def test_the_rate_rises_then_falls_to_the_final_rate() -> None:
    config = TrainingConfig(
        steps=100, warmup=10, learning_rate=1.0, final_learning_rate=0.1, validate_every=10
    )
    rates = [config.rate(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[10] == pytest.approx(1.0)
    assert rates[100] == pytest.approx(0.1)


def test_averaged_weights_lag_behind() -> None:
    made = trainer(ema=0.9)
    before = [p.clone() for p in made.model.parameters()]
    run(made)
    assert made.sampler is made.averaged
    moved = sum((p - b).norm() for p, b in zip(made.model.parameters(), before, strict=True))
    lagging = sum((p - b).norm() for p, b in zip(made.sampler.parameters(), before, strict=True))
    assert 0 < lagging < moved


def test_the_mean_of_the_last_rounds_is_judged_and_sampled() -> None:
    made = trainer(average_rounds=2)
    seen: list[torch.Tensor] = []
    judged: list[torch.Tensor] = []

    def validate(field: VelocityField) -> dict[str, float]:
        judged.append(field.velocity_out.weight.detach().clone())
        seen.append(made.model.velocity_out.weight.detach().clone())
        return {"mse": 1.0}

    rounds = fit(
        made, batches(0), validate=validate, watch="mse", mode="min", log=lambda line: None
    )
    assert [outcome.step for outcome in rounds] == [0, 2, 4, 6]
    expected = [seen[0], seen[1], (seen[1] + seen[2]) / 2, (seen[2] + seen[3]) / 2]
    for ours, theirs in zip(judged, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(made.sampler.velocity_out.weight, expected[-1])


def test_clipping_bounds_the_gradient() -> None:
    made = trainer(clip_norm=1e-3)
    made.step(next(batches(0)))
    norms = [p.grad.norm() for p in made.model.parameters() if p.grad is not None]
    assert torch.stack(norms).norm() <= 1.001e-3


def test_a_step_that_turns_non_finite_names_step_part_and_condition() -> None:
    made = trainer()
    step = next(batches(0))
    broken = dataclasses.replace(step, target=torch.full_like(step.target, float("nan")))
    with pytest.raises(FloatingPointError, match=r"step 0: the cfm loss is nan on G1, G1\+G3"):
        made.step(broken)


def test_an_infinite_gradient_of_a_finite_loss_leaves_the_weights_alone() -> None:
    made = trainer(clip_norm=1.0)
    before = {name: weight.clone() for name, weight in made.model.named_parameters()}
    made.model.velocity_out.weight.register_hook(lambda gradient: gradient * float("inf"))
    message = r"step 0: the gradient of velocity_out\.weight is not finite on G1, G1\+G3; lower"
    with pytest.raises(FloatingPointError, match=message):
        made.step(next(batches(0)))
    for name, weight in made.model.named_parameters():
        assert torch.equal(weight, before[name])
    assert made.progress.step == 0


def test_infinite_weights_are_neither_judged_nor_kept() -> None:
    made = trainer(validate_every=1)

    def overflow(*_: object) -> None:
        with torch.no_grad():
            made.model.velocity_out.weight[0, 0] = float("inf")

    made.optimiser.register_step_post_hook(overflow)
    rounds = fit(
        made,
        batches(0),
        validate=lambda field: {"mse": 1.0},
        watch="mse",
        mode="min",
        log=lambda line: None,
    )
    next(rounds)
    with pytest.raises(
        FloatingPointError, match=r"step 1: the weights velocity_out\.weight are not"
    ):
        next(rounds)
    assert made.progress.rounds == 1


def test_a_state_that_could_not_go_on_is_refused_by_name() -> None:
    made = trainer()
    made.step(next(batches(0)))
    state = made.state()
    state["optimiser"]["state"][0]["exp_avg"][0] = float("nan")
    with pytest.raises(ValueError, match="training state of step 1 cannot go on: exp_avg of"):
        trainer().restore(state)


def test_a_state_of_an_unfused_optimiser_continues_fused() -> None:
    made = trainer()
    made.step(next(batches(0)))
    state = copy.deepcopy(made.state())
    for group in state["optimiser"]["param_groups"]:
        group["fused"] = None
    other = trainer()
    other.restore(state)
    assert [group["fused"] for group in other.optimiser.param_groups] == [True]
    for one in (made, other):
        one.step(next(batches(1)))
    for ours, theirs in zip(other.model.parameters(), made.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("variant", ["paper", "release"])
def test_recomputed_activations_give_the_same_gradients_dropout_included(variant: str) -> None:
    plain = trainer(variant=variant)
    again = trainer(variant=variant, checkpoint_activations=True)
    for made in (plain, again):
        made.step(next(batches(0)))
    ours, theirs = (dict(made.model.named_parameters()) for made in (again, plain))
    for name, weight in theirs.items():
        if weight.grad is None:
            assert ours[name].grad is None
        else:
            assert torch.equal(ours[name].grad, weight.grad), name


@pytest.mark.parametrize("variant", ["paper", "release"])
def test_recomputed_activations_are_not_kept(variant: str) -> None:
    def kept(made: Trainer) -> int:
        numbers = 0

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal numbers
            numbers += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            made.step(next(batches(0)))
        return numbers

    every = kept(trainer(variant=variant))
    assert kept(trainer(variant=variant, checkpoint_activations=True)) < every / 2


def test_logs_hold_the_mean_of_the_steps_since_the_last() -> None:
    logs: list[StepLog] = []
    run(trainer(steps=6, validate_every=6), logs=logs)
    assert [line.step for line in logs] == [2, 4, 6]
    assert all(line.speed.steps_per_second > 0 for line in logs)


def test_logs_hold_the_gradient_norm_the_cells_and_the_wait_for_them() -> None:
    made, logs = trainer(steps=2, log_every=2, validate_every=2, clip_norm=1e-3), list[StepLog]()
    norms: list[float] = []

    def late() -> Iterator[StepCells]:
        for cells in batches(0):
            time.sleep(0.02)
            yield cells

    clip = made._clip

    def seen(cells: Sequence[StepCells]) -> None:
        weights = [weight.grad for weight in made.model.parameters() if weight.grad is not None]
        norms.append(sum(float((gradient**2).sum()) for gradient in weights) ** 0.5)
        clip(cells)

    made._clip = seen  # type: ignore[method-assign]
    scores = {"mse": 1.0}
    list(fit(made, late(), validate=lambda field: scores, watch="mse", mode="min", log=logs.append))
    [line] = logs
    assert line.gradient_norm == pytest.approx(sum(norms) / 2, rel=1e-5)
    assert line.gradient_norm > 1e-3, "as it is before it is limited"
    assert line.speed.waiting >= 0.02
    assert line.speed.waiting * line.speed.steps_per_second < 1
    cells = len(small.cells().target)
    assert line.speed.cells_per_second == pytest.approx(cells * line.speed.steps_per_second)


def test_warmup_must_end_before_training_does() -> None:
    with pytest.raises(ValueError, match="warmup must be shorter than training"):
        TrainingConfig(steps=10, warmup=10)


def test_training_that_is_over_takes_no_further_step() -> None:
    made = trainer()
    run(made)
    again = trainer()
    again.restore(made.state())
    assert run(again) == []
    assert again.progress == made.progress


def test_the_untrained_round_is_judged_once() -> None:
    made = trainer(patience=9)
    first = next(
        fit(
            made,
            batches(0),
            validate=lambda field: {"mse": 1.0},
            watch="mse",
            mode="min",
            log=lambda line: None,
        )
    )
    again = trainer(patience=9)
    again.restore(made.state())
    assert [outcome.step for outcome in [first, *run(again)]] == [0, 2, 4, 6]
