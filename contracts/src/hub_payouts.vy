# pragma version ~=0.4.3
# pragma nonreentrancy on
"""
@title Hub: payouts
@license MIT
@notice How value leaves: storemen bind withdrawals together and to the coins that pay them, vouchers attest what became
        of it, and the tokens are burnt.
@dev Invariants:
     1. A withdrawal is in at most one live payout, and burnt at most once.
     2. An outpoint is reserved by at most one live payout. The anchor of a payout is never free again: every version
        of the payout spends it, so at most one version of all can ever confirm.
     3. A payout's withdrawals, group, asset and anchor never change; a later version changes the other inputs.
     4. A reservation is accepted once. Its signatures carry no version, so without this anybody could bring an old
        version back.
     5. A payout of an EVM chain has no inputs and no anchor (zero); it is neither replaced nor voided, and only
        settled: a Lockbox pays each number once, so what was signed stays good for ever.
"""


import asset_policies
import eip712
import hub_fees
import hub_halts
import hub_tokens
import hub_votes
import hub_withdrawals

uses: eip712
uses: hub_fees
uses: hub_halts
uses: hub_tokens
uses: hub_votes
uses: hub_withdrawals


MAX_WITHDRAWALS: constant(uint256) = 32
MAX_INPUTS: constant(uint256) = 64

# @dev What `payout(id).status` says.
PAYOUT_LIVE: constant(uint256) = 1
PAYOUT_SETTLED: constant(uint256) = 2
PAYOUT_VOIDED: constant(uint256) = 3

_PAYOUT_RESERVATION_TYPE_HASH: constant(bytes32) = keccak256(
    "PayoutReservation(bytes32 group,bytes32 asset,bytes32[] withdrawals,bytes32[] inputs)"
)
_ANCHOR_SPENT_TYPE_HASH: constant(bytes32) = keccak256("AnchorSpent(bytes32 payout,bytes32 spender)")
_PAYOUT_SETTLEMENT_TYPE_HASH: constant(bytes32) = keccak256(
    "PayoutSettlement(bytes32 payout,bytes32 txid,uint256 fee)"
)


interface Registry:
    def reservation_terms(group: bytes32, asset: bytes32) -> (bool, uint256): view


struct Outpoint:
    txid: bytes32
    vout: uint256


struct Reservation:
    group: bytes32
    asset: bytes32
    withdrawals: DynArray[bytes32, MAX_WITHDRAWALS]
    inputs: DynArray[Outpoint, MAX_INPUTS]


struct Payout:
    group: bytes32
    asset: bytes32
    # Outpoint id of the first input of the first version; zero on an EVM chain.
    anchor: bytes32
    # Counts accepted reservations, from 1.
    version: uint256
    # 0 unknown, 1 live, 2 settled, 3 voided.
    status: uint256
    withdrawals: DynArray[bytes32, MAX_WITHDRAWALS]
    # Outpoint ids of the current version.
    inputs: DynArray[bytes32, MAX_INPUTS]
    # Bitmap of the group's members that signed the current version.
    signers: uint256


# BIP-340 signature (rx, s) and the even y coordinate that belongs to rx.
struct Proof:
    rx: bytes32
    s: bytes32
    ry: bytes32


event PayoutReserved:
    id: indexed(bytes32)
    group: indexed(bytes32)
    asset: indexed(bytes32)
    version: uint256
    withdrawals: DynArray[bytes32, MAX_WITHDRAWALS]
    inputs: DynArray[Outpoint, MAX_INPUTS]
    signers: uint256


event PayoutVoided:
    id: indexed(bytes32)
    spender: bytes32


event PayoutSettled:
    id: indexed(bytes32)
    txid: bytes32
    fee: uint256
    # All that was burnt, the service fees included.
    burnt: uint256
    # Noted: half of it (rounded down) for the payout's signers, the rest for the attesters.
    service_fee: uint256
    # Bitmap of their indices in Bonds.
    attesters: uint256


event ReleasePublished:
    payout: indexed(bytes32)
    epoch: uint256
    rx: bytes32
    s: bytes32
    ry: bytes32


# @dev Payout id → payout.
payout: public(HashMap[bytes32, Payout])

# @dev Outpoint id → the payout that reserves or bars it, zero if it is free.
reserved_by: public(HashMap[bytes32, bytes32])

# @dev EIP-712 digest of a reservation → whether it was accepted before.
reservation_used: public(HashMap[bytes32, bool])


