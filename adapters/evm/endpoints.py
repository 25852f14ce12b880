"""One chain through several RPC endpoints, none of which is believed.

What can be proved (headers, logs) is read from one endpoint and checked against hashes on which all agree, so a single
honest endpoint is enough for a lie to be noticed. What cannot (the state of a contract) is asked from all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Self, TypeAlias, TypeVar

import structlog

from adapters.evm.endpoint import Endpoint, distinct
from adapters.evm.errors import (
    AccessDenied,
    BadAnswer,
    EndpointLied,
    EndpointsDisagree,
    NodeUnavailable,
    Reverted,
    RpcRefused,
    TooFewEndpoints,
    TooManyLogs,
    WrongChain,
)
from adapters.evm.headers import Header
from adapters.evm.reverts import RevertMaker
from adapters.evm.types import Call
from foundation.errors import BadInput, CausewayError
from foundation.quantities import BlockHeight, Wei
from registry.chains import Chain

_log = structlog.get_logger(__name__)

Answer = TypeVar("Answer")

Ask: TypeAlias = Callable[[Endpoint], Awaitable[Answer]]

_FAULTS: Final = (EndpointLied, NodeUnavailable, AccessDenied, RpcRefused, BadAnswer, TooManyLogs)
"""What is one endpoint's own failure, so that another one may be asked."""


