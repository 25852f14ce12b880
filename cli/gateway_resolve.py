"""`causeway gateway resolve`: what a person has found of a payment that was lost."""

from __future__ import annotations

from foundation.database import Database
from foundation.errors import BadInput
from settlement.cosign.keyfile import open_key_file
from settlement.custody.terms import payment_id
from settlement.gateway.config import GatewayConfig
from settlement.gateway.keys import Secrets
from settlement.gateway.process import wall_clock
from settlement.gateway.resolving import resolve
from settlement.gateway.runtime import SCHEMA


async def resolve_payment(
    config: GatewayConfig, password: str, payment: str, by: str, counts: bool, detail: str
) -> None:
    """Store the finding.

    Raises:
        BadInput: the password, or the payment, as `resolving.resolve` says.
        DatabaseUnavailable: it does not answer.
    """
    try:
        number = payment_id(bytes.fromhex(payment))
    except ValueError as error:
        raise BadInput("PAYMENT", str(error), "64 hex digits, as the alarm shows them") from error
    secrets = Secrets.derive(config.party, open_key_file(config.key_file, config.party, password))
    async with await Database.open(config.database, SCHEMA) as database:
        await resolve(database, secrets, number, by, counts, detail, wall_clock())
