import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gencv.models.plan import Plan, order_of, share_of


@st.composite
def plans(draw: st.DrawFn, strata: bool = False) -> Plan:
    num_train, num_val = draw(st.integers(1, 60)), draw(st.integers(1, 20))
    rows = draw(st.permutations(range(num_train + num_val)))
    of_train = tuple(draw(st.lists(st.integers(0, 3), min_size=num_train, max_size=num_train))) if strata else ()
    return Plan(
        train=tuple(rows[:num_train]),
        val=tuple(rows[num_train:]),
        epochs=draw(st.integers(1, 3)),
        batch_size=draw(st.integers(1, 17)),
        seed=draw(st.integers(0, 5)),
        strata=of_train,
    )


@given(plans())
def test_an_epoch_is_every_training_row_once_then_every_validation_row(plan: Plan) -> None:
    steps = [plan[number] for number in range(len(plan))]
    assert len(plan) == plan.epochs * plan.steps_per_epoch
    for epoch in range(plan.epochs):
        of_epoch = steps[epoch * plan.steps_per_epoch : (epoch + 1) * plan.steps_per_epoch]
        assert [(step.epoch, step.index) for step in of_epoch] == [(epoch, i) for i in range(plan.steps_per_epoch)]
        assert [step.is_training for step in of_epoch] == sorted((step.is_training for step in of_epoch), reverse=True)
        assert sum(step.is_training for step in of_epoch) == plan.num_train_steps
        trained = [row for step in of_epoch if step.is_training for row in step.rows.tolist()]
        validated = [row for step in of_epoch if not step.is_training for row in step.rows.tolist()]
        assert sorted(trained) == sorted(plan.train) and validated == list(plan.val)
        assert all(0 < len(step.rows) <= plan.batch_size for step in of_epoch)
        assert all(len(step.rows) == plan.batch_size for step in of_epoch[: plan.num_train_steps - 1])


@given(st.integers(0, 70), st.integers(1, 12))
def test_the_shares_of_any_number_of_workers_are_the_step(count: int, num_workers: int) -> None:
    rows = np.random.default_rng(count).permutation(count)
    shares = [share_of(rows, rank, num_workers) for rank in range(num_workers)]
    assert sorted(np.concatenate(shares).tolist()) == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@given(plans(strata=True))
def test_strata_are_drawn_in_equal_parts(plan: Plan) -> None:
    stratum_of = dict(zip(plan.train, plan.strata, strict=True))
    for epoch in range(plan.epochs):
        order = order_of(plan, epoch).tolist()
        assert len(order) == len(plan.train)
        drawn = [stratum_of[row] for row in order]
        counts = [drawn.count(name) for name in set(plan.strata)]
        assert max(counts) - min(counts) <= 1
        for name in set(plan.strata):  # a small stratum is gone through whole before any of it comes again
            times = [order.count(row) for row in plan.train if stratum_of[row] == name]
            assert max(times) - min(times) <= 1


@settings(max_examples=30)
@given(plans(), st.integers(0, 5))
def test_the_order_depends_on_the_seed_and_the_epoch_alone(plan: Plan, seed: int) -> None:
    other = Plan(train=plan.train, val=(), epochs=9, batch_size=plan.batch_size + 3, seed=seed)
    assert (order_of(plan, 1).tolist() == order_of(other, 1).tolist()) or seed != plan.seed


def test_every_epoch_and_every_seed_has_an_order_of_its_own() -> None:
    def plan(seed: int) -> Plan:
        return Plan(train=tuple(range(50)), val=(50,), epochs=3, batch_size=8, seed=seed)

    orders = {tuple(order_of(plan(seed), epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9 and tuple(range(50)) not in orders
