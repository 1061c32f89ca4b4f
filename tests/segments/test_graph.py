"""Graphs of positions and their solvers, against hand-checked cases and plain NumPy in float64."""

import numpy as np
import pytest
import torch

from seediff.attention.maps import AttentionMaps
from seediff.config.constants import SegmentConfig
from seediff.errors import UserError
from seediff.segments.autosc import eigengap
from seediff.segments.falcon import objective, refine
from seediff.segments.graph import GRAPH, Graph, build_graph, by_appearance, cluster_qr, divide_graph, spectrum
from seediff.segments.suppression import label

PAIRS = np.kron(np.eye(2), np.full((2, 2), 0.9)) + 0.1
"""Two pairs of positions: weights 1 inside, .1 between."""
SOLVERS = ("diffcut", "falcon", "autosc")


def blocks(sizes: tuple[int, ...], *, between: float = 0.02, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Weights (N, N) of a shuffled graph with parts of these sizes, and the part of each position."""
    rng = np.random.default_rng(seed)
    parts = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    weights = np.where(parts[:, None] == parts, 1, between) * rng.uniform(0.7, 1, (len(parts), len(parts)))
    return (weights + weights.T) / 2, by_appearance(parts)


def division(weights: np.ndarray, method: str) -> np.ndarray:
    """The part (N,) of each position; its direction is its own alone."""
    graph = Graph(weights, np.eye(len(weights)), (1, len(weights)))
    return divide_graph(graph, SegmentConfig(method=method)).argmax(0).flatten().numpy()


def attention(side: int = 4, seed: int = 0) -> AttentionMaps:
    """Self-attention of random rows at one level."""
    rows = np.random.default_rng(seed).dirichlet(np.ones(side * side), side * side)
    return AttentionMaps({(side, side): torch.from_numpy(rows).float()}, {}, latent_size=(side, side))


def falcon_reference(weights: np.ndarray, parts: np.ndarray, tau: float) -> tuple[float, np.ndarray]:
    """f, and the parts after one step, term by term."""
    degrees, count = weights.sum(1), parts.max() + 1
    f, gain = 0.0, np.zeros((len(parts), count))
    for k in range(count):
        inside = sum(weights[i, j] for i in range(len(parts)) for j in range(len(parts)) if parts[i] == parts[j] == k)
        volume = degrees[parts == k].sum()
        f += inside / volume
        for i in range(len(parts)):
            gain[i, k] = 2 * (weights[i, parts == k].sum() / volume - degrees[i] * inside / volume**2) + tau * (parts[i] == k)
    return f, gain.argmax(1)


def test_falcon_by_hand():
    start = np.array([0, 1, 1, 1])
    f, _ = objective(PAIRS, PAIRS.sum(1), np.eye(2)[start])
    assert f == pytest.approx(1.273, abs=5e-4)
    moved = refine(PAIRS, start, tau=0.17)
    assert moved.tolist() == [0, 0, 1, 1]
    assert objective(PAIRS, PAIRS.sum(1), np.eye(2)[moved])[0] == pytest.approx(1.818, abs=5e-4)
    assert refine(PAIRS, start, tau=0.19).tolist() == start.tolist()  # a move costs more than its gain of .1818
    assert refine(PAIRS, start).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("seed", range(3))
def test_falcon_equals_numpy_and_never_falls(seed):
    weights, _ = blocks((5, 7, 4), between=0.4, seed=seed)
    parts = by_appearance(np.random.default_rng(seed).integers(0, 3, 16))
    f, gradient = objective(weights, weights.sum(1), np.eye(3)[parts])
    expected, moved = falcon_reference(weights, parts, 0.01)
    assert f == pytest.approx(expected, abs=1e-12)
    assert np.array_equal((gradient + 0.01 * np.eye(3)[parts]).argmax(1), moved)
    assert falcon_reference(weights, refine(weights, parts), 0)[0] >= f


def test_an_empty_part_stays_empty():
    x = np.eye(3)[[0, 0, 1, 1]]
    f, gradient = objective(PAIRS, PAIRS.sum(1), x)
    assert f == pytest.approx(1.818, abs=5e-4)
    assert np.isneginf(gradient[:, 2]).all()
    assert np.isfinite(gradient[:, :2]).all()


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_walk_by_hand(steps):
    """P = (.9, .1; .1, .9) has a second eigenvalue of .8, P^k of .8^k."""
    maps = AttentionMaps({(1, 2): torch.tensor([[0.9, 0.1], [0.1, 0.9]])}, {}, latent_size=(1, 2))
    graph = build_graph(maps, SegmentConfig(method="diffcut", graph="walk", walk_steps=steps))
    assert spectrum(graph.weights, 2)[0] == pytest.approx([1, 0.8**steps], abs=1e-6)


def test_graphs_equal_numpy():
    maps = attention()
    rows = maps.self_attention[4, 4].double().numpy()
    rows /= rows.sum(1, keepdims=True)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosine = unit @ unit.T
    expected = {
        "self": (rows + rows.T) / 2,
        "walk": (rows @ rows @ rows + (rows @ rows @ rows).T) / 2,
        "rows": ((cosine - cosine.min()) / (1 - cosine.min())) ** 3,
    }
    for name, weights in expected.items():
        graph = build_graph(maps, SegmentConfig(method="falcon", graph=name, walk_steps=3, cut_power=3))
        np.testing.assert_allclose(graph.weights, weights, atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(graph.directions, axis=0), 1)


@pytest.mark.parametrize("positions", [20, 300])  # all eigenvalues, Lanczos
def test_spectrum_equals_numpys(positions):
    weights, _ = blocks((positions // 2, positions // 4, positions // 4))
    roots = np.sqrt(weights.sum(1))
    values, vectors = np.linalg.eigh(weights / roots[:, None] / roots)
    found, found_vectors = spectrum(weights, 3)
    np.testing.assert_allclose(found, values[::-1][:3], atol=1e-10)
    np.testing.assert_allclose(np.abs((found_vectors * vectors[:, ::-1][:, :3]).sum(0)), 1, atol=1e-8)


def test_the_spectrum_of_a_walk_is_near_zero_and_still_found():
    """`A^8` of a smooth A: all but a few eigenvalues are 0 but for rounding. Lanczos must end, and with the right values."""
    place = np.arange(300) / 300
    rows = np.exp(-((place[:, None] - place) ** 2) / 0.02)
    rows = np.linalg.matrix_power(rows / rows.sum(1, keepdims=True), 8)
    weights = np.maximum((rows + rows.T) / 2, 1e-12)
    roots = np.sqrt(weights.sum(1))
    expected = np.linalg.eigvalsh(weights / roots[:, None] / roots)[::-1][:33]
    np.testing.assert_allclose(spectrum(weights, 33)[0], expected, atol=1e-9)


def test_cluster_qr_does_not_depend_on_the_basis():
    weights, parts = blocks((6, 9, 5, 12), between=0.1)
    vectors = spectrum(weights, 4)[1]
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))[0]
    assert np.array_equal(by_appearance(cluster_qr(vectors)), parts)
    assert np.array_equal(by_appearance(cluster_qr(vectors @ turn)), parts)


@pytest.mark.parametrize(
    ("values", "count"), [((1, 0.9, 0.85, 0.2, 0.1), 3), ((1, 0.3, 0.1, 0.05), 2), ((1, 0, 0), 1), ((1,), 1), ((1, 0.5), 2)]
)
def test_eigengap(values, count):
    assert eigengap(np.array(values, float)) == count


@pytest.mark.parametrize("method", SOLVERS)
@pytest.mark.parametrize("sizes", [(6, 9), (40, 60, 30, 50)])
def test_every_solver_finds_planted_parts(method, sizes):
    weights, parts = blocks(sizes)
    assert np.array_equal(division(weights, method), parts)


@pytest.mark.parametrize("method", SOLVERS)
def test_one_part_where_all_is_alike(method):
    config = SegmentConfig(method=method)
    assert not division(np.ones((9, 9)), method).any()
    assert not label(GRAPH.propose(torch.ones(3, 4, 4), config, None, 0), (8, 8)).any()


@pytest.mark.parametrize("method", SOLVERS)
@pytest.mark.parametrize("graph", ["self", "walk", "rows"])
def test_every_pair_divides_attention(method, graph):
    """Positions that attend to their own half only are two segments."""
    half = np.arange(16) // 8
    rows = np.where(half[:, None] == half, 1 / 8, 0)
    maps = AttentionMaps({(4, 4): torch.from_numpy(rows).float()}, {}, latent_size=(4, 4))
    segments = label(GRAPH.propose(maps, SegmentConfig(method=method, graph=graph), None, 0), (4, 4)).numpy()
    assert np.array_equal(segments, half.reshape(4, 4))


def test_too_many_positions_are_told_before_anything_runs():
    assert GRAPH.check is not None
    GRAPH.check((64, 64), SegmentConfig(method="diffcut", graph="walk"))
    GRAPH.check((128, 128), SegmentConfig(method="falcon"))
    with pytest.raises(UserError, match=r"latents of 128 have too many positions for graph walk"):
        GRAPH.check((128, 128), SegmentConfig(method="diffcut", graph="walk"))
