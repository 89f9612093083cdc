"""Lire le texte de l’utilisateur : bien lu ou clairement refusé, et jamais modifié."""

import codecs
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.corpora import read_text

FRENCH = (
    "L’été, à l’aube, les élèves de l’école découvrent « Noël » et le cœur des œuvres françaises.\n"
    "Où êtes-vous allés ? Ça coûte 3 € ; c’était déjà prévu, naïf garçon…\n"
) * 3
LATIN_1 = "L'été, à l'aube, les élèves découvrent Noël et les garçons naïfs. Où êtes-vous ?\n" * 3

# Les caractères de commande font un fichier binaire : le texte libre n’en contient pas.
TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\r\t"), min_size=1
)
FREE = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def write(tmp_path):
    def _write(data):
        path = tmp_path / "texte.txt"
        path.write_bytes(data)
        return path

    return _write


def normalized(text):
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))


@pytest.mark.parametrize(
    ("text", "encoding"),
    [(FRENCH, e) for e in ("utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252")]
    + [(LATIN_1, "latin-1"), (LATIN_1, "ascii-compatible")],
)
def test_encodings_are_recognised(write, text, encoding):
    data = text.encode("utf-8" if encoding == "ascii-compatible" else encoding)
    assert read_text(write(data)) == normalized(text)


@pytest.mark.parametrize("mark", ["utf-16-le", "utf-16-be", "utf-32-be"])
def test_big_and_little_endian(write, mark):
    bom = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}
    data = bom.get(mark, codecs.BOM_UTF32_BE) + FRENCH.encode(mark)
    assert read_text(write(data)) == FRENCH


@pytest.mark.parametrize("word", ["été", "Où ça ?", "garçon", "L'élève naïf"])
def test_short_western_texts_are_read(write, word):
    assert read_text(write(word.encode("cp1252"))) == word


def test_line_ends_and_unicode_are_normalised(write):
    data = "e\u0301te\u0301\r\nun\rdeux\n".encode()
    assert read_text(write(data)) == "été\nun\ndeux\n"


@FREE
@given(text=TEXTS, encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
def test_any_unicode_text_is_read_back(tmp_path, text, encoding):
    path = tmp_path / "libre.txt"
    if encoding == "utf-8" and text.startswith("\ufeff"):
        text = text.lstrip("\ufeff") + "."
    path.write_bytes(text.encode(encoding))
    if text.strip():
        assert read_text(path) == normalized(text)
    else:
        with pytest.raises(ValueError, match="vide"):
            read_text(path)


@FREE
@given(data=st.binary())
def test_any_bytes_are_read_or_refused_and_the_file_is_untouched(tmp_path, data):
    path = tmp_path / "octets.bin"
    path.write_bytes(data)
    before = path.stat()
    try:
        text = read_text(path)
    except ValueError as error:
        assert str(path) in str(error)
    else:
        assert text.strip() and "\r" not in text and "\x00" not in text
        assert unicodedata.is_normalized("NFC", text)
    assert path.read_bytes() == data
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_nothing_is_written_and_a_read_only_file_suffices(write):
    path = write("Un\r\ndeux\r\n".encode("utf-8-sig"))
    path.chmod(0o444)
    before = path.stat().st_mtime_ns, path.read_bytes(), sorted(path.parent.iterdir())
    read_text(path)
    assert before == (path.stat().st_mtime_ns, path.read_bytes(), sorted(path.parent.iterdir()))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "est vide"),
        (b" \r\n\t ", "est vide"),
        (codecs.BOM_UTF8, "est vide"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "binaire"),
        (b"abc\x00def", "binaire"),
        ("été".encode("utf-16-le"), "binaire"),
        (codecs.BOM_UTF16_LE + b"abc", "s’annonce en utf-16"),
        (codecs.BOM_UTF8 + b"\xe9t\xe9", "s’annonce en utf-8-sig"),
        (("Ёлка и дом " * 20).encode("cp1251"), "non reconnu"),
        (("日本語の文章です" * 20).encode("shift_jis"), "non reconnu"),
        (("Élève déjà prêt à l'été " * 20).encode("mac_roman"), "non reconnu"),
    ],
)
def test_refusals(write, data, message):
    with pytest.raises(ValueError, match=message):
        read_text(write(data))


def test_too_short_for_the_context(write):
    with pytest.raises(ValueError, match=r"compte 7 caractères.*au moins 65.*contexte"):
        read_text(write(b"bonjour"), min_length=65)
    assert read_text(write(b"bonjour"), min_length=7) == "bonjour"


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"introuvable.*absent\.txt"):
        read_text(tmp_path / "absent.txt")
    with pytest.raises(IsADirectoryError, match="est un dossier"):
        read_text(str(tmp_path))
