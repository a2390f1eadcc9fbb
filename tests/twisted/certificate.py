#!/usr/bin/env python3
# certificate: prints a new certificate for 127.0.0.1 and its key, in PEM. It is its own CA, and good for a day.

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

key = ec.generate_private_key(ec.SECP256R1())
name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a master in a test")])
now = datetime.datetime.utcnow()
certificate = (
    x509.CertificateBuilder()
    .subject_name(name)
    .issuer_name(name)
    .public_key(key.public_key())
    .serial_number(x509.random_serial_number())
    .not_valid_before(now - datetime.timedelta(hours=1))
    .not_valid_after(now + datetime.timedelta(days=1))
    .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
    .sign(key, hashes.SHA256())
)
pem = serialization.Encoding.PEM
print(certificate.public_bytes(pem).decode(), end="")
print(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode(), end="")
