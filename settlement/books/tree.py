"""Balances at each level of the tree: accounts at the bottom, their groups and roots, the entity at the top. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from settlement.books.accounts import Account, Root, groups_of
from settlement.quantities import Asset


@dataclass(frozen=True, slots=True)
class Node:
    """A level of the tree. Fields: name (the entity's at the top); sums (base units by asset); children, by name."""

    name: str
    sums: Mapping[Asset, int]
    children: tuple[Node, ...] = ()

    def walk(self) -> Iterator[Node]:
        """This node and all below it, the top first."""
        yield self
        for child in self.children:
            yield from child.walk()

    def find(self, name: str) -> Node | None:
        """The node of this name, here or below."""
        return next((node for node in self.walk() if node.name == name), None)


@dataclass(frozen=True, slots=True)
class Equation:
    """Assets = liabilities + equity, for one asset, each with the sign that people expect (base units).

    Equity contains income less expenses, which are equity that is not closed yet.
    """

    asset: Asset
    assets: int
    liabilities: int
    equity: int

    @property
    def difference(self) -> int:
        """What is missing; 0 where the books balance."""
        return self.assets - self.liabilities - self.equity


def tree(entity: str, balances: Mapping[Account, int]) -> Node:
    """The tree over these balances."""
    sums: defaultdict[str, defaultdict[Asset, int]] = defaultdict(lambda: defaultdict(int))
    below: defaultdict[str, set[str]] = defaultdict(set)
    for account, balance in balances.items():
        way = ("", *groups_of(account.name), account.name)
        for upper, lower in pairwise(way):
            below[upper].add(lower)
        for name in way:
            sums[name][account.asset] += balance

    def node(name: str) -> Node:
        return Node(name or entity, dict(sums[name]), tuple(node(child) for child in sorted(below[name])))

    return node("")


def equations(top: Node) -> tuple[Equation, ...]:
    """The balance sheet's equation, for each asset."""
    roots = {child.name: child.sums for child in top.children}

    def of(asset: Asset, *names: Root) -> int:
        return sum(roots.get(name.value, {}).get(asset, 0) for name in names)

    return tuple(
        Equation(
            asset,
            of(asset, Root.ASSETS),
            -of(asset, Root.LIABILITIES),
            -of(asset, Root.EQUITY, Root.INCOME, Root.EXPENSES),
        )
        for asset in sorted(top.sums, key=lambda asset: (asset.code, asset.scale))
    )


def differences(kept: Node, derived: Node) -> Iterator[tuple[str, Asset, int, int]]:
    """Where two trees differ, at every level, the top first: name, asset, the first's sum, the second's."""
    ours = {node.name: node.sums for node in kept.walk()}
    theirs = {node.name: node.sums for node in derived.walk()}
    for name in dict.fromkeys((*ours, *theirs)):
        left, right = ours.get(name, {}), theirs.get(name, {})
        for asset in dict.fromkeys((*left, *right)):
            if left.get(asset, 0) != right.get(asset, 0):
                yield name, asset, left.get(asset, 0), right.get(asset, 0)
