"""Webhooks: where to tell what happens."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from api.answers import Answer, Asked
from api.bodies import NothingIn, WebhookIn
from api.desk import POSTED, Desk, KeyHeader, allowed, desk_of, json_answer, once, problems
from api.ports import Unknown
from api.principals import Principal, Scope
from api.webhooks.guard import check_url
from api.webhooks.store import ACTIVE, WebhookRow, WebhookStore
from api.webhooks.views import DeliveriesOut, DeliveryOut, WebhookOut, WebhookSecretOut, WebhooksOut
from foundation.database import View

router = APIRouter(tags=["webhooks"])
Owner = Annotated[Principal, Depends(allowed(Scope.WEBHOOKS))]
WebhookId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]


@router.post("/v1/webhooks", status_code=201, response_model=WebhookSecretOut, responses=problems(*POSTED))
async def create_webhook(request: Request, principal: Owner, body: WebhookIn, key: KeyHeader) -> Response:
    """Tell an https address what happens from now on. The answer has the secret that verifies what comes."""
    desk = desk_of(request)

    async def work(asked: Asked) -> Answer:
        check_url(body.url, allow_private=desk.deliveries.allow_private)
        number, now = asked.work_id.hex()[:32], desk.gateway.now()
        last = await desk.gateway.last_event()
        new = WebhookRow(number, principal.name, body.url, tuple(body.events), 0, None, ACTIVE, now, last)
        async with desk.database.unit() as unit:
            await WebhookStore(unit.connection).put(new)
            await unit.commit()
        desk.woken()
        shown = WebhookSecretOut.with_secret(new, desk.signing.secret(number, 0))
        return json_answer(201, shown, location=f"/v1/webhooks/{number}")

    return await once(request, principal, key, work)


@router.get("/v1/webhooks", responses=problems())
async def list_webhooks(request: Request, principal: Owner) -> WebhooksOut:
    """Your webhooks."""
    async with desk_of(request).database.view() as view:
        found = await WebhookStore(view.connection).of(principal.name)
    return WebhooksOut(webhooks=[WebhookOut.of(hook) for hook in found])


@router.get("/v1/webhooks/{webhook_id}", responses=problems(404, 422))
async def get_webhook(request: Request, principal: Owner, webhook_id: WebhookId) -> WebhookOut:
    """One webhook."""
    async with desk_of(request).database.view() as view:
        return WebhookOut.of(await _own(view, principal, webhook_id))


@router.delete("/v1/webhooks/{webhook_id}", status_code=204, responses=problems(404, 422))
async def delete_webhook(request: Request, principal: Owner, webhook_id: WebhookId) -> None:
    """Tell it nothing more, and forget what is queued for it."""
    desk = desk_of(request)
    async with desk.database.unit() as unit:
        await _own(unit, principal, webhook_id)
        await WebhookStore(unit.connection).remove(webhook_id)
        await unit.commit()
    await desk.note(principal, request, 204)


@router.post(
    "/v1/webhooks/{webhook_id}/secret",
    status_code=201,
    response_model=WebhookSecretOut,
    responses=problems(*POSTED, 404),
)
async def rotate_webhook_secret(
    request: Request, principal: Owner, webhook_id: WebhookId, body: NothingIn, key: KeyHeader
) -> Response:
    """A new secret. For 24 hours messages carry both signatures, so that receivers can change over."""
    desk = desk_of(request)

    async def work(asked: Asked) -> Answer:
        return await _rotate(desk, asked, webhook_id)

    return await once(request, principal, key, work)


@router.get("/v1/webhooks/{webhook_id}/deliveries", responses=problems(404, 422))
async def list_webhook_deliveries(
    request: Request,
    principal: Owner,
    webhook_id: WebhookId,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> DeliveriesOut:
    """What was sent, what came of it, and what waits; kept for thirty days."""
    async with desk_of(request).database.view() as view:
        await _own(view, principal, webhook_id)
        found = await WebhookStore(view.connection).log(webhook_id, limit)
    return DeliveriesOut(deliveries=[DeliveryOut.of(one) for one in found])


async def _rotate(desk: Desk, asked: Asked, webhook_id: str) -> Answer:
    async with desk.database.unit() as unit:
        hook = await _own(unit, asked.principal, webhook_id)
        generation = hook.generation
        if hook.rotated_by != asked.work_id:  # else it was done before a crash
            generation += 1
            changed = {"generation": generation, "rotated_at": desk.gateway.now(), "rotated_by": asked.work_id}
            await WebhookStore(unit.connection).change(webhook_id, **changed)
            await unit.commit()
    return json_answer(201, WebhookSecretOut.with_secret(hook, desk.signing.secret(webhook_id, generation)))


async def _own(view: View, principal: Principal, webhook_id: str) -> WebhookRow:
    found = await WebhookStore(view.connection).find(webhook_id)
    if found is None or found.principal != principal.name:
        raise Unknown("webhook")
    return found
