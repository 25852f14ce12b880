"""Which node an error is about, and where its address is written: nodes' own errors know neither."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from cli.context import run
from foundation.errors import Fatal, Retryable

if TYPE_CHECKING:
    from settlement.swap.engine.settings import TraderSettings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Nodes:
    """Fields: bitcoin, evm (URLs); bitcoin_place, evm_place, access_place (where a person wrote them, and what the
    bitcoin node lets in)."""

    bitcoin: str
    evm: tuple[str, ...]
    bitcoin_place: str
    evm_place: str
    access_place: str


class NodeAway(Retryable):
    """A trader's node does not serve. Fields: node (its URL, without secrets); problem; cure."""

    def __init__(self, node: str, problem: str, place: str) -> None:
        self.node = node
        self.problem = problem
        self.cure = f"start the node, or correct {place}"
        super().__init__(f"{node} does not serve: {problem}")


class NodesDisagree(Retryable):
    """A trader's EVM nodes answer differently. Fields: problem (what each says); cure."""

    def __init__(self, problem: str, place: str) -> None:
        self.problem = problem
        self.cure = f"compare them with one more node, and take out the one that lies: {place}"
        super().__init__(f"the EVM nodes disagree: {problem}")


class TooFewNodes(Retryable):
    """Fewer of a trader's EVM nodes answer than have to agree. Fields: problem (what each said instead); cure."""

    def __init__(self, problem: str, place: str) -> None:
        self.problem = problem
        self.cure = f"wait for the nodes, or name others: {place}"
        super().__init__(f"too few EVM nodes serve: {problem}")


class NodeDenies(Fatal):
    """A trader's node does not let it in, or is none of the chain's. Fields: node; problem; cure."""

    def __init__(self, node: str, problem: str, place: str) -> None:
        self.node = node
        self.problem = problem
        self.cure = f"correct {place}"
        super().__init__(f"{node}: {problem}")


def nodes_of(settings: TraderSettings) -> Nodes:
    """Those of a trader's folder."""
    file = settings.folder / "swap.toml"
    access = f"user and password, or cookie, under [bitcoin] in {file}"
    return Nodes(settings.bitcoin.url, settings.urls, f"[bitcoin] url in {file}", f"[evm] urls in {file}", access)


def run_naming(work: Coroutine[Any, Any, T], nodes: Nodes) -> T:
    """Run a command's work; where a signal cancels it, it was interrupted.

    Raises:
        NodeAway, NodeDenies, NodesDisagree, TooFewNodes: in place of what does not say which node it is, or where
            the nodes are written.
    """
    from adapters import rpc_errors
    from adapters.bitcoin import errors as bitcoin_errors
    from adapters.evm import errors as evm_errors

    try:
        return run(work)
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    except (rpc_errors.NodeUnavailable, rpc_errors.AccessDenied) as error:
        of_bitcoin = isinstance(error, bitcoin_errors.NodeUnavailable | bitcoin_errors.AccessDenied)
        node, place = _named(nodes, of_bitcoin)
        if isinstance(error, rpc_errors.NodeUnavailable):
            raise NodeAway(node, str(error), place) from error
        raise NodeDenies(node, str(error), nodes.access_place if of_bitcoin else place) from error
    except (bitcoin_errors.WrongChain, evm_errors.WrongChain) as error:
        node, place = _named(nodes, isinstance(error, bitcoin_errors.WrongChain))
        raise NodeDenies(node, str(error), place) from error
    except evm_errors.EndpointsDisagree as error:
        raise NodesDisagree(str(error), nodes.evm_place) from error
    except evm_errors.TooFewEndpoints as error:
        raise TooFewNodes(str(error), nodes.evm_place) from error


def _named(nodes: Nodes, of_bitcoin: bool) -> tuple[str, str]:
    if of_bitcoin:
        return f"the bitcoin node at {_without_secrets(nodes.bitcoin)}", nodes.bitcoin_place
    hosts = " or ".join(_without_secrets(one) for one in nodes.evm)
    return f"the EVM node at {hosts}", nodes.evm_place


def _without_secrets(url: str) -> str:
    """Scheme, host and port: paths may hold a provider's key."""
    scheme, _, rest = url.partition("//")
    return f"{scheme}//{rest.split('/', 1)[0].rpartition('@')[2]}"
