"""Boolean functions of numbered variables, as complement-edge BDDs: the only module that imports oxidd.

A `Node` is canonical: two nodes of one manager are equal exactly when they are the same function, and comparing and
hashing them costs nothing. They combine by `&`, `|`, `^`, `~` and `.ite(then, otherwise)`.

One worker thread: a second one keeps free slots of its own, and a store of 200,000 nodes then ran out of memory at
112,000 (oxidd 0.13). Memory is only touched when it is used, but for the cache of operations.
"""

# ruff: noqa: TID251 -- this is the one module that imports oxidd

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from oxidd.bcdd import BCDDFunction as Node
from oxidd.bcdd import BCDDManager
from oxidd.util import BooleanOperator
from oxidd.util import DDMemoryError as OutOfNodes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["Bdd", "Node", "OutOfNodes"]

# oxidd only reads the number, and a member of an enumeration takes longer to find its own than the operation takes
_AND = cast("BooleanOperator", SimpleNamespace(value=BooleanOperator.AND.value))
_CACHE_ENTRIES = (1 << 14, 1 << 21)
# So few variables are replaced one inside the other where one of them lies so deep.
_FEW, _DEEP = 8, 200


class Bdd:
    """One store of nodes. Everything that runs out of memory raises `OutOfNodes`.

    `expected` is about how many operations there will be; the cache, which costs 10 ms for a million entries to set up,
    is made for it.
    """

    __slots__ = ("_collect_above", "_manager", "false", "true", "variables")

    def __init__(self, capacity: int, expected: int = 1 << 14) -> None:
        least, most = _CACHE_ENTRIES
        cache = 1 << min(max(expected, least), most).bit_length() - 1
        self._manager = BCDDManager(capacity, cache, 1)
        self._collect_above = capacity * 3 // 4
        self.true: Node = self._manager.true()
        self.false: Node = self._manager.false()
        self.variables: list[Node] = []

    def add_variables(self, count: int) -> range:
        """Add variables at the end of the order and return their numbers."""
        added = self._manager.add_vars(count)
        self.variables.extend(self._manager.var(number) for number in added)
        return added

    def collect(self) -> None:
        """Free what is not used any more, where the store is three quarters full: an operation cannot wait for that."""
        if self._manager.approx_num_inner_nodes() > self._collect_above:
            self._manager.gc()
            self._collect_above = max(self._collect_above, self._manager.num_inner_nodes() * 5 // 4)

    @property
    def size(self) -> int:
        """Return how many nodes there are."""
        return self._manager.num_inner_nodes()

    def any_of(self, nodes: Sequence[Node]) -> Node:
        """Return the union, halving the list each time: neighbours are alike, and big functions meet only at the end."""
        if not nodes:
            return self.false
        row = list(nodes)
        while len(row) > 1:
            row = [left | right for left, right in zip(row[::2], row[1::2], strict=False)] + row[len(row) & ~1 :]
        return row[0]

    def cube(self, variables: Iterable[int]) -> Node:
        """Return the conjunction of variables, the form in which quantifiers take a set of them."""
        found = self.true
        for number in sorted(variables, reverse=True):
            found = self.variables[number] & found
        return found

    def exists(self, node: Node, variables: Iterable[int]) -> Node:
        """Return the function that holds where `node` does for some values of the variables."""
        return node.exists(self.cube(variables))

    def forall(self, node: Node, variables: Iterable[int]) -> Node:
        """Return the function that holds where `node` does for all values of the variables."""
        return node.forall(self.cube(variables))

    def knowing(self, node: Node, values: Sequence[tuple[int, bool]]) -> Node:
        """Return the function for known values of variables."""
        return self.assignment(values)(node)

    def assignment(self, values: Sequence[tuple[int, bool]]) -> Callable[[Node], Node]:
        """Return the operation that puts in known values of variables, all at once.

        For one variable that is only a step down where it is the first of the node.
        """
        if len(values) != 1:
            literals, variables = self.true, self.true
            for number, value in sorted(values, reverse=True):
                variable = self.variables[number]
                literals = (variable if value else ~variable) & literals
                variables = variable & variables
            return lambda node: node.apply_exists(_AND, literals, variables)
        ((number, value),) = values
        variable = self.variables[number]
        literal = variable if value else ~variable

        def change(node: Node) -> Node:
            first = node.node_var()
            if first is None or first > number:  # variables are never put into another order
                return node
            if first == number:
                return node.cofactor_true() if value else node.cofactor_false()  # type: ignore[return-value] # no terminal
            return node.apply_exists(_AND, literal, variable)

        return change

    def substitution(self, replacements: Mapping[int, Node]) -> Callable[[Node], Node]:
        """Return the operation that replaces variables by functions, all at once.

        oxidd makes a table of all variables down to the last one that is replaced, for each function: that took longer
        than all else where hundreds of guests have a limit each. Few that lie deep are replaced one inside the other.
        """
        if len(replacements) <= _FEW and max(replacements, default=0) >= _DEEP:
            cube, pairs = self.cube(replacements), tuple(replacements.items())
            return lambda node: node if node.exists(cube) == node else self._replaced(node, pairs)
        prepared = Node.make_substitution(list(replacements.items()))
        return lambda node: node.substitute(prepared)

    def _replaced(self, node: Node, replacements: tuple[tuple[int, Node], ...]) -> Node:
        if not replacements:
            return node
        (number, function), *others = replacements
        variable, rest = self.variables[number], tuple(others)
        true = node.apply_exists(_AND, variable, variable)
        if true == node:
            return self._replaced(node, rest)
        false = node.apply_exists(_AND, ~variable, variable)
        return function.ite(self._replaced(true, rest), self._replaced(false, rest))

    def pick(self, node: Node) -> list[bool] | None:
        """Return values of all variables for which the node holds, false where it does not matter."""
        picked = node.pick_cube()
        return None if picked is None else [bool(value) for value in picked]