@external
def reserve(reservation: Reservation, signatures: DynArray[Bytes[65], hub_votes.MAX_MEMBERS]) -> bytes32:
    """
    @notice Binds withdrawals to each other, and on Bitcoin to the coins that will pay them, before anybody signs the
            payment. Anyone may bring the signatures. If the withdrawals are all requested, it is a new payout; if they
            are exactly those of a live payout, it is its next version, which must spend the anchor and frees the inputs
            of the version before. A payout of an EVM chain has no inputs and one version.
    @param reservation The group, which must be active, the asset, the withdrawals and the coins.
    @param signatures `PayoutReservation` of at least the threshold of storemen, in ascending order of accounts.
    @return keccak256(abi.encode(group, withdrawals, anchor)); a new payout's anchor is its first input, or zero.
    """
    assert len(reservation.withdrawals) > 0, "Hub: no withdrawals"
    is_active: bool = False
    kind: uint256 = 0
    is_active, kind = staticcall Registry(hub_votes.registry).reservation_terms(reservation.group, reservation.asset)
    assert is_active, "Hub: group not active"
    hub_halts._check_running(reservation.asset)
    if kind == asset_policies.KIND_EVM:
        assert len(reservation.inputs) == 0, "Hub: inputs not expected"
    else:
        assert len(reservation.inputs) > 0, "Hub: no inputs"
    inputs: DynArray[bytes32, MAX_INPUTS] = []
    for outpoint: Outpoint in reservation.inputs:
        inputs.append(keccak256(abi_encode(outpoint.txid, outpoint.vout)))
    digest: bytes32 = eip712._digest(
        keccak256(
            abi_encode(
                _PAYOUT_RESERVATION_TYPE_HASH,
                reservation.group,
                reservation.asset,
                eip712._hash_list(reservation.withdrawals),
                eip712._hash_list(inputs),
            )
        )
    )
    assert not self.reservation_used[digest], "Hub: reservation used"
    signers: uint256 = hub_votes._check_storemen(reservation.group, digest, signatures)
    self.reservation_used[digest] = True

    id: bytes32 = empty(bytes32)
    first: bytes32 = reservation.withdrawals[0]
    if hub_withdrawals.withdrawal[first].status == hub_withdrawals.WITHDRAWAL_RESERVED:
        assert kind != asset_policies.KIND_EVM, "Hub: already reserved"
        id = hub_withdrawals.withdrawal[first].payout
        self._replace(id, reservation, inputs)
    else:
        anchor: bytes32 = empty(bytes32)
        if len(inputs) > 0:
            anchor = inputs[0]
        id = keccak256(abi_encode(reservation.group, reservation.withdrawals, anchor))
        self._open(id, reservation, anchor, inputs)
    self.payout[id].signers = signers
    for outpoint: bytes32 in inputs:
        assert self.reserved_by[outpoint] == empty(bytes32), "Hub: input reserved"
        self.reserved_by[outpoint] = id
    log PayoutReserved(
        id=id,
        group=reservation.group,
        asset=reservation.asset,
        version=self.payout[id].version,
        withdrawals=reservation.withdrawals,
        inputs=reservation.inputs,
        signers=signers,
    )
    return id


@external
def publish_release(payout: bytes32, epoch: uint256, proof: Proof):
    """
    @notice Tells everybody the group's signature of a payout's release, so that anyone can carry it to the Lockbox and
            earn the relay fees. Anyone; nothing is checked but that the payout is live, and nothing is stored.
    @param payout Its id.
    @param epoch The Lockbox's epoch that the signature is for.
    @param proof The signature.
    """
    assert self.payout[payout].status == PAYOUT_LIVE, "Hub: payout not live"
    log ReleasePublished(payout=payout, epoch=epoch, rx=proof.rx, s=proof.s, ry=proof.ry)


@external
def void_payout(payout: bytes32, spender: bytes32, signatures: DynArray[Bytes[65], hub_votes.MAX_VOUCHERS]):
    """
    @notice Ends a payout that can never confirm, because something else finally spent its anchor. Its withdrawals are
            requested again and its inputs are free, but for the anchor. Anyone may bring the attestations. Not on an
            EVM chain, where a signed release stays good for ever.
    @param payout Its id.
    @param spender The transaction that spent the anchor and is no version of the payout.
    @param signatures Vouchers' `AnchorSpent`, in ascending order of their accounts.
    """
    assert self.payout[payout].status == PAYOUT_LIVE, "Hub: payout not live"
    assert self.payout[payout].anchor != empty(bytes32), "Hub: no anchor"
    hub_votes._check_vouchers(
        keccak256(abi_encode(_ANCHOR_SPENT_TYPE_HASH, payout, spender)), signatures, hub_votes.TWO_THIRDS
    )

    self.payout[payout].status = PAYOUT_VOIDED
    for id: bytes32 in self.payout[payout].withdrawals:
        hub_withdrawals.withdrawal[id].status = hub_withdrawals.WITHDRAWAL_REQUESTED
    self._free_inputs(payout, self.payout[payout].anchor)
    log PayoutVoided(id=payout, spender=spender)


