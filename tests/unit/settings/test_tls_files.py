"""Certificate and key of the API are usable, or refused in one line that says how to go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from settings.tls_files import refuse_unusable_tls, tls_problems
from tests.certificates import Certificate, make_authority, make_certificate, openssl
from tests.processes import settings_for


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def good(authority: Certificate) -> Certificate:
    return make_certificate(authority, "good", addresses="DNS:ml.example")


def problem(certfile: Path, keyfile: Path) -> str:
    (line,) = tls_problems(str(certfile), str(keyfile))
    assert "\n" not in line
    return line


def test_a_certificate_with_its_key_is_taken(authority: Certificate, good: Certificate) -> None:
    assert tls_problems(str(good.certfile), str(good.keyfile)) == []
    assert tls_problems(str(authority.certfile), str(authority.keyfile)) == []  # signed by itself


def test_a_chain_is_taken(authority: Certificate, good: Certificate, tmp_path: Path) -> None:
    chain = tmp_path / "chain.pem"
    chain.write_text(good.certfile.read_text() + authority.certfile.read_text())
    assert tls_problems(str(chain), str(good.keyfile)) == []


def test_missing_files_are_both_named(tmp_path: Path) -> None:
    assert tls_problems(str(tmp_path / "no.pem"), str(tmp_path)) == [
        f"TLS_CERTFILE: {tmp_path / 'no.pem'} cannot be read: No such file or directory",
        f"TLS_KEYFILE: {tmp_path} cannot be read: Is a directory",
    ]


def test_an_expired_certificate_is_refused(authority: Certificate) -> None:
    old = make_certificate(authority, "old", days=-1)
    assert problem(old.certfile, old.keyfile) == f"TLS_CERTFILE: {old.certfile}: certificate has expired"


def test_the_key_of_another_certificate_is_refused(authority: Certificate, good: Certificate) -> None:
    line = problem(good.certfile, authority.keyfile)
    assert line == f"TLS_KEYFILE: {authority.keyfile} is not the key of {good.certfile}"


def test_a_file_without_a_certificate_is_refused(good: Certificate) -> None:
    assert problem(good.keyfile, good.keyfile).startswith(f"TLS_CERTFILE: {good.keyfile} and ")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["-aes256", "-passout", "pass:x"], "is encrypted"),
        (["-aes256", "-passout", "pass:x", "-traditional"], "is encrypted"),
        (["-traditional"], "must be a PEM key in PKCS#8"),
    ],
)
def test_the_command_that_converts_a_key_is_named_and_works(
    options: list[str], reason: str, good: Certificate, tmp_path: Path
) -> None:
    key, new = tmp_path / "key.pem", tmp_path / "new.pem"
    openssl("pkey", "-in", good.keyfile, "-out", key, *options)
    line = problem(good.certfile, key)
    assert reason in line
    command = line[line.index("openssl ") :].replace("NEW_KEYFILE", str(new)).split()
    openssl(*command[1:], "-passin", "pass:x")
    assert tls_problems(str(good.certfile), str(new)) == []


def test_a_program_ends_with_two_and_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refuse_unusable_tls(settings_for())
    settings = settings_for(TLS_CERTFILE=str(tmp_path / "no.pem"), TLS_KEYFILE=str(tmp_path / "no.key"))
    with pytest.raises(SystemExit) as ended:
        refuse_unusable_tls(settings)
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(": /")[0] for line in lines] == [
        "Wrong setting: TLS_CERTFILE",
        "Wrong setting: TLS_KEYFILE",
    ]
