"""Certificates for tests of TLS: an authority of the test's own, and one key with its certificate."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path

__all__ = ["write_certificates"]


def write_certificates(folder: Path) -> dict[str, Path]:
    """Write an authority, a certificate for 127.0.0.1 and its key into a folder; return their paths."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def builder(subject: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name("authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=2))
        )

    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    # Python 3.13 checks strictly: an authority says that it signs, and each certificate which key has signed it.
    signs = dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
         "encipher_only", "decipher_only"), False,
    )  # fmt: skip
    root = (
        builder("authority", authority)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**signs, key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority.public_key()), critical=False)
    )
    host = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
    leaf = builder("cluster", key).add_extension(host, critical=False).add_extension(signed_by, critical=False)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    content = {
        "ca_file": root.sign(authority, hashes.SHA256()).public_bytes(pem),
        "cert_file": leaf.sign(authority, hashes.SHA256()).public_bytes(pem),
        "key_file": private,
    }
    folder.mkdir(parents=True, exist_ok=True)
    paths = {each: folder / f"{each}.pem" for each in content}
    for each, path in paths.items():
        path.write_bytes(content[each])
        path.chmod(0o600)
    return paths
