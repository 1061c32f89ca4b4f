"""The lattice on which a network works, and the levels of attention on it.

A position is one latent, or in transformers a square of several. L is the (height, width) of the lattice in positions.
A map at level d has the size L / d: for example, with L = 64 × 64 the levels 1, 2, 4, 8 have sides of 64, 32, 16, 8.
"""

Grid = tuple[int, int]
"""(height, width) of a map, in positions. Positions are counted row by row."""


def grid_at(lattice: Grid, level: int) -> Grid:
    """(h, w) of a map at L / level, rounded up, as in convolutions that halve an odd side. lattice: L."""
    return -(-lattice[0] // level), -(-lattice[1] // level)


def grid_text(grid: Grid) -> str:
    """A map's size as a text: 16 if it is square, otherwise height × width such as 16 × 24."""
    height, width = grid
    return str(height) if height == width else f"{height} × {width}"
