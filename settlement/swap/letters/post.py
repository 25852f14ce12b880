"""Bringing letters to mailboxes, reading one's own, and publishing offers: the client of a board."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Self
from urllib.parse import urlsplit

import httpx
import msgspec
from msgspec import Meta

from foundation.errors import Fatal, Retryable
from foundation.unreadable import UNREADABLE
from settlement.swap.letters.letter import SEALED_BYTES_MAX
from settlement.swap.letters.proof import Right, show
from settlement.swap.offers import OfferDamaged, SignedOffer, check_place

_TIMEOUT_SECONDS: Final = 15.0
_WAIT_SECONDS_MAX: Final = 25.0
_ANSWER_BYTES_MAX: Final = 4 << 20


class PlaceUnavailable(Retryable):
    """The mailboxes cannot be reached, or have no room now. Fields: place; problem."""

    def __init__(self, place: str, problem: str) -> None:
        self.place = place
        self.problem = problem
        super().__init__(f"the mailboxes at {place} do not serve now: {problem}")


class PlaceRefuses(Fatal):
    """The mailboxes say that what we ask can never be. Fields: place; problem."""

    def __init__(self, place: str, problem: str) -> None:
        self.place = place
        self.problem = problem
        super().__init__(f"the mailboxes at {place} refuse: {problem}")


@dataclass(frozen=True, slots=True)
class SealedLetter:
    """A letter as it lies in a mailbox. Fields: number (rises within a mailbox); sealed."""

    number: int
    sealed: bytes


class _Letter(msgspec.Struct, frozen=True):
    number: Annotated[int, Meta(ge=1)]
    sealed: Annotated[str, Meta(max_length=4 * SEALED_BYTES_MAX)]


class _Letters(msgspec.Struct, frozen=True):
    letters: Annotated[list[_Letter], Meta(max_length=1_000)]


class _Put(msgspec.Struct, frozen=True):
    number: int


class _Offer(msgspec.Struct, frozen=True):
    offer: Annotated[str, Meta(max_length=2_000)]


class _Offers(msgspec.Struct, frozen=True):
    offers: Annotated[list[_Offer], Meta(max_length=1_000)]
    before: int | None = None


class Post:
    """A client of one board, of anybody's. Use as `async with`. Nothing that it answers is believed unverified.

    Every method raises `PlaceUnavailable` and `PlaceRefuses`.
    """

    def __init__(self, place: str, clock: Callable[[], int], transport: httpx.AsyncBaseTransport | None = None) -> None:
        """`place`: URL of the mailboxes; `clock`: seconds since 1970. Raises `BadInput`."""
        check_place(place)
        self.place = place.rstrip("/")
        self._authority = urlsplit(place).netloc
        self._clock = clock
        self._http = httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, transport=transport, follow_redirects=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def put(self, mailbox: bytes, sealed: bytes) -> int:
        """Bring a sealed letter to the mailbox of a key (x-only, 32 bytes); its number. Repeating is harmless."""
        answer = await self._ask("POST", self._letters(mailbox), content=sealed)
        put: _Put = self._read(answer, _Put)
        return put.number

    async def letters(self, secret: bytes, mailbox: bytes, after: int, wait_seconds: float = 0) -> list[SealedLetter]:
        """One's letters after a number, the oldest first; what comes within a time, where there are none yet.

        Args:
            secret: of the mailbox's key, 32 bytes.
            mailbox: the key, x-only.
            after: the number of the last letter that was read; 0 for all.
            wait_seconds: at most 25.
        """
        wait = min(max(wait_seconds, 0), _WAIT_SECONDS_MAX)
        proof = show(secret, Right.READ, self._authority, mailbox, after, self._clock())
        answer = await self._ask(
            "GET",
            self._letters(mailbox),
            params={"after": after, "wait": wait},
            headers={"Authorization": proof},
            timeout=_TIMEOUT_SECONDS + wait,
        )
        found = self._read(answer, _Letters).letters
        try:
            return [SealedLetter(one.number, base64.b64decode(one.sealed, validate=True)) for one in found]
        except ValueError as error:
            raise PlaceUnavailable(self.place, "it answers with what is no letter") from error

    async def forget(self, secret: bytes, mailbox: bytes, through: int) -> None:
        """Have one's letters up to a number dropped."""
        proof = show(secret, Right.FORGET, self._authority, mailbox, through, self._clock())
        headers = {"Authorization": proof}
        await self._ask("DELETE", self._letters(mailbox), params={"through": through}, headers=headers)

    async def publish(self, signed: SignedOffer) -> None:
        """Publish an offer. Repeating is harmless."""
        await self._ask("POST", f"{self.place}/v1/offers", json={"offer": signed.text})

    async def withdraw(self, secret: bytes, offer_id: bytes) -> None:
        """Take one's offer down. `secret`: the maker's, 32 bytes."""
        proof = show(secret, Right.WITHDRAW, self._authority, offer_id, 0, self._clock())
        await self._ask("DELETE", f"{self.place}/v1/offers/{offer_id.hex()}", headers={"Authorization": proof})

    async def quote(self, give: str, want: str, amount: int, *, of_want: bool, private: bool) -> SignedOffer:
        """Ask a maker that answers by itself for an offer.

        Args:
            give, want: what we give and want (CAIP-19).
            amount: in base units of what we give; with `of_want`, of what we want.
            private: whether it is to lock by a point.

        Raises:
            OfferDamaged: it answers with no offer.
        """
        asked = {"give": give, "want": want, "amount": str(amount), "private": private}
        answer = await self._ask("POST", f"{self.place}/v1/quotes", json={**asked, "of": "want" if of_want else "give"})
        found: _Offer = self._read(answer, _Offer)
        return SignedOffer.read(found.offer)

    async def offers(self, gives: str = "", wants: str = "", most: int = 100) -> Sequence[SignedOffer]:
        """Published offers as their makers signed them, the newest first; what is damaged or has expired is left out.

        Args:
            gives, wants: what the makers give and want (CAIP-19); empty: anything.
            most: how many to look at.
        """
        found: list[SignedOffer] = []
        asked = {key: text for key, text in (("gives", gives), ("wants", wants)) if text}
        before: int | None = None
        seen = 0
        while seen < most:
            page = {**asked, **({} if before is None else {"before": before})}
            answer = self._read(await self._ask("GET", f"{self.place}/v1/offers", params=page), _Offers)
            seen += len(answer.offers)
            found += [one for one in map(_verified, answer.offers) if one is not None]
            if answer.before is None or not answer.offers or (before is not None and answer.before >= before):
                break
            before = answer.before
        now = self._clock()
        return [
            one
            for one in found[:most]
            if now < one.offer.valid_until
            and gives in ("", str(one.offer.gives))
            and wants in ("", str(one.offer.wants))
        ]

    def _letters(self, mailbox: bytes) -> str:
        return f"{self.place}/v1/mailboxes/{mailbox.hex()}/letters"

    async def _ask(self, method: str, url: str, **options: Any) -> httpx.Response:
        try:
            async with self._http.stream(method, url, **options) as answer:
                body = bytearray()
                async for chunk in answer.aiter_bytes():
                    body += chunk
                    if len(body) > _ANSWER_BYTES_MAX:
                        raise PlaceUnavailable(self.place, "its answer is too long")
                read = httpx.Response(answer.status_code, content=bytes(body))
        except (httpx.HTTPError, OSError) as error:
            raise PlaceUnavailable(self.place, str(error) or type(error).__name__) from error
        if read.status_code in (408, 425, 429) or read.status_code >= 500:
            raise PlaceUnavailable(self.place, f"HTTP status {read.status_code}: {_problem(read)}")
        if not read.is_success:
            raise PlaceRefuses(self.place, f"HTTP status {read.status_code}: {_problem(read)}")
        return read

    def _read(self, answer: httpx.Response, form: type[Any]) -> Any:
        try:
            return msgspec.json.decode(answer.content, type=form)
        except UNREADABLE as error:
            raise PlaceUnavailable(self.place, "it answers with what we cannot read") from error


def _verified(given: _Offer) -> SignedOffer | None:
    try:
        return SignedOffer.read(given.offer)
    except OfferDamaged:
        return None


def _problem(answer: httpx.Response) -> str:
    """What the answer says is wrong, where and what to do, cut and printable: it is a stranger's text."""
    try:
        found = msgspec.json.decode(answer.content, type=dict[str, Any])
    except UNREADABLE:
        return ""
    field, detail, cure = (str(found.get(name, ""))[:200] for name in ("field", "detail", "cure"))
    text = (f"{field}: " if field else "") + detail + (f" ({cure})" if cure else "")
    return "".join(one for one in text if one.isprintable())
