"""Genotype strings, read as both clients read them."""

from __future__ import annotations

from typing import Any, Iterator, List, Sequence, Tuple


def _nodes(text: str) -> Iterator[List[List[str]]]:
    """Yields, for each node after the first, the [operation, input] pairs of its edges."""
    for node in text.split("+"):
        edges = [edge.split("~") for edge in node.split("|") if edge != ""]
        for edge in edges:
            if len(edge) != 2:
                raise AssertionError(f"{text!r}: an edge is OPERATION~NODE, not {'~'.join(edge)!r}")
        yield edges


def lists(text: str) -> List[Tuple[Tuple[str, int], ...]]:
    """Returns a tuple of (operation, input node) for each node after the first.

    Raises:
        AssertionError: if an edge is not OPERATION~NODE.
        ValueError: if a node is not a number.
    """
    return [tuple((operation, int(node)) for operation, node in edges) for edges in _nodes(text)]


def matrix(text: str, operations: Sequence[str]) -> Any:
    """Returns a float64 array [nodes, nodes] with the number of the operation from column to row.

    Raises:
        AssertionError: if an edge is not OPERATION~NODE.
        ValueError: if operations lacks an operation, or a node is not a number.
        IndexError: if a node has too high a number.
    """
    import numpy

    size = text.count("+") + 2
    made = numpy.zeros((size, size))
    for row, edges in enumerate(_nodes(text), start=1):
        for operation, node in edges:
            if operation not in operations:
                raise ValueError(f"{text!r}: {operation!r} is not one of {operations}")
            made[row, int(node)] = operations.index(operation)
    return made
