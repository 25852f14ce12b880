"""The board over HTTP. Offers are public; letters are sealed, and read by their mailbox's owner alone.

Nobody registers: whoever has a key has a mailbox. Posting needs no key, because letters say inside who wrote them.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from ipaddress import ip_address, ip_network
from typing import Annotated, Final, Literal, TypeAlias, cast

from fastapi import FastAPI, Header, HTTPException, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from api import problems
from api.board.board import Board, BoardFull
from api.listening import is_loopback
from settlement.swap.letters.letter import SEALED_BYTES_MAX
from settlement.swap.letters.proof import Right, check_address, holds
from settlement.swap.offers import TEXT_CHARACTERS_MAX, OfferDamaged, OfferExpired, SignedOffer

WAIT_SECONDS_MAX: Final = 25
Hex32 = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]
_SOURCE_MAX: Final = 60
Proof = Annotated[str, Header(max_length=300)]
Number = Annotated[int, Query(ge=0, lt=1 << 53)]
AssetText = Annotated[str | None, Query(max_length=200)]


class OfferIn(BaseModel):
    """An offer to publish."""

    model_config = ConfigDict(extra="forbid")
    offer: str = Field(max_length=TEXT_CHARACTERS_MAX, description="the link: `causeway-swap:…`")


class OfferOut(BaseModel):
    """A published offer."""

    number: int
    offer_id: str
    offer: str


class OffersOut(BaseModel):
    """A page of offers, the newest first; `before` gives the next page."""

    offers: list[OfferOut]
    before: int | None


class QuoteIn(BaseModel):
    """What a taker wants to know: assets by CAIP-19, and an amount in base units of one of them."""

    model_config = ConfigDict(extra="forbid")
    give: str = Field(max_length=200, description="what the taker gives")
    want: str = Field(max_length=200, description="what the taker wants")
    amount: str = Field(pattern=r"^[1-9][0-9]{0,77}$")
    of: Literal["give", "want"] = "give"
    private: bool = False


class QuoteOut(BaseModel):
    """An offer made for whoever asked."""

    offer: str


class PutOut(BaseModel):
    """A letter's number in its mailbox."""

    number: int


class LetterOut(BaseModel):
    """A sealed letter, in base64."""

    number: int
    sealed: str


class LettersOut(BaseModel):
    """Letters, the oldest first."""

    letters: list[LetterOut]


Quoter: TypeAlias = Callable[[QuoteIn], Awaitable[SignedOffer]]
"""Answers a taker with an offer. Raises `BadInput`, or `Retryable` where it cannot now."""


def make_board_app(board: Board, authorities: frozenset[str], quoter: Quoter | None = None) -> FastAPI:
    """The board as an application of its own, to be served or mounted.

    Args:
        board: what it serves.
        authorities: `host:port`s under which readers reach it; a proof for another place does not count.
        quoter: of a maker that answers by itself; without one, nobody is answered.
    """
    app = FastAPI(title="Causeway order board", version="1", docs_url=None, redoc_url=None)
    app.state.board = board
    app.state.quoter = quoter
    app.state.authorities = frozenset(one.lower() for one in authorities)
    app.add_api_route("/v1/offers", publish, methods=["POST"], status_code=201, response_model=OfferOut)
    app.add_api_route("/v1/offers", offers, methods=["GET"], response_model=OffersOut)
    app.add_api_route("/v1/offers/{offer_id}", withdraw, methods=["DELETE"], status_code=204)
    if quoter is not None:
        app.add_api_route("/v1/quotes", quote, methods=["POST"], response_model=QuoteOut)
    path = "/v1/mailboxes/{address}/letters"
    app.add_api_route(path, put, methods=["POST"], status_code=201, response_model=PutOut)
    app.add_api_route(path, read, methods=["GET"], response_model=LettersOut)
    app.add_api_route(path, forget, methods=["DELETE"], status_code=204)
    problems.install(app)
    app.add_exception_handler(BoardFull, _full)
    app.add_exception_handler(OfferDamaged, _refused)
    app.add_exception_handler(OfferExpired, _refused)
    return app


async def publish(request: Request, response: Response, body: OfferIn) -> OfferOut:
    """Publish a signed offer. The same again changes nothing."""
    board = _board(request)
    board.admit(_source(request))
    signed = SignedOffer.read(body.offer)
    if not await board.publish(signed):
        response.status_code = 200
    kept = await board.offer(signed.offer.offer_id)
    if kept is None:
        raise HTTPException(404, "the offer was withdrawn meanwhile")
    return OfferOut(number=kept.number, offer_id=kept.offer_id.hex(), offer=kept.text)


