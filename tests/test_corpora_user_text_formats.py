"""Pages, tableaux, archives : le texte en est tiré et c’est dit, ou le fichier est refusé."""

import bz2
import gzip
import io
import json
import lzma
import sqlite3
import zipfile

import pytest
from fuzzing import fuzz, read_user_file, surprises, text_seeds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.corpora.user_text import read_user_text

TEXT = "L’été, à l’aube, les élèves rient.\n"
ROWS = [{"id": i, "text": TEXT.strip(), "lang": "fr"} for i in range(3)]
CELLS = [
    {"cell_type": "markdown", "source": ["# Titre\n", "Un mot."]},
    {"cell_type": "code", "source": "a = 1", "outputs": [{"text": "secret"}]},
]
PAGE = (
    "<!DOCTYPE html><html><head><title>T</title><style>p { color: red }</style></head><body>"
    "<p>L&eacute;t&eacute; <b>chaud</b></p><script>var x;</script><ul><li>un<li>deux</ul></body>"
)
TEI = (
    '<?xml version="1.0"?><TEI xmlns="http://www.tei-c.org/ns/1.0"><teiHeader><title>X</title>'
    "</teiHeader><text><body><sp><speaker>Sganarelle</speaker><l>Quoi&#160;?</l></sp></body></text>"
    "</TEI>"
)


@pytest.fixture
def read(tmp_path):
    def _read(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_user_text(path)

    return _read


def zipped(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, TEXT)
    return buffer.getvalue()


def short_name(value: object) -> str:
    """De quoi nommer un cas : ni octets compressés, ni texte entier."""
    return value if isinstance(value, str) and len(value) < 40 else ""


@pytest.mark.parametrize(
    ("name", "content", "text", "notice"),
    [
        ("a.jsonl", "\n".join(map(json.dumps, ROWS)), TEXT * 3, "« text », 3 lignes sur 3 ;"),
        ("a.txt", "\n".join(map(json.dumps, ROWS)), TEXT * 3, "JSONL : colonne « text »"),
        ("a.json", json.dumps(ROWS), TEXT * 3, "Tableau JSON : colonne « text », 3 lignes"),
        ("a.json", json.dumps({"data": ROWS}), TEXT * 3, "Tableau JSON"),
        ("a.json", json.dumps([TEXT.strip()] * 2), TEXT * 2, "2 textes mis bout à bout"),
        ("a.csv", 'id;propos\n1;"Viens ; toi là"\n2;Tu es là\n', "Viens ; toi là\nTu es là\n",
         "colonne « propos », 2 lignes sur 2 ; autres colonnes laissées de côté : 1"),
        ("a.tsv", "id\ttexte\n1\tun, deux\n", "un, deux\n", "Tableau CSV : colonne « texte »"),
        ("a.txt", PAGE, "Lété chaud\n\nun\ndeux\n", "Page HTML : seul son texte est gardé"),
        ("a.xml", TEI, "Sganarelle\n\nQuoi\u00a0?\n", "Livre TEI"),
        ("a.ipynb", json.dumps({"cells": CELLS, "nbformat": 4}), "# Titre\nUn mot.\n\na = 1\n",
         "1 cellules de texte et 1 de code gardées, sorties ôtées"),
        ("a.txt.gz", gzip.compress(TEXT.encode(), mtime=0), TEXT,
         "« a.txt.gz » contient « a.txt »"),
        ("a.bz2", bz2.compress(TEXT.encode()), TEXT, "décompressé"),
        ("a.xz", lzma.compress(TEXT.encode("utf-16")), TEXT, "décompressé"),
        ("a.zip", zipped("b.txt"), TEXT, "« a.zip » contient « b.txt »"),
    ],
)  # fmt: skip
def test_the_text_is_extracted_and_said(read, name, content, text, notice):
    result = read(name, content)
    assert result.text == text
    assert notice in " ".join(result.notices)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"q": "un deux trois", "r": "un deux trois"}\n' * 2, "« q », « r ».*jq -r"),
        ("a.jsonl", '{"text": "un"}\n{"text": "de', "nom de JSON mais n’en est pas"),
        ("a.json", '[{"text": "\\ud800 un"}]', r"contient U\+D800"),
        ("a.json", '[{"text": ""}, {"text": " "}]', "vide de texte"),
        ("a.csv", "id;texte\n1;2;3\n", "a 2 colonnes, mais sa ligne 2 en a 3"),
        ("a.csv", "a,b\nun deux trois,un deux trois\n", "« a », « b ».*renommez « text »"),
        ("a.xml", '<?xml version="1.0"?><rss><title>a</title></rss>', "genre inconnu.*xmllint"),
        ("a.txt", r"{\rtf1\ansi Bonjour}", "RTF.*pandoc"),
        ("a b.pdf", b"%PDF-1.7\n%\xe2\xe3", "PDF.*pdftotext '.*a b.pdf'"),
        ("a.docx", zipped("[Content_Types].xml", "word/document.xml"), "Word.*pandoc"),
        ("a.epub", zipped("META-INF/container.xml", "a.html"), "EPUB.*pandoc"),
        ("a.zip", zipped("a.txt", "b.txt"), "contient 2 fichiers.*unzip"),
        ("a.gz", gzip.compress(TEXT.encode() * 9, mtime=0)[:-9], "abîmé ou incomplet"),
        ("a.png", b"\x89PNG\r\n\x1a\n\0", "image PNG.*tesseract"),
        ("a", b"GGUF\3\0\0\0", "modèle GGUF"),
        ("a", (9).to_bytes(8, "little") + b'{"a":{}} ', "safetensors"),
        ("a", b"\x7fELF\2\1\1\0", "un programme"),
        ("a.txt", "version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
    ],
    ids=short_name,
)
def test_what_holds_no_plain_text_is_refused_with_a_remedy(read, name, content, message):
    with pytest.raises(ValueError, match=message):
        read(name, content)


