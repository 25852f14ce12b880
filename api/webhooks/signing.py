"""The secrets that webhooks are signed with, and the signatures (Standard Webhooks, HMAC-SHA256, `v1`).

A secret is derived from the gateway's own by the webhook's id and a number that each rotation raises: none is kept.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Final

from standardwebhooks import Webhook

from foundation.quantities import UnixMs
from settlement.quantities import tagged_hash

ROTATION_MS: Final = 24 * 3_600_000
"""So long after a rotation, messages carry the old secret's signature too."""


class Signing:
    """Signs. `secret`: 32 bytes of this party's."""

    def __init__(self, secret: bytes) -> None:
        self._secret = tagged_hash("api/webhooks", secret)

    def secret(self, webhook_id: str, generation: int) -> str:
        """As it is handed to the receiver: `whsec_` and base64."""
        raw = hmac.digest(self._secret, f"{webhook_id}/{generation}".encode(), hashlib.sha256)
        return "whsec_" + base64.b64encode(raw).decode()

    def headers(
        self, webhook_id: str, generation: int, rotated_at: UnixMs | None, number: int, body: bytes, now: UnixMs
    ) -> dict[str, str]:
        """What goes with a message. Its id is the same at each attempt, its time and signature are not."""
        message, at = f"{webhook_id}-{number}", datetime.fromtimestamp(now // 1000, UTC)
        generations = [generation]
        if rotated_at is not None and now < rotated_at + ROTATION_MS and generation > 0:
            generations.append(generation - 1)
        signatures = [Webhook(self.secret(webhook_id, one)).sign(message, at, body.decode()) for one in generations]
        return {
            "content-type": "application/json",
            "webhook-id": message,
            "webhook-timestamp": str(now // 1000),
            "webhook-signature": " ".join(signatures),
        }