async def offers(
    request: Request, gives: AssetText = None, wants: AssetText = None, before: Number | None = None
) -> OffersOut:
    """Valid offers, the newest first, by what their makers give and want (CAIP-19)."""
    found = await _board(request).offers(gives, wants, before)
    shown = [OfferOut(number=one.number, offer_id=one.offer_id.hex(), offer=one.text) for one in found]
    return OffersOut(offers=shown, before=found[-1].number if len(found) == _board(request).rules.page else None)


async def withdraw(request: Request, offer_id: Hex32, authorization: Proof = "") -> Response:
    """Take one's offer down."""
    board, subject = _board(request), bytes.fromhex(offer_id)
    kept = await board.offer(subject)
    if kept is not None:
        _check(request, authorization, kept.maker, Right.WITHDRAW, subject, 0)
        await board.withdraw(subject)
    return Response(status_code=204)


async def quote(request: Request, body: QuoteIn) -> QuoteOut:
    """An offer of the maker whose board this is, for the amount that a taker names."""
    _board(request).admit(_source(request))
    signed = await cast(Quoter, request.app.state.quoter)(body)
    return QuoteOut(offer=signed.text)


async def put(request: Request, response: Response, address: Hex32) -> PutOut:
    """Leave a sealed letter (`application/octet-stream`). The same bytes again are the same letter."""
    board = _board(request)
    board.admit(_source(request))
    mailbox, sealed = check_address(address), bytearray()
    async for chunk in request.stream():
        sealed += chunk
        if len(sealed) > SEALED_BYTES_MAX:
            raise HTTPException(413, f"a letter has at most {SEALED_BYTES_MAX} bytes")
    number, is_new = await board.put_letter(mailbox, bytes(sealed))
    if not is_new:
        response.status_code = 200
    return PutOut(number=number)


async def read(
    request: Request,
    address: Hex32,
    after: Number = 0,
    wait: Annotated[float, Query(ge=0, le=WAIT_SECONDS_MAX)] = 0,
    authorization: Proof = "",
) -> LettersOut:
    """One's letters after a number; with `wait`, what comes within so many seconds."""
    mailbox = check_address(address)
    _check(request, authorization, mailbox, Right.READ, mailbox, after)
    found = await _board(request).letters(mailbox, after, wait)
    return LettersOut(
        letters=[LetterOut(number=one.number, sealed=base64.b64encode(one.sealed).decode()) for one in found]
    )


async def forget(request: Request, address: Hex32, through: Number, authorization: Proof = "") -> Response:
    """Drop one's letters up to a number: they were read."""
    mailbox = check_address(address)
    _check(request, authorization, mailbox, Right.FORGET, mailbox, through)
    await _board(request).forget(mailbox, through)
    return Response(status_code=204)


def _board(request: Request) -> Board:
    return cast(Board, request.app.state.board)


def _source(request: Request) -> str:
    """Who posts, as the limits count it: an address, of IPv6 a network of 64 bits, which one customer commonly has."""
    address = request.client.host if request.client is not None else ""
    if is_loopback(address):
        # A proxy of this machine stands between. It writes the last entry; those before it anybody may have written.
        forwarded = ",".join(request.headers.getlist("x-forwarded-for"))
        address = forwarded.rpartition(",")[2].strip() or address
    try:
        found = ip_address(address)
    except ValueError:
        return address[:_SOURCE_MAX]
    return str(found if found.version == 4 else ip_network((found, 64), strict=False))


def _check(request: Request, header: str, owner: bytes, right: Right, subject: bytes, number: int) -> None:
    if not holds(header, owner, right, request.app.state.authorities, subject, number, _board(request).now):
        headers = {"WWW-Authenticate": "Causeway-Owner"}
        raise HTTPException(401, "this is its owner's alone; see docs/swaps.md, and look at your clock", headers)


async def _full(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, BoardFull), "as installed"
    headers = {"Retry-After": str(error.retry_seconds)}
    return problems.Problem("too-many-requests", error.what, headers=headers).response()


async def _refused(request: Request, error: Exception) -> JSONResponse:
    return problems.Problem("invalid", str(error)[:300], "offer", "publish an offer as its maker signed it").response()
