"""What the REST interface keeps: keys, answers to repeated requests, quotes, acts, webhooks with deliveries."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table, Text

from foundation.database import Schema

METADATA = MetaData()

_Id = BigInteger().with_variant(Integer, "sqlite")

keys = Table(
    "api_keys",
    METADATA,
    Column("key_id", String(64), primary_key=True),  # of a certificate: cert-<its fingerprint's first half>
    Column("principal", String(64), nullable=False),
    Column("digest", LargeBinary(32), nullable=False),  # of the secret, or a certificate's SHA-256
    Column("scopes", Text, nullable=False),  # JSON
    Column("limits", Text, nullable=False),  # JSON
    Column("made_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=True),
    Column("revoked_at", BigInteger, nullable=True),
)

answers = Table(
    "api_answers",
    METADATA,
    Column("principal", String(64), primary_key=True),
    Column("path", String(200), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("fingerprint", LargeBinary(32), nullable=False),
    Column("status", Integer, nullable=True),  # None until there is an answer
    Column("headers", Text, nullable=True),  # JSON
    Column("body", LargeBinary, nullable=True),
    Column("begun_at", BigInteger, nullable=False),
    Index("api_answers_begun", "begun_at"),
)

quotes = Table(
    "api_quotes",
    METADATA,
    Column("quote_id", LargeBinary(32), primary_key=True),
    Column("principal", String(64), nullable=False),
    Column("quote", LargeBinary, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_by", LargeBinary(32), nullable=True),  # the request (`Asked.work_id`) that pays by it
    Index("api_quotes_expires", "expires_at"),
)

transfers = Table(
    "api_transfers",
    METADATA,
    Column("payment_id", LargeBinary(32), primary_key=True),
    Column("names", LargeBinary, nullable=False),  # what the pacs.008 calls it, sealed
    Column("made_at", BigInteger, nullable=False),
    Index("api_transfers_made", "made_at"),
)

acts = Table(
    "api_acts",
    METADATA,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("principal", String(64), nullable=False),
    Column("credential", String(64), nullable=False),  # the key's id
    Column("method", String(8), nullable=False),
    Column("path", String(200), nullable=False),
    Column("status", Integer, nullable=False),
    Column("payment_id", LargeBinary(32), nullable=True),
    Index("api_acts_payment", "payment_id"),
    Index("api_acts_at", "at"),
)

webhooks = Table(
    "api_webhooks",
    METADATA,
    Column("webhook_id", String(32), primary_key=True),
    Column("principal", String(64), nullable=False),
    Column("url", Text, nullable=False),
    Column("events", Text, nullable=False),  # JSON: types that are wanted; empty: all
    Column("generation", Integer, nullable=False),  # of the signing secret, which is derived from it
    Column("rotated_at", BigInteger, nullable=True),
    Column("rotated_by", LargeBinary(32), nullable=True),  # the request that did it: a repeat does it once
    Column("state", String(12), nullable=False),  # active, disabled
    Column("made_at", BigInteger, nullable=False),
    Column("cursor", BigInteger, nullable=False),  # events after this number are still to be queued for it
)

deliveries = Table(
    "api_deliveries",
    METADATA,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("webhook_id", String(32), nullable=False),
    Column("event", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("state", String(12), nullable=False),  # waiting, delivered, given_up
    Column("attempts", Integer, nullable=False),
    Column("next_at", BigInteger, nullable=False),
    Column("status", Integer, nullable=True),  # of the last attempt's answer
    Column("problem", Text, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger, nullable=True),
    Index("api_deliveries_due", "state", "next_at"),
    Index("api_deliveries_webhook", "webhook_id", "id"),
    Index("api_deliveries_ended", "ended_at"),
)

SCHEMA: Final = Schema((METADATA,), Path(__file__).parent / "migrations", "api_revision")
