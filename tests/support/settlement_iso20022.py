"""Messages of ISO 20022 to test with."""

from __future__ import annotations

from datetime import date

from foundation.quantities import UnixMs
from settlement.connect.iso20022.camt053 import Entry, Statement
from settlement.connect.iso20022.documents import uetr_of
from settlement.connect.iso20022.pacs002 import Status, StatusReport
from settlement.connect.iso20022.pacs008 import Charge, CreditTransfer
from settlement.connect.iso20022.parties import Account, Agent, Party
from settlement.quantities import Asset, Scale, Units

EUR, SGD, JPY = Asset("EUR", Scale(2)), Asset("SGD", Scale(2)), Asset("JPY", Scale(0))
ASSETS = {asset.code: asset for asset in (EUR, SGD, JPY)}
AT = UnixMs(1_795_273_200_123)
UETR = uetr_of(b"\x01" * 32)
BANK_A, BANK_B = Agent("BANKDEFFXXX"), Agent("BANKSGSG", "529900T8BM49AURSDO55")

TRANSFER = CreditTransfer(
    message_id="MSG-1",
    instruction_id="INSTR-1",
    end_to_end_id="E2E-1",
    transaction_id="TX-1",
    uetr=UETR,
    created_at=AT,
    settlement_date=date(2026, 11, 21),
    asset=SGD,
    amount=Units(290_000),
    bearer="SHAR",
    instructing=BANK_A,
    instructed_agent=BANK_B,
    debtor=Party("Maria Musterfrau", "DE", ("Geheimgasse 17", "99999 Musterstadt")),
    debtor_account=Account(iban="DE02120300000000202051"),
    debtor_agent=BANK_A,
    creditor=Party("Seltsame Waren & Söhne <GmbH>", "SG"),
    creditor_account=Account(other="0042-1717"),
    creditor_agent=BANK_B,
    instructed=(EUR, Units(200_000)),
    exchange_rate="1.45",
    charges=(Charge(EUR, Units(500), BANK_A),),
    purpose="SUPP",
    remittance="Rechnung 4711",
)
REPORT = StatusReport("MSG-2", AT, "MSG-1", "INSTR-1", "E2E-1", "TX-1", UETR, Status.CREDITED)
STATEMENT = Statement(
    message_id="MSG-3",
    statement_id="ST-1",
    created_at=AT,
    from_time=UnixMs(AT - 86_400_000),
    to_time=AT,
    account=Account(iban="DE02120300000000202051"),
    asset=EUR,
    opening=-1_050,
    closing=198_900,
    entries=(
        Entry("R-1", 200_000, date(2026, 11, 21), "E2E-1", UETR, "Rechnung 4711"),
        Entry("R-2", -50, date(2026, 11, 21)),
    ),
)
