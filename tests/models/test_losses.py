import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, log_softmax, softmax

from gencv.models.losses import NUM_VERDICT_OUTPUTS, Heads

LOSSES = sorted(NUM_VERDICT_OUTPUTS)


@st.composite
def batches(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Outputs float32 [B, 5] and labels int64 [B]."""
    count, seed = draw(st.integers(1, 8)), draw(st.integers(0, 999))
    rng = np.random.default_rng(seed)
    outputs = rng.normal(0, draw(st.sampled_from([1, 10, 50])), (count, 5)).astype(np.float32)
    return outputs, rng.integers(0, 2, count)


@settings(deadline=None)
@given(batches(), st.sampled_from(LOSSES), st.sampled_from([0.0, 0.1, 0.5]), st.tuples(*[st.floats(0.1, 5)] * 2))
def test_the_losses_are_those_of_the_books(
    batch: tuple[np.ndarray, np.ndarray], loss: str, smoothing: float, weights: tuple[float, float]
) -> None:
    outputs, labels = batch
    if loss == "softmax":
        logs = log_softmax(outputs[:, :2].astype(np.float64), axis=1)
    else:
        logit = outputs[:, 0].astype(np.float64)
        logs = -np.stack([np.logaddexp(0, logit), np.logaddexp(0, -logit)], 1)
    one_hot = np.eye(2)[labels] * (1 - smoothing) + smoothing / 2
    expected = -(one_hot * logs).sum(1) * np.array(weights)[labels]
    heads = Heads(loss, ("gan", "diffusion"))
    told = heads.verdict_losses(
        torch.from_numpy(outputs), torch.from_numpy(labels), torch.tensor(weights, dtype=torch.float32), smoothing
    )
    np.testing.assert_allclose(told.numpy(), expected, rtol=1e-4, atol=1e-4)


@settings(deadline=None)
@given(batches())
def test_the_verdicts_sigmoid_is_the_probability(batch: tuple[np.ndarray, np.ndarray]) -> None:
    outputs = torch.from_numpy(batch[0])
    by_softmax = torch.sigmoid(Heads("softmax").verdict(outputs)).numpy()
    np.testing.assert_allclose(by_softmax, softmax(batch[0][:, :2].astype(np.float64), axis=1)[:, 1], atol=1e-6)
    by_sigmoid = torch.sigmoid(Heads("sigmoid").verdict(outputs)).numpy()
    np.testing.assert_allclose(by_sigmoid, expit(batch[0][:, 0].astype(np.float64)), atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_outputs_are_cut_into_the_verdict_and_the_kinds(loss: str) -> None:
    heads = Heads(loss, ("diffusion", "gan", "inpainting"))
    outputs = torch.arange(heads.num_outputs, dtype=torch.float32).repeat(4, 1)
    assert heads.num_outputs == NUM_VERDICT_OUTPUTS[loss] + 3
    assert heads.kind_logits(outputs).shape == (4, 3) and heads.verdict(outputs).shape == (4,)
    assert heads.kind_logits(outputs)[0].tolist() == [heads.num_outputs - 3 + place for place in range(3)]
    assert Heads(loss).kind_logits(outputs[:, : NUM_VERDICT_OUTPUTS[loss]]).shape == (4, 0)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_picture_of_no_kind_costs_nothing(loss: str) -> None:
    heads = Heads(loss, ("diffusion", "gan"))
    outputs = torch.randn(3, heads.num_outputs, requires_grad=True)
    losses = heads.kind_losses(outputs, torch.tensor([-1, 0, 1]))
    expected = -log_softmax(heads.kind_logits(outputs).detach().numpy(), axis=1)
    np.testing.assert_allclose(losses.detach().numpy(), [0, expected[1, 0], expected[2, 1]], atol=1e-6)
    losses.sum().backward()
    assert outputs.grad is not None and not outputs.grad[0].any() and outputs.grad[1, -2:].all()
    assert not outputs.grad[:, : NUM_VERDICT_OUTPUTS[loss]].any()
    assert not heads.kind_losses(outputs, torch.full((3,), -1)).any()
