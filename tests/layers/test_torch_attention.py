"""The blockwise attention of PyTorch on CPUs, against plain attention under the same drop mask."""

import keras
import pytest

pytestmark = pytest.mark.tensors

if keras.config.backend() != "torch":
    pytest.skip("for the PyTorch backend only", allow_module_level=True)

import torch  # noqa: E402

from keras_geneformer.layers import torch_attention  # noqa: E402

LENGTH, RATE = 40, 0.3


@pytest.fixture(params=["one block", "three blocks"])
def blocks(request, monkeypatch):
    if request.param == "three blocks":
        monkeypatch.setattr(torch_attention, "BLOCK_BYTES", 0)
    arrays = torch.zeros((2, 4, LENGTH, LENGTH))
    assert len(torch_attention._blocks(*arrays)) == (1 if request.param == "one block" else 3)


@pytest.fixture(params=["padded", "full", "no mask", "packed"])
def real(request):
    """The real keys; for rows of several cells, the number of each key's cell."""
    if request.param == "no mask":
        return None
    if request.param == "packed":
        return torch.tensor([[1] * 17 + [2] * 15 + [0] * 8, [1] * 3 + [2] * 37])
    mask = torch.ones((2, LENGTH), dtype=torch.bool)
    if request.param == "padded":
        mask[1, 23:] = False
        mask[0, 4] = False
    return mask


def blockwise(query, key, value, real):
    torch.manual_seed(9)
    if real is not None and real.dtype != torch.bool:
        return torch_attention.attend_with_dropout(query, key, value, None, RATE, (real, real))
    return torch_attention.attend_with_dropout(query, key, value, real, RATE)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.float64, 2e-6)])
def test_value_and_gradients_are_those_of_plain_attention(blocks, real, dtype, tolerance):
    generator = torch.Generator().manual_seed(2)
    arrays = torch.randn((4, 2, 2, LENGTH, LENGTH), generator=generator, dtype=dtype)
    query, key, value = (array.clone().requires_grad_() for array in arrays[:3])
    # With the identity as values, what comes out are the weights: where they are zero, dropped.
    identity = torch.eye(LENGTH, dtype=dtype).expand_as(value).contiguous()
    kept = blockwise(query, key, identity, real).detach() != 0

    wanted_arrays = [array.double().clone().requires_grad_() for array in arrays[:3]]
    scores = wanted_arrays[0] @ wanted_arrays[1].transpose(-2, -1) * LENGTH**-0.5
    packed = real is not None and real.dtype != torch.bool
    if packed:
        scores = scores.masked_fill(real[:, None, :, None] != real[:, None, None], -torch.inf)
    elif real is not None:
        scores = scores.masked_fill(~real[:, None, None, :], -torch.inf)
    wanted = (scores.softmax(-1) * kept / (1 - RATE)) @ wanted_arrays[2]
    received = blockwise(query, key, value, real)
    assert received.dtype == dtype
    torch.testing.assert_close(received.double(), wanted, atol=tolerance, rtol=1e-4)

    (wanted * arrays[3].double()).sum().backward()
    (received * arrays[3]).sum().backward()
    for one, other in zip((query, key, value), wanted_arrays):
        assert one.grad.dtype == dtype
        torch.testing.assert_close(one.grad.double(), other.grad, atol=tolerance * 5, rtol=1e-4)
        if real is not None and not packed and one is not query:
            padded = ~real[:, None, :, None].expand_as(one.grad)
            assert not one.grad[padded].any()


def test_the_seed_of_keras_decides_what_is_dropped():
    query = torch.ones((1, 2, LENGTH, 4))
    value = torch.randn((1, 2, LENGTH, 4))

    def drawn(seed):
        keras.utils.set_random_seed(seed)
        return torch_attention.attend_with_dropout(query, query, value, None, RATE)

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
