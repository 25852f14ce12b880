"""mTLS: a client's certificate is its key."""

from __future__ import annotations

import hashlib
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from api.principals import KeyStore, Limits, Scope, certificate_row
from api.server import serve_api
from api.settings import ApiSettings, Tls
from foundation.errors import BadInput
from tests.support.api_town import api_town, running
from tests.support.settlement_gateway import A


class Authority:
    """Signs certificates, for tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._signed("test authority", self.key, True)
        (folder / "ca.pem").write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str) -> tuple[str, str, bytes]:
        """Files of a certificate and its key, and the certificate's SHA-256."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed(name, key, False)
        paths = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        paths[1].write_bytes(key.private_bytes(*form))
        der = certificate.public_bytes(serialization.Encoding.DER)
        return str(paths[0]), str(paths[1]), hashlib.sha256(der).digest()

    def _signed(self, name: str, key: ec.EllipticCurvePrivateKey, is_ca: bool) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = subject if is_ca else self.certificate.subject
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        )
        return builder.sign(self.key, hashes.SHA256())


async def test_a_registered_certificate_is_its_principal(tmp_path: Path) -> None:
    """The certificate that was registered opens; another of the same authority, and none at all, do not."""
    authority = Authority(tmp_path)
    certificate, key, _ = authority.issue("server")
    shop, stranger = authority.issue("shop"), authority.issue("stranger")
    tls = Tls(certificate, key, str(tmp_path / "ca.pem"))
    async with api_town(tmp_path, ApiSettings(tls=tls)) as town:
        row = certificate_row(shop[2], "shop-by-certificate", frozenset({Scope.STATEMENTS}), Limits(), 0)  # type: ignore[arg-type]
        async with town.town.gateways[A]._parts.database.unit() as unit:
            await KeyStore(unit.connection).add(row)
            await unit.commit()
        url = town.serving.url.replace("127.0.0.1", "localhost")
        assert url.startswith("https://")
        statuses = []
        for shown in (shop, stranger, None):
            context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
            if shown is not None:
                context.load_cert_chain(shown[0], shown[1])
            async with httpx.AsyncClient(base_url=url, verify=context, trust_env=False) as client:
                statuses.append((await client.get("/v1/accounts")).status_code)
        assert statuses == [200, 401, 401]


async def test_without_tls_nobody_elsewhere_can_ask(tmp_path: Path) -> None:
    """Without TLS the interface does not listen on an address that others reach."""
    async with api_town(tmp_path) as town:
        with pytest.raises(BadInput, match="TLS"):
            async with serve_api(running(town.town), "0.0.0.0", 0):
                pass