def test_a_database_is_refused(tmp_path):
    with sqlite3.connect(tmp_path / "a.db") as base:
        base.execute("CREATE TABLE t (x)")
    base.close()
    with pytest.raises(ValueError, match=r"SQLite.*sqlite3"):
        read_user_text(tmp_path / "a.db")


@pytest.mark.parametrize(
    "text",
    [
        "{ Il entre, puis sort. }\nSGANARELLE. — Quoi ?\n",
        "[1] Une note.\n[2] Une autre ; « a < b » dit-il.\n",
        "[1, 2, 3]",
        '"Bonjour à tous"',
        "# Titre\n\n**gras**, `code` et <br> : du Markdown reste du texte.\n",
        "for (i = 0; i < n; i++) { x[i] = a < b; }\n" * 20,
        "Ô temps, suspends ton vol ; et vous, heures propices,\nSuspendez votre cours :\n" * 10,
        "Il vit une <i>lueur</i>, puis rien.\n" + "La nuit tombait sur la ville endormie.\n" * 90,
        "GGUF est un format, ID3 en est un autre.\n",
        "PK est un sigle ; %, BZh et II* n’en sont pas.\n",
        "nom;âge\nZoé;3\n",
    ],
    ids=short_name,
)
def test_a_text_that_only_looks_marked_up_stays_a_text(read, text):
    result = read("a.txt", text)
    assert result.text == text and result.notices == ()


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    start=st.sampled_from(["", "{", "[", "<", "{\n", "[ ", "< ", '"', "%", "PK ", "{\\"]),
    body=st.text(alphabet="abé <>{}[];,:\"'&/\\=.\n", min_size=3, max_size=80),
)
def test_free_text_is_never_taken_for_a_format(tmp_path, start, body):
    text = start + "Il dit : « " + body + " ».\n"
    path = tmp_path / "libre.txt"
    path.write_text(text, encoding="utf-8")
    assert read_user_text(path).text == text


@pytest.mark.parametrize(
    ("text", "notice"),
    [
        ("<p>Bonjour à <b>tous</b>.</p>\n" * 30, "porte des balises (120, dont « <p> »)"),
        (
            "".join(f"{i};mot{i};{i * i}\n" for i in range(20)),
            "un tableau de 3 colonnes",
        ),
        ("".join(f"00:00:0{i},000 --> 00:00:0{i},900\nOui\n\n" for i in range(9)), "minutages"),
        ("\f".join(f"Le titre\ntexte {i}\nfin {i * 7} mot\nPage {i}" for i in range(6)), "6 pages"),
        ('{"text": "un"}\n{"text": "deux"}\n{"text": "tr\n{"text": "oi"}\n', "JSONL abîmé"),
        ("Il =C3=A9tait une f=C3=A9e tr=C3=A8s =C3=A2g=C3=A9e.\n", "courriels"),
    ],
)
def test_what_is_learnt_as_it_is_is_said(read, text, notice):
    result = read("a.txt", text)
    assert result.text == text
    assert notice in " ".join(result.notices)


def test_damaged_files_are_read_or_refused(tmp_path):
    for name, seeds in text_seeds().items():
        assert not surprises(fuzz(read_user_file, seeds, 15, tmp_path / name))
