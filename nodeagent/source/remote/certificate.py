"""What is wrong with the certificate that an HTTPS server shows. Only imported when one was refused."""

import datetime
import ipaddress
from pathlib import Path
from typing import NoReturn

from cryptography import x509  # noqa: TID251 - the door

from nodeagent.errors import CertificateInvalid, RemoteUnreachable
from nodeagent.model.address import Https
from nodeagent.source.foreign import one_line

_TIME = "%Y-%m-%d %H:%M UTC"
_MOST_SHOWN = 5


def refuse(server: Https, shown: bytes, ca_file: Path | None) -> NoReturn:
    """Say why OpenSSL does not take the certificate (DER) for the server's.

    Raises:
        RemoteUnreachable: it is valid only later: the node's clock may not be set yet.
        CertificateInvalid: in all other cases.
    """
    try:
        certificate = x509.load_der_x509_certificate(shown)
        names = _names(certificate)
        first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        issuer = one_line(certificate.issuer.rfc4514_string())
    except ValueError as error:
        raise CertificateInvalid(f"{server}: its certificate cannot be read: {one_line(str(error))}") from error
    now = datetime.datetime.now(datetime.UTC)
    if now < first:
        raise RemoteUnreachable(
            f"{server}: its certificate is valid from {first:{_TIME}}, and this node's clock says {now:{_TIME}}: is "
            "tried again by itself; set the clock"
        )
    if now > last:
        raise CertificateInvalid(
            f"{server}: its certificate has ended on {last:{_TIME}}, and this node's clock says {now:{_TIME}}: renew it"
        )
    if not any(_matches(name, server.host) for name in names):
        listed = one_line(", ".join(names[:_MOST_SHOWN])) or "nobody"
        raise CertificateInvalid(
            f"{server}: its certificate is for {listed}, and not for {server.host}: correct source.url, or the "
            "certificate; somebody may be listening in"
        )
    trusted = (
        f"source.ca_file ({ca_file})" if ca_file else "this node's list of authorities (source.ca_file names another)"
    )
    raise CertificateInvalid(
        f"{server}: its certificate was issued by {issuer}, and leads to none of {trusted}: put its authority there, "
        "or let the server send the certificates in between; somebody may be listening in"
    )


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return [str(name.value) for name in common]
    addresses = found.get_values_for_type(x509.IPAddress)
    return [*found.get_values_for_type(x509.DNSName), *map(str, addresses)]


def _matches(name: str, host: str) -> bool:
    try:
        return ipaddress.ip_address(name) == ipaddress.ip_address(host)
    except ValueError:
        pass
    if name.startswith("*."):
        return host.partition(".")[2].lower() == name[2:].lower()
    return name.lower() == host.lower()
