"""`causeway deposit`: an address to pay to, what became of it, and the way back without anybody's help."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import (
    AccountKeyOption,
    JsonOption,
    NetworkOption,
    account_secret,
    command_group,
    network_file,
    open_bitcoin,
    open_native,
    open_sender,
    run,
)
from cli.output import Output, btc, facts
from foundation.errors import BadInput

if TYPE_CHECKING:
    from cli.context import NetworkFile
    from cli.depositing import Offer
    from registry.assets import AssetPolicy

app = command_group("Turn bitcoin into tokens: an address to pay to, its state, and the way back.")

ReceiptArgument = Annotated[Path, typer.Argument(metavar="RECEIPT", help="The receipt file.", show_default=False)]


@app.command("address")
def address(
    recipient: Annotated[str, typer.Option("--recipient", metavar="0xACCOUNT", help="Gets the tokens.")],
    reclaim_key: Annotated[
        str | None,
        typer.Option("--reclaim-key", metavar="XONLY_HEX", help="Your public key for the way back, 64 hex digits."),
    ] = None,
    new_reclaim_key: Annotated[
        Path | None,
        typer.Option(
            "--new-reclaim-key", metavar="FILE", help="Make such a key, and keep its secret in this new file."
        ),
    ] = None,
    delay: Annotated[
        int | None,
        typer.Option("--delay", metavar="BLOCKS", help="Until the key can spend (4320; on regtest 144)."),
    ] = None,
    receipt: Annotated[
        Path | None,
        typer.Option("--receipt", metavar="FILE", help="Where to keep the receipt; by default deposit-….json here."),
    ] = None,
    announce: Annotated[
        bool, typer.Option("--announce/--no-announce", help="Publish the terms, so that the bridge watches.")
    ] = True,
    network: NetworkOption = None,
    account_key: AccountKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a deposit address, and a receipt of it. Keep the receipt and the reclaim key: they are your way back.

    The terms are announced on the native chain, which costs a little gas of --account-key's account.

    \b
    Example:
      causeway deposit address --recipient 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 \\
        --new-reclaim-key reclaim.key --account-key account.key
    """
    from adapters.evm.hexes import parse_address
    from cli.depositing import check_new, parse_reclaim_key
    from cli.depositing import new_reclaim_key as make_key

    output = Output(as_json)
    account = parse_address(recipient, "--recipient")
    if (reclaim_key is None) == (new_reclaim_key is None):
        cure = "give --reclaim-key, or have one made with --new-reclaim-key FILE"
        raise BadInput("--reclaim-key", "one way back is needed, and one only", cure)
    if receipt is not None:
        check_new(receipt, "--receipt")
    secret = account_secret(account_key) if announce else None
    found = network_file(network)
    if new_reclaim_key is not None:
        key = make_key(new_reclaim_key, found.network)
        output.note(f"The reclaim key is in {new_reclaim_key}: keep it safe, and apart from this machine too.")
    else:
        key = parse_reclaim_key(str(reclaim_key))
    offer, path, transaction = run(_address(found, account, key, delay, receipt, secret))
    document = _offer(offer, path, transaction)
    output.result(document, lambda: _offer_text(document, offer, path))


async def _address(
    network: NetworkFile, account: bytes, key: bytes, delay: int | None, path: Path | None, secret: bytes | None
) -> tuple[Offer, Path, bytes | None]:
    from cli.depositing import announce, make_offer, write_receipt

    async with open_native(network) as native, open_bitcoin(network) as bitcoin:
        offer = await make_offer(network, native, bitcoin, account, key, delay)
        target = path or Path(f"deposit-{offer.receipt.address[-8:]}.json")
        write_receipt(target, offer.receipt)  # before anything leaves: a payment without a receipt has no way back
        if secret is None:
            return offer, target, None
        async with open_sender(network, native, secret) as sender:
            return offer, target, await announce(native, sender, offer.receipt)


def _offer(offer: Offer, path: Path, transaction: bytes | None) -> dict[str, Any]:
    return {
        "address": offer.receipt.address,
        "receipt": str(path.absolute()),
        "announcement": offer.receipt.announcement_id.hex(),
        "announced_in": None if transaction is None else "0x" + transaction.hex(),
        "minimum_sat": offer.policy.minimum_deposit,
        "fee_sat": offer.policy.deposit_fee,
        "service_fee_bps": offer.policy.fee_bps,
        "service_fee_floor_sat": offer.policy.fee_floor,
        "delay_blocks": offer.receipt.terms.delay,
        "group": offer.receipt.terms.group_id.hex(),
    }


def _service(policy: AssetPolicy) -> str:
    """What vouchers and storemen take of a deposit besides its sweep, in words; nothing where they take nothing."""
    parts = [f"{policy.fee_bps / 100:g} %"] if policy.fee_bps else []
    parts += [f"at least {btc(policy.fee_floor)}"] if policy.fee_floor else []
    return f" and {', '.join(parts)}" if parts else ""


