"""Lire le texte de l’utilisateur : bien lu ou clairement refusé, et jamais modifié."""

import codecs
import os
import random
import re
import tracemalloc
import unicodedata
import warnings
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.corpora import generate_stories, read_text
from course_lib.corpora.user_text import ReadingNotice, files, read_user_text
from course_lib.corpora.user_text.mojibake import find_mojibake

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
    text = text.replace("\ufeff", "")  # une marque d’ordre n’est pas un caractère du texte
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
    if find_mojibake(text) is not None:
        with pytest.raises(ValueError, match="lus de travers"):
            read_text(path)
    elif normalized(text).strip():
        assert read_user_text(path).text == normalized(text)
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
        text = read_user_text(path).text
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
        ("été".encode("utf-16-le")[:-1], "binaire.*octet 0x00 à la position 1.*utf-16-le"),
        (codecs.BOM_UTF16_LE + b"abc", r"s’annonce en utf-16 .* position 4 \(ligne 1, colonne 2\)"),
        (codecs.BOM_UTF8 + b"\xe9t\xe9", "s’annonce en utf-8-sig"),
        (("Ёлка и дом " * 20).encode("cp1251"), "non reconnu"),
        (("日本語の文章です" * 20).encode("shift_jis"), "non reconnu"),
        (b"abc\nd\x1bef", r"binaire.*octet 0x1B à la position 5 \(ligne 2, colonne 2\)"),
        (
            "3 \N{CURRENCY SIGN} ici".encode("latin-1"),
            r"0xA4 .*« 3 ¤ ici » .*« 3 € ici ».*iso8859-15",
        ),
        ("CAFÉ\u00a0: oui".encode("cp1252"), "incertain.*« ɠ » en utf-8.*cp1252"),
        (
            FRENCH.encode() + b"l\x92ami\n" + FRENCH.encode(),
            r"en UTF-8, sauf octet 0x92 .*ligne 7, ",
        ),
        (b"\xed\xa0\x80" + FRENCH.encode(), "en UTF-8, sauf octet 0xED à la position 0"),
        (
            "Le cÅ“ur, Ã©tÃ©".encode(),
            "« Å“ » pour « œ » .ligne 1, colonne 5.*iconv -f UTF-8 -t CP1252",
        ),
        ("Itâ€™s fine".encode(), "« â€™ » pour « ’ »"),
        ("ÐŸÑ€Ð¸Ð²ÐµÑ‚".encode(), "« Привет »"),
        ("l\x92ami".encode(), r"U\+0092 .*iconv"),
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


# --- encodages à un octet, devinés seulement quand ils sont certains ------------------------------

MODERN = (
    "À Noël, Zoé et Loïc sont allés à l’hôtel ; « où êtes-vous ? » dit-elle… L’œuf, le cœur et la "
    "forêt : voilà. Émile, à 20 °C, a reçu 3 m² de plus, l’Île aussi — n° 7. Ça va ?\n"
)
ENGLISH = "It’s a “fine” day — isn’t it? The café of the town is where he was with a résumé.\n"
GERMAN = "Die Größe der schönen Bücher ist nicht für den König, und er wäre müde, sagte sie.\n"
GREEK = "Η γάτα κοιμάται στο σπίτι και ο σκύλος τρέχει έξω στον κήπο.\n"
RUSSIAN = "Кошка спит дома, а собака бежит по саду; мальчик читает книгу.\n"
WESTERN = ("iso8859-15", "latin-1", "cp1252", "mac-roman", "cp850", "cp437")
ENCODINGS = {
    MODERN: WESTERN,
    ENGLISH: WESTERN,
    GERMAN: WESTERN,
    GREEK: ("iso8859-7", "cp1253", "cp737", "mac-greek"),
    RUSSIAN: ("cp1251", "koi8-r", "cp866", "iso8859-5", "mac-cyrillic"),
}
ASCII_SIGNS = str.maketrans({"’": "'", "“": '"', "”": '"', "—": "-", "…": "...", "œ": "oe"})


def encoded(text, encoding):
    """Le texte dans cet encodage ; les signes qui y manquent s’écrivent autrement."""
    try:
        return text, text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(ASCII_SIGNS).encode(encoding, "ignore").decode(encoding)
        return text, text.encode(encoding)


