"""This party's secrets, and what it knows of the others: their keys, and where they listen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.connect.envelope_keys import CertifiedKeys, EnvelopeKeys, EnvelopeSecrets, certify, check_certificate
from settlement.connect.vault import VaultKey
from settlement.cosign.cosignatures import Partial, decode
from settlement.cosign.keys import LocalSigner, Possession
from settlement.cosign.registry import KeyRegistry
from settlement.cosign.statements import Kind, Statement
from settlement.custody.terms import Quote, instruction_hash, quote_hash
from settlement.quantities import PartyId

_STATEMENTS_MAX = 4_096
VALID_MS = 10 * 365 * 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Card:
    """What a party hands to the others, once, by a way that they trust: its name, its keys, and where it listens.

    Fields: party; url (of its letter box); possession (its BLS key with the proof); keys (for letters, certified by
    it).
    """

    party: PartyId
    url: str
    possession: Possession
    keys: CertifiedKeys


@dataclass(frozen=True, slots=True)
class Secrets:
    """What one seed of 32 bytes gives a party. It does not show itself."""

    party: PartyId
    signer: LocalSigner
    letters: EnvelopeSecrets
    vault: VaultKey = field(repr=False)
    state_key: bytes = field(repr=False)
    facts_key: bytes = field(repr=False)
    api_key: bytes = field(repr=False)
    books_key: bytes = field(repr=False)

    @classmethod
    def derive(cls, party: PartyId, seed: bytes) -> Secrets:
        """All from one seed, each for its own use.

        Raises:
            BadInput: the seed has not 32 bytes.
        """

        def derived(use: bytes) -> bytes:
            return HKDF(SHA256(), 32, None, b"causeway/gateway/1/" + use).derive(seed)

        signer, letters = LocalSigner(party, seed), EnvelopeSecrets.derive(party, seed)
        keys = (derived(use) for use in (b"vault", b"states", b"facts", b"api", b"books"))
        vault, states, facts, api, books = keys
        return cls(party, signer, letters, VaultKey(vault), states, facts, api, books)

    def card(self, url: str, valid_from: UnixMs) -> Card:
        """What the others have to know of this party."""
        keys = self.letters.keys(valid_from, UnixMs(valid_from + VALID_MS))
        return Card(self.party, url, self.signer.possession(valid_from), certify(self.signer, keys))


class Directory:
    """The parties that this one deals with."""

    def __init__(self, cards: Mapping[PartyId, Card], now: UnixMs) -> None:
        """Check each card.

        Raises:
            BadInput: a card is another party's than it is filed under.
            NoPossession, KeyConflict, BadSignature: as `cosign` says.
        """
        self.registry = KeyRegistry()
        self._statements: dict[tuple[Kind, bytes, int, tuple[str, ...]], Statement] = {}
        self._keys: dict[PartyId, EnvelopeKeys] = {}
        self._urls: dict[PartyId, str] = {}
        for party, card in cards.items():
            if card.party != party:
                raise BadInput(f"parties.{party}", f"the card is {card.party}'s", "ask the party for its own card")
            self.registry.register(card.possession)
            self._keys[party] = check_certificate(card.keys, self.registry, now)
            self._urls[party] = card.url

    def others(self, party: PartyId) -> tuple[PartyId, ...]:
        """All parties but this one."""
        return tuple(sorted(self._keys.keys() - {party}))

    def keys(self, party: str) -> EnvelopeKeys | None:
        """The keys for letters, of a party that is known."""
        return self._keys.get(PartyId(party))

    def url(self, party: str) -> str:
        """Where a party listens."""
        return self._urls[PartyId(party)]

    def quote_statement(self, quote: Quote) -> Statement:
        """What the clearing bank signs. Raises UnknownSigner, KeyNotValid."""
        return self.quotes_statement(quote, quote_hash(quote))

    def quotes_statement(self, quote: Quote, text: bytes) -> Statement:
        """What the clearing bank signs for a quote among others. Raises UnknownSigner, KeyNotValid."""
        return self._statement(Kind.QUOTE, text, quote, quote.clearer)

    def instruction_statement(self, payment: bytes, quote: Quote, terms: bytes) -> Statement:
        """What both banks sign. Raises UnknownSigner, KeyNotValid."""
        text = instruction_hash(payment, quote, terms)
        return self._statement(Kind.INSTRUCTION, text, quote, quote.payer, quote.payee)

    def receipt_statement(self, quote: Quote, receipt: bytes) -> Statement:
        """What all three sign. Raises UnknownSigner, KeyNotValid."""
        return self._statement(Kind.RECEIPT, receipt, quote, quote.payer, quote.clearer, quote.payee)

    def _statement(self, kind: Kind, text: bytes, quote: Quote, *parties: str) -> Statement:
        """Each is asked for several times in a payment: to be signed, to be put together, to be verified."""
        # The keys that are valid at the quote's end: a moment that all three know.
        place = (kind, text, quote.expires_at, parties)
        found = self._statements.get(place)
        if found is None:
            circle = self.registry.circle([PartyId(party) for party in parties], UnixMs(quote.expires_at))
            if len(self._statements) >= _STATEMENTS_MAX:
                self._statements.clear()
            found = self._statements[place] = Statement(kind, text, circle)
        return found


def encode_part(part: Partial) -> bytes:
    """A part of a signature, for the wire."""
    return msgspec.msgpack.encode(part)


def decode_part(raw: bytes) -> Partial:
    """A part of a signature. Raises MalformedSignature."""
    return decode(raw, Partial)