@external
def settle(payout: bytes32, txid: bytes32, fee: uint256, signatures: DynArray[Bytes[65], hub_votes.MAX_VOUCHERS]):
    """
    @notice Burns the tokens of a payout that is final on the other chain, and notes the service fees. Anyone may bring
            the attestations.
    @param payout Its id.
    @param txid The transaction that paid it, of whichever version; on an EVM chain the one that consumed its last
           number.
    @param fee What the withdrawals bore: the sum of their amounts less the sum of what their destinations received
           (dust that the vault left to the miner is not in it); on an EVM chain the sum of the relay fees that were
           paid.
    @param signatures Vouchers' `PayoutSettlement`, in ascending order of their accounts.
    """
    assert self.payout[payout].status == PAYOUT_LIVE, "Hub: payout not live"
    attesters: uint256 = hub_votes._check_vouchers(
        keccak256(abi_encode(_PAYOUT_SETTLEMENT_TYPE_HASH, payout, txid, fee)), signatures, hub_votes.TWO_THIRDS
    )

    self.payout[payout].status = PAYOUT_SETTLED
    asset: bytes32 = self.payout[payout].asset
    amount: uint256 = 0
    max_fee: uint256 = 0
    service_fee: uint256 = 0
    for id: bytes32 in self.payout[payout].withdrawals:
        hub_withdrawals.withdrawal[id].status = hub_withdrawals.WITHDRAWAL_SETTLED
        amount += hub_withdrawals.withdrawal[id].amount
        max_fee += hub_withdrawals.withdrawal[id].max_fee
        service_fee += hub_withdrawals.withdrawal[id].fee
    assert fee <= max_fee, "Hub: fee above the limits"
    # The inputs of an only version are spent and stay barred. Of several, an older one may have confirmed, and then the
    # coins of the newest are unspent: they must not be barred for ever. The coins that were spent, bitcoin bars itself.
    if self.payout[payout].version > 1:
        self._free_inputs(payout, self.payout[payout].anchor)
    hub_tokens._burn(asset, amount + service_fee)
    storemens: uint256 = service_fee // 2
    hub_fees._note(asset, self.payout[payout].group, self.payout[payout].signers, storemens)
    hub_fees._note(asset, empty(bytes32), attesters, service_fee - storemens)
    log PayoutSettled(
        id=payout,
        txid=txid,
        fee=fee,
        burnt=amount + service_fee,
        service_fee=service_fee,
        attesters=attesters,
    )


@internal
def _open(id: bytes32, reservation: Reservation, anchor: bytes32, inputs: DynArray[bytes32, MAX_INPUTS]):
    """
    @notice Stores a new payout and marks its withdrawals as reserved.
    @param id The payout's id. It is new: an anchor is never free again, and what a payout without an anchor reserved is
           never requested again.
    @param reservation What is reserved.
    @param anchor The outpoint id of the first input, or zero.
    @param inputs The outpoint ids of its inputs.
    """
    for id_: bytes32 in reservation.withdrawals:
        status: uint256 = hub_withdrawals.withdrawal[id_].status
        assert status == hub_withdrawals.WITHDRAWAL_REQUESTED, "Hub: withdrawal not requested"
        assert hub_withdrawals.withdrawal[id_].asset == reservation.asset, "Hub: withdrawal of other asset"
        hub_withdrawals.withdrawal[id_].status = hub_withdrawals.WITHDRAWAL_RESERVED
        hub_withdrawals.withdrawal[id_].payout = id
    self.payout[id] = Payout(
        group=reservation.group,
        asset=reservation.asset,
        anchor=anchor,
        version=1,
        status=PAYOUT_LIVE,
        withdrawals=reservation.withdrawals,
        inputs=inputs,
        signers=0,
    )


@internal
def _replace(id: bytes32, reservation: Reservation, inputs: DynArray[bytes32, MAX_INPUTS]):
    """
    @notice Makes a reservation the next version of a live payout and frees the inputs of the version before.
    @param id The payout's id.
    @param reservation What is reserved.
    @param inputs The outpoint ids of its inputs.
    """
    assert self.payout[id].group == reservation.group, "Hub: other group"
    assert self.payout[id].asset == reservation.asset, "Hub: withdrawal of other asset"
    old: DynArray[bytes32, MAX_WITHDRAWALS] = self.payout[id].withdrawals
    assert keccak256(abi_encode(old)) == keccak256(abi_encode(reservation.withdrawals)), "Hub: other withdrawals"
    assert self.payout[id].anchor in inputs, "Hub: anchor not spent"
    self._free_inputs(id, empty(bytes32))
    self.payout[id].version += 1
    self.payout[id].inputs = inputs


@internal
def _free_inputs(payout: bytes32, barred: bytes32):
    """
    @notice Frees the inputs of a payout's current version.
    @param payout Its id.
    @param barred The outpoint id that stays reserved.
    """
    for outpoint: bytes32 in self.payout[payout].inputs:
        if outpoint != barred:
            self.reserved_by[outpoint] = empty(bytes32)
