"""The files for TLS of a job on a cluster: read, and compared with each other, when the job file is loaded."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from taskloom.jobfile.checks.dask_runner import errors_for_cluster

BEGAN = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
PASSWORD = serialization.BestAvailableEncryption(b"opensesame")


def write_pair(folder: Path, name: str, *, password: serialization.KeySerializationEncryption | None = None) -> bytes:
    """Write NAME.pem, a certificate that its own key has signed, and NAME.key; return the text of the key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    cert = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(BEGAN)
        .not_valid_after(BEGAN + dt.timedelta(days=36500))
        .sign(key, hashes.SHA256())
    )
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, password or serialization.NoEncryption()
    )
    (folder / f"{name}.pem").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(text)
    return text


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with two pairs."""
    monkeypatch.chdir(tmp_path)
    write_pair(tmp_path, "me")
    write_pair(tmp_path, "other")
    return tmp_path


def errors(cert: str, key: str | None, ca: str = "me.pem") -> list[tuple[str, str]]:
    tls = {"ca_file": ca, "cert_file": cert} | ({} if key is None else {"key_file": key})
    found = errors_for_cluster({"scheduler": "tls://dask:8786", "tls": tls})
    return [(str(error.loc[-1]), error.message) for error in found]


def test_a_certificate_with_its_key_is_accepted() -> None:
    assert errors("me.pem", "me.key") == []


def test_the_certificate_may_have_its_key_in_the_same_file(folder: Path) -> None:
    (folder / "both.pem").write_bytes((folder / "me.pem").read_bytes() + (folder / "me.key").read_bytes())

    assert errors("both.pem", None) == []


def test_a_key_of_another_certificate_is_refused() -> None:
    assert errors("me.pem", "other.key") == [
        (
            "cert_file",
            "cannot use 'me.pem' as runner.dask.tls.cert_file: its certificate and the key do not belong together",
        )
    ]


def test_a_key_with_a_password_is_refused_and_asked_for_nothing(folder: Path) -> None:
    write_pair(folder, "locked", password=PASSWORD)

    [(name, message)] = errors("locked.pem", "locked.key")

    assert name == "key_file"
    assert message.endswith("its key is protected by a password, which cannot be given")


def test_a_certificate_without_a_key_is_refused() -> None:
    assert errors("me.pem", None) == [
        (
            "cert_file",
            "cannot use 'me.pem' as runner.dask.tls.cert_file: expected a certificate and its key in PEM form",
        )
    ]


def test_each_file_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "folder").mkdir()

    assert errors("none.pem", "folder", ca="none.pem") == [
        ("ca_file", "cannot read 'none.pem' as runner.dask.tls.ca_file: no such file or directory"),
        ("cert_file", "cannot read 'none.pem' as runner.dask.tls.cert_file: no such file or directory"),
        ("key_file", "cannot read 'folder' as runner.dask.tls.key_file: is a directory"),
    ]


def test_a_file_that_was_replaced_is_read_again(folder: Path) -> None:
    before = errors("me.pem", "other.key")
    (folder / "other.key").write_bytes((folder / "me.key").read_bytes())

    assert before != []
    assert errors("me.pem", "other.key") == []


def test_a_local_cluster_is_refused_where_processes_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")

    found = [error.message for error in errors_for_cluster({"local": 2})]

    assert found == ["cannot use runner dask on darwin: it needs Linux"]
