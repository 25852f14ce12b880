"""A whole node: opened in order, run until it is cancelled, closed in the reverse order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final, TypeVar

import structlog

from adapters.bitcoin.notices import BlockNotices
from adapters.bitcoin.rpc import BitcoinRpc
from adapters.evm.fees import FeePolicy
from adapters.evm.flight import SenderPolicy
from adapters.evm.rpc import EvmRpc
from adapters.evm.sender import TxSender
from adapters.native.chain import NativeChain
from adapters.native.deployment import Deployment
from adapters.native.eip712 import account_of_secret
from adapters.native.errors import typed_revert
from bridge.agents.duty import Duty, Runner
from bridge.agents.office import Fees, Office
from bridge.agents.post import Post
from bridge.agents.storeman.cosigning import Cosigning
from bridge.agents.storeman.groups import CreateGroup
from bridge.agents.storeman.mempool import Broadcast, Bump
from bridge.agents.storeman.payments import Pay, Sweep
from bridge.agents.storeman.reservations import Reserve
from bridge.agents.storeman.returns import BarMints, ReturnDeposits
from bridge.agents.storeman.signing import Signing
from bridge.agents.vaults.carrying import CarryToVaults
from bridge.agents.vaults.describing import Describe
from bridge.agents.vaults.distributing import Distribute
from bridge.agents.vaults.following import follow_evm
from bridge.agents.vaults.guarding import Guard
from bridge.agents.vaults.reserving import ReserveOnVaults
from bridge.agents.vaults.signing import SignForVaults
from bridge.agents.voucher import Attest, Submit, TakeAttestations
from bridge.authorizer import StoremanAuthorizer
from bridge.beginning import first_block
from bridge.cosigner import Cosigner
from bridge.directory import Directory
from bridge.incidents import DatabaseIncidents
from bridge.intake.common import Context
from bridge.intake.intake import Intake
from bridge.messages import ATTESTATIONS, CONFIRM_KEY, COSIGN, SIGNATURE, TRANSACTION
from bridge.settings import Role, Settings
from bridge.signals import Signal
from bridge.status import ChainStatus, Heartbeat
from bridge.storage import CommitHook, Database, DatabaseJournal
from bridge.vault_authorizer import VaultAuthorizer
from foundation.errors import CausewayError, Retryable
from foundation.quantities import BlockHeight
from mpc.cluster import Cluster
from mpc.keystore import Keystore
from mpc.nonce_store import NonceJournal
from mpc.transport import PeerNetwork, wall_clock

_LOG: Final = structlog.get_logger(__name__)
_FIRST_BACK_OFF: Final = 0.2
_MOST_BACK_OFF: Final = 5.0
_NONCES: Final = "nonces.journal"
T = TypeVar("T")


async def run_node(
    settings: Settings,
    password: str,
    *,
    commit_hook: CommitHook | None = None,
    ready: asyncio.Event | None = None,
) -> None:
    """Run a node until it is cancelled. Chains, peers and the database may come and go meanwhile.

    Args:
        settings: its configuration.
        password: of its keystore.
        commit_hook: told of each commit; tests crash a node there.
        ready: set once the node follows both chains and answers its peers.

    Raises:
        BadInput, WrongPassword, KeystoreInUse, WrongDatabase, WrongChain, …: it cannot run with this configuration.
    """
    async with AsyncExitStack() as stack:
        office = await _open(stack, settings, password, commit_hook)
        duties, answers = _work(office)
        for kind, handler in answers.items():
            office.peers.on(kind, handler)
        await office.peers.start()
        stack.push_async_callback(office.peers.close)
        runners = [Runner(duty, office) for duty in duties]
        bitcoin, native = ChainStatus(problem="the native chain is read first"), ChainStatus()
        native_read, in_step = asyncio.Event(), asyncio.Event()
        notices = BlockNotices(settings.bitcoin.zmq, settings.bitcoin.poll_seconds)
        stack.push_async_callback(notices.close)
        evm = {section.chain: ChainStatus("the native chain is read first") for section in settings.evm}
        heartbeat = Heartbeat(office, runners, bitcoin, native, evm, office.peers.endpoint)
        _LOG.info("running", name=settings.node.name, role=settings.node.role, endpoint=office.peers.endpoint)
        async with asyncio.TaskGroup() as group:
            group.create_task(_follow_bitcoin(office, notices, bitcoin, native_read, in_step), name="bitcoin follower")
            group.create_task(_follow_native(office, native, native_read), name="native follower")
            for section in settings.evm:
                following = follow_evm(office, section, evm[section.chain], native_read)
                group.create_task(following, name=f"follower of {section.chain}")
            group.create_task(heartbeat.run(), name="heartbeat")
            for runner in runners:
                group.create_task(_run(runner, in_step), name=runner.duty.name)
            if ready is not None:
                ready.set()


async def _open(stack: AsyncExitStack, settings: Settings, password: str, commit_hook: CommitHook | None) -> Office:
    """Everything that a node needs, each closed by `stack`."""
    keystore = await asyncio.to_thread(Keystore.open, settings.path(settings.node.keystore), password)
    stack.callback(keystore.close)
    identity = keystore.identity
    deployment = Deployment.load(settings.path(settings.native.deployment))
    database = await _until_up("database", lambda: Database.open(settings.database_url, commit_hook=commit_hook))
    stack.push_async_callback(database.close)
    await _until_up("database", lambda: _claim(database, deployment.network, identity.host_key, settings.chain))
    bitcoin = _bitcoin_rpc(settings)
    stack.push_async_callback(bitcoin.close)
    rpc = EvmRpc(settings.native.url, reverted=typed_revert)
    stack.push_async_callback(rpc.close)
    native = NativeChain(rpc, deployment)
    await _until_up("bitcoin", lambda: bitcoin.check_network(settings.network))
    await _until_up("native chain", native.check)
    policy = SenderPolicy(fees=FeePolicy(cap=settings.native.max_fee))
    sender = TxSender(rpc, DatabaseJournal(database, wall_clock), identity.account_secret, deployment.chain_id, policy)
    await _until_up("database", sender.start)
    stack.push_async_callback(sender.close)
    directory = Directory(native, settings.chain, settings.asset)
    context = Context(deployment, directory, settings.policy, wall_clock)
    changed = Signal()
    intake = Intake(database, bitcoin, context, changed)
    await _until_up("native chain", intake.load)
    await _until_up("bitcoin", lambda: _begin(intake, bitcoin, native))
    peers = PeerNetwork(identity, deployment.network, directory, settings.node.listen)
    cluster = Cluster(
        identity,
        peers,
        keystore,
        StoremanAuthorizer(database, context, intake, VaultAuthorizer(database, context, _patience(settings))),
        directory,
        DatabaseIncidents(database),
        NonceJournal(settings.path(settings.node.keystore).with_name(_NONCES)),
    )
    stack.callback(cluster.close)
    await _until_up("database", cluster.start)
    return Office(
        settings=settings,
        identity=identity,
        account=account_of_secret(identity.account_secret),
        keystore=keystore,
        database=database,
        context=context,
        intake=intake,
        native=native,
        sender=sender,
        bitcoin=bitcoin,
        fees=Fees(bitcoin, settings.policy),
        peers=peers,
        cluster=cluster,
        clock=wall_clock,
        changed=changed,
    )


def _bitcoin_rpc(settings: Settings) -> BitcoinRpc:
    section = settings.bitcoin
    if section.cookie_file is not None:
        return BitcoinRpc.from_cookie(section.url, settings.path(section.cookie_file))
    return BitcoinRpc(section.url, section.user, section.password)


def _patience(settings: Settings) -> dict[bytes, int]:
    """For each EVM chain that this node serves (id): how long a payment that fails waits to be claimed, in ms."""
    return {section.id: int(section.give_back_after_seconds * 1000) for section in settings.evm}


async def _claim(database: Database, network: bytes, host_key: bytes, chain: bytes) -> None:
    """Refuse a database of another network or another node. Raises `WrongDatabase`."""
    async with database.unit() as uow:
        await uow.node_meta.claim("network", network)
        await uow.node_meta.claim("host_key", host_key)
        await uow.transfers.adopt_chain(chain)  # from before there were other chains than bitcoin
        await uow.payouts.adopt_chain(chain)
        await uow.commit()


async def _begin(intake: Intake, bitcoin: BitcoinRpc, native: NativeChain) -> None:
    """A node without memory begins where the bridge began; from there all that it knew is in the chains."""
    if intake.tip is None:
        works = intake.bridge_works
        start = native.deployment.start_block
        await intake.start_at(await first_block(bitcoin, native, start, works_already=works))


async def _until_up(what: str, attempt: Callable[[], Awaitable[T]]) -> T:
    """Try until the world is ready, and return what the attempt does; what cannot get better is raised."""
    back_off = _FIRST_BACK_OFF
    while True:
        try:
            return await attempt()
        except Retryable as error:
            _LOG.warning("waiting", what=what, problem=str(error))
            await asyncio.sleep(back_off)
            back_off = min(2 * back_off, _MOST_BACK_OFF)


def _work(office: Office) -> tuple[list[Duty], dict[str, Callable[..., Awaitable[bytes | None]]]]:
    """The duties of a node, and the requests that it answers, by its role."""
    post = Post(office)
    if office.settings.node.role is Role.VOUCHER:
        watching: list[Duty] = [
            post,
            Attest(office),
            Submit(office),
            Describe(office),
            Guard(office),
            Distribute(office),
        ]
        return watching, {ATTESTATIONS: TakeAttestations(office).on_attestations}
    o = office
    cosigner = Cosigner(o.identity, o.keystore, o.native, o.database, o.context, o.intake, o.clock)
    cosigning, signing = Cosigning(office, cosigner), Signing(office)
    pay, for_vaults = Pay(office, signing), SignForVaults(office)
    duties: list[Duty] = [
        post,
        CreateGroup(office, cosigning),
        BarMints(office, cosigning),
        ReturnDeposits(office, signing),
        Reserve(office, cosigning),
        pay,
        Sweep(office, signing),
        Broadcast(office, signing),
        Bump(office, signing, pay),
        ReserveOnVaults(office, cosigning),
        for_vaults,
        CarryToVaults(office),
    ]
    answers: dict[str, Callable[..., Awaitable[bytes | None]]] = {
        COSIGN: cosigner.on_cosign,
        CONFIRM_KEY: cosigner.on_confirm_key,
        TRANSACTION: signing.on_transaction,
        SIGNATURE: for_vaults.on_signature,
    }
    return duties, answers


async def _run(runner: Runner, in_step: asyncio.Event) -> None:
    """Run a duty once the chains are read: on half of what happened, it would do again what was done long ago."""
    await in_step.wait()
    await runner.run()


async def _follow_bitcoin(
    office: Office, notices: BlockNotices, status: ChainStatus, native_read: asyncio.Event, in_step: asyncio.Event
) -> None:
    """Apply blocks as they come. A fork deeper than this node remembers ends the node: a person has to look.

    The native chain is read first, up to what was final when the node started: it names the vaults and the deposit
    addresses, and a block that was read without them would have to be read again. `in_step` is set at the first time
    that this node has read all of both.
    """
    await native_read.wait()
    back_off = _FIRST_BACK_OFF
    while True:
        try:
            while await office.intake.bitcoin():
                pass
        except Retryable as error:
            back_off = await _wait("bitcoin", status, error, back_off)
            continue
        status.problem = ""
        in_step.set()
        back_off = _FIRST_BACK_OFF
        await notices.wait(office.settings.bitcoin.poll_seconds)


async def _follow_native(office: Office, status: ChainStatus, read: asyncio.Event) -> None:
    """Apply final events as they come. `read` is set once those are read that were final when the node started."""
    back_off = _FIRST_BACK_OFF
    final: BlockHeight | None = None
    while True:
        try:
            if final is None:
                final = (await office.native.finalized_block()).number
            batch = await office.native.next_events(office.intake.native_cursor)
            if batch is not None:
                await office.intake.native(batch)
        except Retryable as error:
            back_off = await _wait("native chain", status, error, back_off)
            continue
        status.problem = ""
        back_off = _FIRST_BACK_OFF
        cursor = office.intake.native_cursor
        if batch is None or (cursor is not None and cursor.number >= final):
            read.set()
        if batch is None:
            await asyncio.sleep(office.settings.native.poll_seconds)


async def _wait(what: str, status: ChainStatus, error: CausewayError, back_off: float) -> float:
    """Wait after a failure; how long to wait after the next one."""
    if status.problem != str(error):
        _LOG.warning("waiting", what=what, problem=str(error))
    status.problem = str(error)
    await asyncio.sleep(back_off)
    return min(2 * back_off, _MOST_BACK_OFF)
