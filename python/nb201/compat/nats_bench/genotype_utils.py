"""Cells as graphs, as in nats_bench.genotype_utils."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Dict, List, Optional, Sequence, Tuple

from .. import _cells

__all__ = ["TopologyStructure", "topology_str2structure"]


def topology_str2structure(xstr: Any) -> TopologyStructure:
    """Returns the cell of a genotype string."""
    return TopologyStructure.str2structure(xstr)


def _check(holds: bool, text: str) -> None:
    if not holds:
        raise AssertionError(text)


def _is_sequence(value: Any) -> bool:
    return isinstance(value, (list, tuple))


class TopologyStructure:
    """A cell: for each node after the first, the (operation, input node) of its edges.

    Raises:
        AssertionError: if genotype is not made so.
    """

    def __init__(self, genotype: Any) -> None:
        _check(_is_sequence(genotype), f"a genotype is a list or tuple, not a {type(genotype).__name__}")
        self.node_num = len(genotype) + 1
        self.nodes: List[Tuple[Any, ...]] = []
        self.node_N: List[int] = []
        for number, edges in enumerate(genotype):
            _check(_is_sequence(edges), f"a node is a list or tuple, not a {type(edges).__name__}")
            _check(len(edges) > 0, "a node has at least one edge")
            for edge in edges:
                _check(_is_sequence(edge), f"an edge is a list or tuple, not a {type(edge).__name__}")
                _check(len(edge) == 2 and edge[1] <= number, f"an edge is (operation, earlier node), not {edge}")
            self.node_N.append(len(edges))
            self.nodes.append(tuple(deepcopy(edges)))

    def tolist(self, remove_str: Any) -> Tuple[Optional[List[Any]], bool]:
        """Returns the nodes, sorted by input, without edges of an operation; (None, False) if a node loses all."""
        nodes = []
        for edges in self.nodes:
            left = tuple(edge for edge in sorted(edges, key=lambda edge: (edge[1], edge[0])) if edge[0] != remove_str)
            if not left:
                return None, False
            nodes.append(left)
        return nodes, True

    def node(self, index: int) -> Any:
        """Returns an element of nodes."""
        _check(0 < index <= len(self), f"no node {index}; there are 1 to {len(self)}")
        return self.nodes[index]

    def tostr(self) -> str:
        """Returns the genotype string."""
        return "+".join("|" + "|".join(f"{edge[0] + '~'}{edge[1]}" for edge in edges) + "|" for edges in self.nodes)

    def check_valid(self) -> bool:
        """Returns whether a path without ``none`` leads from the first node to the last."""
        reached = {0: True}
        for number, edges in enumerate(self.nodes, start=1):
            reached[number] = any([operation != "none" and reached[source] for operation, source in edges])
        return reached[len(self.nodes)]

    def to_unique_str(self, consider_zero: Optional[bool] = False) -> str:
        """Returns a string that isomorphic cells share.

        Args:
            consider_zero: True if ``none`` and ``skip_connect`` have their meaning, False if only the latter has,
                None if neither has.
        """
        names: Dict[int, str] = {0: "0"}
        for number, edges in enumerate(self.nodes, start=1):
            parts = []
            for operation, source in edges:
                if consider_zero and (operation == "none" or names[source] == "#"):
                    parts.append("#")
                elif consider_zero is not None and operation == "skip_connect":
                    parts.append(names[source])
                else:
                    parts.append(f"({names[source]})@{operation}")
            names[number] = "+".join(sorted(parts))
        return names[len(self.nodes)]

    def check_valid_op(self, op_names: Any) -> bool:
        """Returns whether all operations are among some."""
        return all(edge[0] in op_names for edges in self.nodes for edge in edges)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.node_num} nodes with {self.tostr()})"

    def __len__(self) -> int:
        return len(self.nodes) + 1

    def __getitem__(self, index: Any) -> Any:
        return self.nodes[index]

    @staticmethod
    def str2structure(xstr: Any) -> TopologyStructure:
        """Returns the cell of a genotype string, or a cell itself."""
        if isinstance(xstr, TopologyStructure):
            return xstr
        _check(isinstance(xstr, str), f"a genotype string is a str, not a {type(xstr).__name__}")
        return TopologyStructure(_cells.lists(xstr))

    @staticmethod
    def str2fullstructure(xstr: Any, default_name: str = "none") -> TopologyStructure:
        """Returns the cell of a genotype string with edges of an operation where it has none, sorted by input."""
        _check(isinstance(xstr, str), f"a genotype string is a str, not a {type(xstr).__name__}")
        nodes = []
        for number, edges in enumerate(_cells.lists(xstr)):
            inputs = [source for _, source in edges]
            added = [(default_name, source) for source in range(number) if source not in inputs]
            nodes.append(tuple(sorted([*edges, *added], key=lambda edge: (edge[1], edge[0]))))
        return TopologyStructure(nodes)

    @staticmethod
    def gen_all(search_space: Sequence[str], num: int, return_ori: bool) -> Any:
        """Raises NameError, as the original does, which lacks the function that it calls."""
        _check(_is_sequence(search_space), f"a search space is a list or tuple, not a {type(search_space).__name__}")
        _check(num >= 2, f"a cell has at least 2 nodes, not {num}")
        raise NameError("gen_all does not work in nats-bench 1.8 either; use meta_archs")
