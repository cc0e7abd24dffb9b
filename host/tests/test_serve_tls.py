"""The wall page by HTTPS: with a certificate made here, to a client that trusts it alone."""

import http.client
import re
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

pytest.importorskip("uvicorn", reason="the wall page (extra serve)")
TOKEN = "a token of more than 16 characters"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return the files of a certificate of 127.0.0.1 and of its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "wall")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, SHA256())
    )
    (folder / "wall.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "wall.key").write_bytes(text)
    return folder / "wall.pem", folder / "wall.key"


def test_the_page_comes_encrypted_and_its_cookie_goes_no_other_way(files, tmp_path):
    words = ["serve", "--archive", str(tmp_path), "--port", "0", "--token", TOKEN]
    words += ["--certificate", str(files[0]), "--certificate-key", str(files[1])]
    program = "import sys; from stagelog.cli import main; main(sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", program, *words], stdout=subprocess.PIPE, text=True
    )
    try:
        url = process.stdout.readline().strip()
        port = int(re.match(r"https://127\.0\.0\.1:(\d+)/\?token=", url)[1])
        context = ssl.create_default_context(cafile=files[0])

        def ask(path, **headers):
            link = http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=context)
            link.request("GET", path, headers=headers)
            answer = link.getresponse()
            return answer.status, answer.getheader("Set-Cookie") or "", answer.read()

        assert ask("/")[0] == 401
        status, cookie, _ = ask(url.partition(f":{port}")[2])
        assert status == 303 and "; secure" in cookie.lower() and "; httponly" in cookie.lower()
        status, _, page = ask("/", Cookie=cookie.partition(";")[0])
        assert status == 200 and b"<html" in page.lower()
        plain = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with pytest.raises((http.client.HTTPException, OSError)):
            plain.request("GET", "/")
            plain.getresponse()
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def test_what_is_no_certificate_is_named(run, files, tmp_path):
    words = ("serve", "--archive", tmp_path, "--port", 0, "--certificate")
    code, _, err = run(*words, files[0])
    assert code == 2 and "belong together" in err
    for chain, key in ((files[1], files[0]), (tmp_path / "none.pem", files[1])):
        code, _, err = run(*words, chain, "--certificate-key", key)
        assert code == 5 and "are no certificate and its key" in err, err
