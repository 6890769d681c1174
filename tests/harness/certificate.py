"""Certificates for tests, made by OpenSSL: ECDSA P-256, self-signed, no authority."""

import pathlib
import subprocess

CONFIG = "[req]\ndistinguished_name = dn\n[dn]\n"


def make(folder, name):
    """(certificate, key) for a DNS name."""
    folder = pathlib.Path(folder)
    (config := folder / "openssl.cnf").write_text(CONFIG)
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-config", config, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-days", "30", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
                    "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key