def _offer_text(document: dict[str, Any], offer: Offer, path: Path) -> str:
    from adapters.evm.hexes import address_text

    terms = offer.receipt.terms
    lines = facts(
        [
            ("pay to", document["address"]),
            ("at least", btc(document["minimum_sat"])),
            ("fee", f"{btc(document['fee_sat'])}{_service(offer.policy)}, taken from what arrives; the rest is minted"),
            ("recipient", address_text(terms.recipient)),
            ("receipt", str(path)),
            ("announced", document["announced_in"] or f"NOT YET: causeway deposit announce {path}"),
        ]
    )
    return (
        f"{lines}\n\n"
        "Pay it from any wallet, each payment is a deposit of its own. The vouchers wait for the confirmations\n"
        "that the amount asks for; then the tokens are minted.\n"
        f"If that never happens, you alone can take the coin back {terms.delay:,} blocks after its own:\n"
        f"  causeway deposit status {path}\n"
        f"  causeway deposit reclaim {path} --reclaim-key-file FILE --to ADDRESS"
    )


@app.command("announce")
def announce_command(
    receipt: ReceiptArgument,
    network: NetworkOption = None,
    account_key: AccountKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish a receipt's terms on the native chain. Anyone may do it, and doing it twice is harmless.

    \b
    Example:
      causeway deposit announce deposit-3j9s0x2k.json --account-key account.key
    """
    from cli.depositing import announce, read_receipt

    read = read_receipt(receipt)
    secret, found = account_secret(account_key), network_file(network)

    async def work() -> bytes | None:
        async with open_native(found) as native, open_sender(found, native, secret) as sender:
            return await announce(native, sender, read)

    transaction = run(work())
    document = {
        "announcement": read.announcement_id.hex(),
        "announced_in": None if transaction is None else "0x" + transaction.hex(),
    }
    text = "announced before" if transaction is None else f"announced in 0x{transaction.hex()}"
    Output(as_json).result(document, text)


@app.command("status")
def status(
    receipt: ReceiptArgument,
    network: NetworkOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what became of a deposit. From the receipt and the two chains alone: no node of ours is asked.

    Reads the bitcoin blocks since the receipt was made. The native chain may be away: then that part is missing.

    \b
    Example:
      causeway deposit status deposit-3j9s0x2k.json
    """
    from cli.deposit_status import read_state
    from cli.depositing import read_receipt

    read = read_receipt(receipt)
    state = run(read_state(network_file(network), read))
    Output(as_json).result(state.as_json(), lambda: state.text(receipt))


@app.command("reclaim")
def reclaim(
    receipt: ReceiptArgument,
    to: Annotated[str, typer.Option("--to", metavar="ADDRESS", help="Where the coins go: an address of yours.")],
    reclaim_key_file: Annotated[
        Path | None,
        typer.Option("--reclaim-key-file", metavar="FILE", help="The reclaim key; without it a PSBT is written."),
    ] = None,
    fee_rate: Annotated[
        float | None,
        typer.Option("--fee-rate", metavar="SAT_PER_VB", min=0.1, max=10_000, help="By default the node's estimate."),
    ] = None,
    outpoint: Annotated[
        str | None,
        typer.Option("--outpoint", metavar="TXID:VOUT", help="The coin; by default the node is searched for all."),
    ] = None,
    broadcast: Annotated[bool, typer.Option("--broadcast/--no-broadcast", help="Send what is valid.")] = True,
    bitcoin_url: Annotated[
        str | None,
        typer.Option("--bitcoin-url", metavar="URL", help="Any bitcoin node's RPC, instead of the network file's."),
    ] = None,
    bitcoin_user: Annotated[str, typer.Option("--bitcoin-user", help="Its RPC user.")] = "",
    bitcoin_password_file: Annotated[
        Path | None, typer.Option("--bitcoin-password-file", metavar="FILE", help="Its RPC password.")
    ] = None,
    bitcoin_cookie: Annotated[
        Path | None, typer.Option("--bitcoin-cookie", metavar="FILE", help="Its cookie file, instead of both.")
    ] = None,
    network: NetworkOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a deposit back, alone. With the receipt, the reclaim key and a bitcoin node, and nothing of ours running.

    Before its height the transaction is not valid: you get it as a PSBT, and are told from which block on it is.

    \b
    Example:
      causeway deposit reclaim deposit-3j9s0x2k.json --reclaim-key-file reclaim.key --to bc1q… \\
        --bitcoin-url http://127.0.0.1:8332 --bitcoin-cookie ~/.bitcoin/.cookie
    """
    from cli.deposit_reclaim import BitcoinAccess, Wishes, reclaim_all
    from cli.depositing import read_receipt

    output = Output(as_json)
    read = read_receipt(receipt)
    access = BitcoinAccess(bitcoin_url, bitcoin_user, bitcoin_password_file, bitcoin_cookie, network)
    wishes = Wishes(to, reclaim_key_file, fee_rate, outpoint, broadcast)
    outcome = run(reclaim_all(read, access, wishes, output.progress))
    output.result(outcome.as_json(), outcome.text)
