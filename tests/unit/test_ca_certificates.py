"""Certificates named by the environment: those that work, and the variable named if they don't."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tests.certificates import certificate
from worker import ca_certificates
from worker.errors import UsageError


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """Make a folder with a certificate, under the name that OpenSSL looks for."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    file, _ = certificate(tmp_path, "localhost")
    (folder / "0123abcd.0").write_bytes(file.read_bytes())
    return folder


def test_nothing_is_set(tmp_path: Path) -> None:
    """The usual file is used, or else the system's; an empty variable counts as not set."""
    file, _ = certificate(tmp_path, "localhost")
    unset = {"SSL_CERT_FILE": "", "SSL_CERT_DIR": "", "SSLKEYLOGFILE": ""}
    assert ca_certificates.context(str(file), unset).cert_store_stats()["x509"] == 1
    assert ca_certificates.context(None, {}).verify_mode is ssl.CERT_REQUIRED
    assert ca_certificates.warnings(unset) == []


def test_what_is_named_counts_alone(authority: Path, tmp_path: Path) -> None:
    """A file is preferred to a folder, and both to the usual file; several folders may be named."""
    file, _ = certificate(tmp_path, "localhost")
    for environ in (
        {"SSL_CERT_FILE": str(file)},
        {"SSL_CERT_FILE": str(file), "SSL_CERT_DIR": "/nonexistent"},
        {"SSL_CERT_DIR": f"/nonexistent:{authority}"},
    ):
        context = ca_certificates.context("/nonexistent", environ)
        assert context.check_hostname
        assert context.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"])
@pytest.mark.parametrize("value", ["/nonexistent/x", "/proc", "nul\0", "no certificate", "\udcff"])
def test_what_leads_nowhere_is_named(tmp_path: Path, name: str, value: str) -> None:
    """An unusable path is reported with the variable, its value and what is wrong."""
    if value == "no certificate":
        path = tmp_path / "file"
        path.write_text(value)
        value = f"{path}/below" if name == "SSLKEYLOGFILE" else str(path)
    if (name, value) == ("SSLKEYLOGFILE", "\udcff"):
        value = f"{tmp_path}/\udcff/x"
    with pytest.raises(UsageError) as caught:
        ca_certificates.context(None, {name: value})
    assert caught.value.message.startswith(f"{name}: ")
    assert value in caught.value.message
    assert "unset it" in caught.value.hint


def test_a_folder_without_hashed_names(tmp_path: Path) -> None:
    """A folder without hashed names is refused, since OpenSSL would find no certificate in it."""
    certificate(tmp_path, "localhost")
    with pytest.raises(UsageError, match="SSL_CERT_DIR: no certificate is found in") as caught:
        ca_certificates.check({"SSL_CERT_DIR": str(tmp_path)})
    assert "openssl rehash" in caught.value.hint


def test_a_log_of_keys_is_warned_about(tmp_path: Path) -> None:
    """A key log works, with a warning: its readers can read the passwords."""
    environ = {"SSLKEYLOGFILE": str(tmp_path / "keys")}
    ca_certificates.check(environ)
    (warning,) = ca_certificates.warnings(environ)
    assert str(tmp_path / "keys") in warning
