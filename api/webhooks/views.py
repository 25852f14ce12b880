"""What is answered of webhooks, as JSON."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from api.forms import Model, time_text
from api.webhooks.store import DeliveryRow, WebhookRow


class WebhookOut(Model):
    """A webhook. `disabled`: its receiver has answered 410, and is told nothing more."""

    id: str
    url: str
    events: list[str]
    state: Literal["active", "disabled"]
    made_at: str

    @classmethod
    def of(cls, hook: WebhookRow) -> WebhookOut:
        """From the stored one."""
        return cls.model_validate(_shown(hook))


class WebhookSecretOut(WebhookOut):
    """A webhook with the secret that its messages are signed with; keep it, and show it nobody."""

    secret: Annotated[str, Field(examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])]

    @classmethod
    def with_secret(cls, hook: WebhookRow, secret: str) -> WebhookSecretOut:
        """From the stored one."""
        return cls.model_validate({**_shown(hook), "secret": secret})


class WebhooksOut(Model):
    """All of the one who asks."""

    webhooks: list[WebhookOut]


class DeliveryOut(Model):
    """One event on its way. `status`: of the last answer; `problem`: of the last attempt that got none."""

    message_id: str
    state: Literal["waiting", "delivered", "given_up"]
    attempts: int
    next_at: str | None
    status: int | None
    problem: str
    made_at: str
    ended_at: str | None

    @classmethod
    def of(cls, row: DeliveryRow) -> DeliveryOut:
        """From the stored one."""
        return cls.model_validate(
            {
                "message_id": f"{row.webhook_id}-{row.event}",
                "state": row.state,
                "attempts": row.attempts,
                "next_at": time_text(row.next_at) if row.ended_at is None else None,
                "status": row.status,
                "problem": row.problem,
                "made_at": time_text(row.made_at),
                "ended_at": None if row.ended_at is None else time_text(row.ended_at),
            }
        )


class DeliveriesOut(Model):
    """The newest first."""

    deliveries: list[DeliveryOut]


def _shown(hook: WebhookRow) -> dict[str, object]:
    return {
        "id": hook.webhook_id,
        "url": hook.url,
        "events": list(hook.events),
        "state": hook.state,
        "made_at": time_text(hook.made_at),
    }
