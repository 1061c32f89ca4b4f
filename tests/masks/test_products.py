from __future__ import annotations

import pytest
import torch

from seediff.masks.products import BLOCK, sum_gathered, sum_of_rows, times_vector

SIDE = 1024  # large enough for PyTorch to use several threads


@pytest.fixture(autouse=True)
def fixed_values():
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def matrix() -> torch.Tensor:
    return torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def some(count: int) -> torch.Tensor:
    return torch.randperm(SIDE, generator=torch.Generator().manual_seed(count))[:count].sort().values


@pytest.mark.parametrize("count", [1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, SIDE])
def test_sum_of_rows_in_float64(matrix: torch.Tensor, count: int):
    rows, weights = some(count), torch.rand(count)
    torch.testing.assert_close(sum_of_rows(matrix, rows).double(), matrix[rows].double().sum(0), rtol=1e-6, atol=0)
    expected = (matrix[rows].double() * weights.double()[:, None]).sum(0)
    torch.testing.assert_close(sum_of_rows(matrix, rows, weights).double(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("shape", [(SIDE, SIDE), (1, 7), (3, 1000), (700, 900)])
def test_times_vector_in_float64(shape: tuple[int, int]):
    values, vector = torch.rand(shape), torch.rand(shape[1])
    torch.testing.assert_close(times_vector(values, vector).double(), values.double() @ vector.double(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("misaligned", [1, 3, 5, 8])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_bits_do_not_depend_on_where_the_values_lie_nor_on_threads(matrix: torch.Tensor, misaligned: int, threads: int):
    def results(values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        rows = some(700)
        return sum_of_rows(values, rows), sum_of_rows(values, rows, values[0, rows]), times_vector(values, values[1])

    elsewhere = torch.empty(SIDE * SIDE + misaligned)[misaligned:].view(SIDE, SIDE).copy_(matrix)
    before = torch.get_num_threads()
    expected = results(matrix)
    try:
        torch.set_num_threads(threads)
        assert all(torch.equal(a, b) for a, b in zip(results(elsewhere), expected, strict=True))
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("count", [1, BLOCK + 1, SIDE])
def test_devices_without_embedding_bag_gather(matrix: torch.Tensor, count: int):
    rows, weights = some(count), torch.rand(count)
    torch.testing.assert_close(sum_gathered(matrix, rows), sum_of_rows(matrix, rows))
    torch.testing.assert_close(sum_gathered(matrix, rows, weights), sum_of_rows(matrix, rows, weights))