def test_no_encoding_is_guessed_wrong(tmp_path):
    """Des extraits au hasard dans des encodages au hasard : lus juste ou refusés."""
    draw, outcomes = random.Random(0), Counter()
    stories = " ".join(story.text for story in generate_stories(40))
    path = tmp_path / "texte.txt"
    for _ in range(120):
        kind = draw.choice(list(ENCODINGS))
        source = stories if kind is MODERN and draw.random() < 0.5 else kind * 40
        start = draw.randrange(len(source) - 20)
        excerpt = source[start : start + int(20 * 30 ** draw.random())]
        encoding = draw.choice(ENCODINGS[kind] + ("utf-8", "utf-16", "utf-16-be", "utf-32-le"))
        text, data = encoded(excerpt, encoding)
        path.write_bytes(data)
        try:
            assert read_user_text(path).text == normalized(text), (encoding, excerpt)
            outcomes[kind, "juste"] += 1
        except ValueError:
            outcomes[kind, "refusé"] += 1
    assert outcomes[MODERN, "juste"] > 4 * outcomes[MODERN, "refusé"]


@pytest.mark.parametrize("encoding", WESTERN)
def test_french_is_read_in_every_western_encoding(write, encoding):
    text, data = encoded(MODERN, encoding)
    read = read_user_text(write(data))
    assert read.text == text and read.notices == ()


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Le cœur de ma sœur bat ; l'œuvre est à côté.", "iso8859-15"),
        ("Élève déjà prêt à l'été " * 20, "mac-roman"),
        ("Il a eu 1½ point, à l'été", "latin-1"),
        (FRENCH, "utf-16-le"),
        (FRENCH, "utf-16-be"),
        (FRENCH, "utf-32-be"),
        (GREEK, "utf-16-le"),
    ],
)
def test_texts_that_were_read_wrong_or_refused(write, text, encoding):
    assert read_user_text(write(text.encode(encoding))).text == text


def test_other_alphabets_are_named(write):
    with pytest.raises(ValueError, match=r"Si c’est du cp1251 .*саду.*--encoding cp1251"):
        read_text(write((RUSSIAN * 9).encode("cp1251")))


def test_the_encoding_can_be_given(write):
    path = write("3 € ici".encode("iso-8859-15"))
    assert read_text(path, encoding="iso-8859-15") == "3 € ici"
    assert read_text(write(RUSSIAN.encode("koi8-r")), encoding="koi8-r") == RUSSIAN
    assert read_text(write("Ã©".encode()), encoding="utf-8") == "Ã©"  # voulu, donc permis
    assert read_text(write("\ufeffété".encode()), encoding="utf-8") == "été"
    for wrong in ("latin-1", "cp1252", "mac-roman", "cp850"):
        with pytest.raises(ValueError, match=r"est en UTF-8 : lu en .* pour « ’ ».*ou aucun"):
            read_text(write("L’été".encode()), encoding=wrong)
    assert read_text(write("É».".encode("cp1252")), encoding="cp1252") == "É»."
    for wrong in ("truc", "hex", "idna", "\0", ""):
        with pytest.raises(ValueError, match="encodage inconnu"):
            read_text(path, encoding=wrong)
    message = r"n’est pas en utf-8, l’encodage demandé : octet 0xA4 à la position 2 .*colonne 3"
    with pytest.raises(ValueError, match=message):
        read_text(write("3 € ici".encode("iso-8859-15")), encoding="utf-8")
    with pytest.raises(ValueError, match=r"lu en iso8859-1, .*U\+0092.*cp1252"):
        read_text(write(b"l\x92ami"), encoding="latin-1")


@pytest.mark.parametrize(
    ("data", "text", "notice"),
    [
        ("l’été\n".encode()[2:], "été\n", "2 en tête, 0 en fin"),
        ("été\nà".encode()[:-1], "été\n", "0 en tête, 1 en fin"),
        ("a\n\ufeffb\n".encode(), "a\nb\n", "ôtées du milieu du texte : 1"),
        ("l\ufffdami".encode(), "l\ufffdami", "Lettres perdues .* 1 .*colonne 2"),
    ],
)
def test_what_was_cut_or_lost_is_said(write, data, text, notice):
    with pytest.warns(ReadingNotice, match=notice):
        assert read_text(write(data)) == text