class Endpoints:
    """The endpoints of one chain. All methods but `each` raise `WrongChain` (fatal) for one that serves another chain.

    With a single endpoint its own failures are raised as they are; with several, `TooFewEndpoints` and
    `EndpointsDisagree`, and both can pass.
    """

    def __init__(self, endpoints: Sequence[Endpoint], chain: Chain, *, quorum: int | None = None) -> None:
        """Describe them; nothing is asked yet.

        Args:
            endpoints: the chain's; errors name them.
            chain: as the Registry has it: number, genesis and the rule of what is final.
            quorum: how many have to answer, and agree; all where None. An endpoint that answers must always agree.

        Raises:
            BadInput: no endpoint, or a quorum that they cannot reach.
        """
        if not endpoints:
            raise BadInput("endpoints", "there are none", "at least one RPC URL")
        self._endpoints = distinct(endpoints)
        self.quorum = len(endpoints) if quorum is None else quorum
        if not 1 <= self.quorum <= len(endpoints):
            raise BadInput("quorum", f"{quorum} of {len(endpoints)}", f"1 to {len(endpoints)}")
        self.chain = chain
        self._preferred = 0
        self._faults: dict[str, CausewayError] = {}
        self._lies: dict[str, EndpointLied] = {}
        self._heights: dict[str, BlockHeight] = {}

    @classmethod
    def at(
        cls,
        urls: Sequence[str],
        chain: Chain,
        *,
        quorum: int | None = None,
        timeout_seconds: float = 10,
        reverted: RevertMaker = Reverted,
    ) -> Self:
        """The endpoints at these URLs. Raises `BadInput`."""
        made = [Endpoint.at(url, timeout_seconds=timeout_seconds, reverted=reverted) for url in urls]
        return cls(made, chain, quorum=quorum)

    async def close(self) -> None:
        """Close all connections."""
        for endpoint in self._endpoints:
            await endpoint.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.close()

    @property
    def names(self) -> tuple[str, ...]:
        """The endpoints' names, in order."""
        return tuple(endpoint.name for endpoint in self._endpoints)

    @property
    def faults(self) -> Mapping[str, CausewayError]:
        """Why endpoints failed when they were last asked, by name; those that answered well are not in it."""
        return MappingProxyType(self._faults)

    @property
    def lies(self) -> Mapping[str, EndpointLied]:
        """The last lie of each endpoint that ever told one, by name. Honest answers do not make up for it."""
        return MappingProxyType(self._lies)

    @property
    def heights(self) -> Mapping[str, BlockHeight]:
        """The final block that each endpoint last named: what shows that one of them is behind."""
        return MappingProxyType(self._heights)

    async def check(self) -> None:
        """Make sure that enough endpoints serve the chain, and none of them another one."""
        await self.agreed("the chain", _nothing, str)

    async def final(self) -> Header | None:
        """The newest block that all which answer hold for final; None where there is none yet.

        Raises:
            EndpointsDisagree: they have different blocks at that number.
            TooFewEndpoints: too few answer.
        """
        numbers = await self._answers("the final block", lambda endpoint: endpoint.final_number(self.chain))
        self._heights.update(numbers)
        lowest = min(numbers.values())
        return None if lowest < 0 else (await self.headers([lowest]))[0]

    async def headers(self, numbers: Sequence[BlockHeight]) -> list[Header]:
        """The headers of final blocks, on which all that answer agree. Raises as `final`."""

        async def ask(endpoint: Endpoint) -> tuple[Header, ...]:
            found = await endpoint.headers(numbers)
            held = tuple(header for header in found if header is not None)
            if len(held) < len(found):
                raise NodeUnavailable("eth_getBlockByNumber", "a final block is missing")
            return held

        def show(found: tuple[Header, ...]) -> str:
            return ", ".join(f"0x{header.hash.hex()}" for header in found)

        def hashes(found: tuple[Header, ...]) -> tuple[bytes, ...]:
            return tuple(header.hash for header in found)

        subject = "block " + ", ".join(f"{number:,}" for number in numbers)
        agreed: tuple[Header, ...] = await self.agreed(subject, ask, show, hashes)
        return list(agreed)

    async def call(self, call: Call, at: BlockHeight) -> bytes:
        """What a call returns after block `at`, on which all agree. Raises as `final`, and `Reverted`."""
        return (await self.calls([call], at))[0]

    async def calls(self, calls: Sequence[Call], at: BlockHeight) -> list[bytes]:
        """What several calls return after block `at`. Raises as `final`, and `Reverted` for the first refused."""
        subject = f"{', '.join(dict.fromkeys(call.label for call in calls))} at block {at:,}"
        return await self.agreed(subject, lambda endpoint: endpoint.rpc.calls(calls, at), _hex_list)

    async def balance(self, account: bytes, at: BlockHeight) -> Wei:
        """What an account (20 bytes) has after block `at`. Raises as `final`."""
        subject = f"balance of 0x{account.hex()} at block {at:,}"
        return await self.agreed(subject, lambda endpoint: endpoint.rpc.balance(account, at), str)

    async def code(self, address: bytes, at: BlockHeight) -> bytes:
        """The code at an address (20 bytes) after block `at`. Raises as `final`."""
        subject = f"code of 0x{address.hex()} at block {at:,}"
        return await self.agreed(
            subject, lambda endpoint: endpoint.rpc.code(address, at), lambda code: f"{len(code)} bytes"
        )

    async def agreed(
        self,
        subject: str,
        ask: Ask[Answer],
        show: Callable[[Answer], str],
        key: Callable[[Answer], object] = lambda answer: answer,
    ) -> Answer:
        """What all endpoints that answer say, and a quorum at least.

        Args:
            subject: what is asked, for errors.
            ask: asks one endpoint.
            show: an answer for people.
            key: what has to be equal of an answer.

        Raises:
            EndpointsDisagree, TooFewEndpoints: see the class.
            Reverted: all say that the contract refuses, in the same words.
        """
        answers = await self._answers(subject, lambda endpoint: _or_refusal(endpoint, ask))
        first = next(iter(answers.values()))
        values = {name: _comparable(answer, key) for name, answer in answers.items()}
        if any(value != _comparable(first, key) for value in values.values()):
            told = {name: _shown(answer, show) for name, answer in answers.items()}
            _log.warning("endpoints disagree", chain=self.chain.caip2, subject=subject, answers=told)
            raise EndpointsDisagree(subject, told)
        if isinstance(first, Reverted):
            raise first
        return first

    async def each(self, subject: str, ask: Ask[Answer], *, least: int | None = None) -> dict[str, Answer]:
        """What each endpoint says that answers, by its name; they need not agree.

        Args:
            subject: what is asked, for errors.
            ask: asks one endpoint.
            least: how many have to answer; the quorum where None. Where it is given, one that serves another chain has
                not answered, and is passed over if another one has.

        Raises:
            TooFewEndpoints: too few answer; with a single endpoint its own failure.
        """
        return await self._answers(subject, ask, least)

    async def read(self, ask: Ask[Answer]) -> Answer:
        """What one endpoint answers, and proves: where one fails or lies, the next is asked.

        Raises:
            As the last one asked, or as the first that lied, where all fail.
        """
        failures: list[CausewayError] = []
        for offset in range(len(self._endpoints)):
            place = (self._preferred + offset) % len(self._endpoints)
            endpoint = self._endpoints[place]
            try:
                answer = await self._asked(endpoint, ask)
            except _FAULTS as error:
                failures.append(error)
            else:
                self._preferred = place
                return answer
        raise next((error for error in failures if isinstance(error, EndpointLied)), failures[-1])

    async def _answers(self, subject: str, ask: Ask[Answer], least: int | None = None) -> dict[str, Answer]:
        """What each endpoint says that answers, a quorum at least (or `least`)."""
        needed = self.quorum if least is None else least
        outcomes = await asyncio.gather(*(self._outcome(endpoint, ask) for endpoint in self._endpoints))
        failures = {name: error for name, _, error in outcomes if error is not None}
        answers = {name: answer[0] for name, answer, error in outcomes if answer is not None}
        if least is None or not answers:
            for error in failures.values():
                # Not before all have ended: whoever closes the endpoints then leaves nothing running.
                if isinstance(error, WrongChain):
                    raise error
        if len(answers) < needed:
            if len(self._endpoints) == 1:
                raise next(iter(failures.values()))
            told = {name: str(error) for name, error in failures.items()}
            raise TooFewEndpoints(needed, told)
        return answers

    async def _outcome(
        self, endpoint: Endpoint, ask: Ask[Answer]
    ) -> tuple[str, tuple[Answer] | None, CausewayError | None]:
        try:
            return endpoint.name, (await self._asked(endpoint, ask),), None
        except (*_FAULTS, WrongChain) as error:
            return endpoint.name, None, error

    async def _asked(self, endpoint: Endpoint, ask: Ask[Answer]) -> Answer:
        """Ask one endpoint that is known to serve the chain, and keep account of its failures."""
        try:
            if not endpoint.is_checked:
                await endpoint.check(self.chain)
            answer = await ask(endpoint)
        except (*_FAULTS, WrongChain) as error:
            # Whatever comes back after a failure may be another node.
            endpoint.is_checked = False
            before = self._faults.get(endpoint.name)
            if type(before) is not type(error):
                _log.warning(
                    "endpoint failed",
                    chain=self.chain.caip2,
                    endpoint=endpoint.name,
                    error=type(error).__name__,
                    problem=str(error),
                )
            self._faults[endpoint.name] = error
            if isinstance(error, EndpointLied):
                self._lies[endpoint.name] = error
            raise
        if self._faults.pop(endpoint.name, None) is not None:
            _log.info("endpoint serves again", chain=self.chain.caip2, endpoint=endpoint.name)
        return answer


async def _nothing(_: Endpoint) -> bool:
    return True


async def _or_refusal(endpoint: Endpoint, ask: Ask[Answer]) -> Answer | Reverted:
    """A contract's refusal is an answer too: all endpoints have to give the same one."""
    try:
        return await ask(endpoint)
    except Reverted as error:
        return error


def _comparable(answer: Answer | Reverted, key: Callable[[Answer], object]) -> tuple[bool, object]:
    return (True, answer.data) if isinstance(answer, Reverted) else (False, key(answer))


def _shown(answer: Answer | Reverted, show: Callable[[Answer], str]) -> str:
    return f"refused: {answer}" if isinstance(answer, Reverted) else show(answer)


def _hex_list(answers: Sequence[bytes]) -> str:
    return ", ".join(f"0x{answer.hex()}" for answer in answers)