PIECES = re.findall(
    r"\S+|\s", "été À ÉTÉ œuvre Œ « » — … ’ “ ” Île CAFÉ Ç € ½ n° Ô ça â É 1 . ( \n\u00a0"
)


@FREE
@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_healthy_french_is_never_called_misread(text):
    assert find_mojibake(text) is None


@pytest.mark.parametrize("encoding", ["cp1252", "mac-roman", "cp850"])
def test_misread_french_is_found(encoding):
    for sign in "éèêàâçùîïôœÉÀÇ’«»":
        damaged = f"a{sign}b".encode().decode(encoding, "replace")
        if "\ufffd" not in damaged:
            assert find_mojibake(damaged) is not None, damaged


# --- le fichier lui-même ---------------------------------------------------------------------


def test_paths_as_people_write_them(write, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(b"Bonjour.")
    assert read_text("~/texte.txt") == "Bonjour."
    for path, error, message in (
        ("", ValueError, "Chemin vide"),
        (3, TypeError, "path = 3"),
        (b"texte.txt", TypeError, "une chaîne ou un Path"),
        ("a\0b", ValueError, "Chemin inutilisable"),
        ("x" * 5000, OSError, "ENAMETOOLONG"),
        ("https://exemple.org/a.txt", FileNotFoundError, "adresse du web.*curl -LO"),
        ("texte.txt/b", FileNotFoundError, "introuvable"),
    ):
        with pytest.raises(error, match=message):
            read_text(path)


def test_what_is_no_regular_file_is_refused_at_once(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "tube")
    for path in (tmp_path / "tube", "/dev/zero"):
        with pytest.raises(ValueError, match="pas un fichier ordinaire"):
            read_text(path)
    with (tmp_path / "creux").open("wb") as stream:
        stream.truncate(2**42)
    with pytest.raises(ValueError, match=r"dépasse .* Mio.*split"):
        read_text(tmp_path / "creux")

    def forbidden(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbidden)
    (tmp_path / "a.txt").touch()
    with pytest.raises(PermissionError, match=r"Lecture interdite.*chmod"):
        read_text(tmp_path / "a.txt")


def test_a_folder_of_texts(tmp_path):
    for name, text in (("ch10.txt", "dix"), ("ch2.txt", "deux\n"), ("note.md", "non")):
        (tmp_path / name).write_text(text)
    (tmp_path / "latin.TXT").write_bytes("été à Noël".encode("cp1252"))
    read = read_user_text(tmp_path)
    assert read.text == "deux\ndix\nété à Noël\n"
    assert read.encoding == "cp1252, utf-8"
    assert "lus : 3, de « ch2.txt » à « latin.TXT »" in read.notices[0]
    assert "Laissés de côté dans ce dossier : 1" in read.notices[0]


def test_chunks_change_nothing(write, monkeypatch):
    """Ni accent, ni fin de ligne, ni octet voisin ne se perd entre deux morceaux du fichier."""
    text = "été\r\nà\re\u0301te\u0301 l’œuvre…\r\n" * 3
    expected = normalized(text)
    cases = [(text, e) for e in ("utf-8", "utf-16", "utf-32")]
    cases.append((unicodedata.normalize("NFC", text), "cp1252"))
    for size in range(1, 12):
        monkeypatch.setattr(files, "CHUNK", size)
        for content, encoding in cases:
            assert read_text(write(content.encode(encoding))) == expected, (size, encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_memory_stays_near_the_size_of_the_file(write, monkeypatch, encoding):
    monkeypatch.setattr(files, "CHUNK", 2**16)
    path = write((FRENCH * 9000).encode(encoding))
    tracemalloc.start()
    text = read_text(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    width = 2  # octets par caractère en mémoire : le texte a des « ’ » et des « œ »
    assert len(text) == 9000 * len(FRENCH)
    assert peak < 1.6 * width * len(text)


def test_nothing_is_warned_about_an_ordinary_text(write):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_text(write((FRENCH * 30).encode()))
