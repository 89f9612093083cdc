"""La recette du romancier : éditions, doubles, romans mis de côté, entraînement, en petit."""

import csv
import hashlib
import io
import json
import random
import urllib.error
import zipfile
from functools import partial

import pytest

from course_experiments.romancier import corpus, duplicates, editions, training
from course_experiments.romancier.duplicates import duplicate_of, held_out
from course_experiments.romancier.editions import COLLECTIONS, novel_text, read_edition
from course_experiments.romancier.novels import CLEAN, CLEAN_LIST, read_novels
from course_lib.pretrained import load_pretrained

REPOSITORY = "COST-ELTeC/ELTeC-fra"
WORDS = [f"mot{i}" for i in range(4000)]


def invented(seed: int, n_paragraphs: int = 30) -> str:
    """Un roman : des paragraphes de cinquante mots tirés au sort."""
    draw = random.Random(seed)
    return "\n".join(" ".join(draw.choices(WORDS, k=50)) for _ in range(n_paragraphs))


def edition(text: str) -> bytes:
    paragraphs = "".join(f"<p>{line}</p>" for line in text.split("\n"))
    return (
        '<TEI xmlns="http://www.tei-c.org/ns/1.0"><teiHeader><p>Notice</p></teiHeader>'
        f"<text><front><p>Préface</p></front><body><div>{paragraphs}</div></body></text></TEI>"
    ).encode()


def test_only_the_body_is_kept_and_signs_have_one_form():
    written = "L’été   --  dit\u202f: “oui”...\n<hi>Il</hi> part\u00ad it – <l>un vers</l>"
    assert novel_text(edition(written), "a.xml") == (
        "L'été — dit : «oui»…\nIl part it — un vers\nun vers"
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"<TEI", "« a.xml » n’est pas du XML"),
        (b"<TEI/>", "pas de corps"),
    ],
)
def test_what_is_not_an_edition_is_refused(content, told):
    with pytest.raises(ValueError, match=told):
        novel_text(content, "a.xml")


def test_an_edition_is_read_from_a_folder_or_an_archive(tmp_path):
    with pytest.raises(FileNotFoundError, match="sans --editions"):
        read_edition(tmp_path, REPOSITORY, "level1/a.xml")
    with zipfile.ZipFile(editions.archive_path(tmp_path, REPOSITORY), "w") as archive:
        archive.writestr(f"ELTeC-fra-{COLLECTIONS[REPOSITORY]}/level1/a.xml", b"zip")
    assert read_edition(tmp_path, REPOSITORY, "level1/a.xml") == b"zip"
    (tmp_path / "ELTeC-fra" / "level1").mkdir(parents=True)
    (tmp_path / "ELTeC-fra" / "level1" / "a.xml").write_bytes(b"copie")
    assert read_edition(tmp_path, REPOSITORY, "level1/a.xml") == b"copie"
    with pytest.raises(FileNotFoundError, match="il faut la version 83f0a43"):
        read_edition(tmp_path, REPOSITORY, "level1/b.xml")


class Answer(io.BytesIO):
    """Ce que rend le réseau."""

    def __init__(self, content):
        super().__init__(content)
        self.headers = {"Content-Length": str(len(content))}


def test_collections_are_taken_once_and_a_silent_network_says_what_to_do(tmp_path, monkeypatch):
    asked = []

    def answer(address):
        asked.append(address)
        return Answer(b"zip")

    monkeypatch.setattr("urllib.request.urlopen", answer)
    editions.download(tmp_path)
    editions.download(tmp_path)
    assert len(asked) == 2 and all(
        revision in address for revision, address in zip(COLLECTIONS.values(), asked, strict=True)
    )
    assert editions.archive_path(tmp_path, REPOSITORY).read_bytes() == b"zip"

    def refuse(address):
        raise urllib.error.URLError("pas de réseau")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    (tmp_path / "autre").mkdir()
    with pytest.raises(ConnectionError, match=r"pas de réseau.*--editions"):
        editions.download(tmp_path / "autre")
    assert list((tmp_path / "autre").iterdir()) == []


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("Huysmans, Joris-Karl (1848-1907)", "Karl Huysmans, Joris", True),
        ("du Terrail, Ponson", "Ponson du Terrail, Pierre Alexis", True),
        ("Adam, Juliette (1836-1936)", "Adam Juliette Madame Adam Lambert", True),
        ("Ségur, comtesse de (1799-1874)", "de Ségur, Sophie", True),
        ("Gautier, Judith", "Gautier, Théophile", True),  # de trop, et sans dommage
        ("Verne, Jules", "Sandeau, Jules", False),
        ("Éric", "", False),
        ("", "", True),
    ],
)
def test_an_author_is_known_under_several_spellings(first, second, same):
    assert duplicates.same_author(first, second) is same
    assert duplicates.same_author(second, first) is same


def test_three_kinds_of_duplicates_are_found():
    first, second, volume = invented(0), invented(1), invented(2)
    shouted = first.upper().replace(" ", "  ")
    draw = random.Random(3)
    retouched = " ".join(w if draw.random() > 0.02 else "autre" for w in second.split(" "))
    whole = volume + "\n" + invented(4) + "\n" + invented(5)
    texts = [first, second, volume, shouted, retouched, whole, invented(6)]
    assert duplicate_of(texts) == [None, None, 5, 0, 1, None, None]
    # Le recueil vient avant ou après ses parties : c’est lui que l’on garde.
    assert duplicate_of([whole, volume]) == [None, 0]


def test_a_novel_signed_with_another_name_is_not_held_out():
    texts = {f"n{i}": invented(10 + i) for i in range(8)}
    authors = {name: f"Auteur{'abcdefgh'[i]}" for i, name in enumerate(texts)}
    texts["copie"] = texts["n0"] + "\n" + invented(40, 60)
    authors["copie"] = authors["n1"]  # n1 n’est plus seul de sa famille
    lengths = (0, 10_000_000)
    aside, refused = held_out(texts, authors, 6, lengths, seed=0)
    assert aside == [f"n{i}" for i in range(2, 8)]
    assert set(refused) <= {"n0"} and all(share == 1 for share in refused.values())
    with pytest.raises(ValueError, match=r"6 roman\(s\).*pour 7 demandés.*--held-out"):
        held_out(texts, authors, 7, lengths)


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """Douze romans édités, dont un double, et la liste qui les nomme : (dossier, éditions)."""
    texts = {f"R{i:02d}": invented(100 + i) for i in range(11)}
    texts["R11"] = texts["R03"]
    copies = tmp_path / "copies" / "ELTeC-fra" / "level1"
    copies.mkdir(parents=True)
    path = tmp_path / "liste.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        columns = ["repository", "file", "author", "title", "first_edition", "role", "sha256"]
        table = csv.DictWriter(stream, columns)
        table.writeheader()
        for name, text in texts.items():
            (copies / f"{name}.xml").write_bytes(edition(text))
            digest = hashlib.sha256(text.encode()).hexdigest()
            values = [
                REPOSITORY,
                f"level1/{name}.xml",
                "Nom" + chr(97 + int(name[1:])),
                name,
                "1860",
                "training",
            ]
            table.writerow(dict(zip(columns, [*values, digest], strict=True)))
    monkeypatch.setattr(corpus, "SHIPPED", path)
    monkeypatch.setattr(corpus, "held_out", partial(held_out, lengths=(0, 10_000_000)))
    return tmp_path / "corpus", tmp_path / "copies"


def test_the_command_checks_each_text_and_sorts_them(shelf, capsys):
    folder, copies = shelf
    command = [str(folder), "--editions", str(copies), "--held-out", "2"]
    assert corpus.main(command) == 0
    assert "12 romans" in (told := capsys.readouterr().out) and "1 en double" in told
    rows = corpus.rows_of(folder / CLEAN_LIST)
    assert [row["role"] for row in rows].count(CLEAN) == 2
    assert rows[11]["role"] == "duplicate" and rows[11]["reason"] == "R03"
    assert len(list(read_novels(folder, "training", listing=CLEAN_LIST))) == 9
    assert len(list(read_novels(folder, "training"))) == 12
    before = {path: path.stat().st_mtime_ns for path in (folder / "novels").iterdir()}
    assert corpus.main([str(folder), "--held-out", "2"]) == 0  # les éditions ne servent plus
    assert before == {path: path.stat().st_mtime_ns for path in (folder / "novels").iterdir()}


def test_a_text_of_another_version_is_not_written(shelf, capsys):
    folder, copies = shelf
    changed = copies / "ELTeC-fra" / "level1" / "R05.xml"
    changed.write_bytes(edition("autre chose"))
    assert corpus.main([str(folder), "--editions", str(copies)]) == 2
    assert "« level1/R05.xml » a l’empreinte" in capsys.readouterr().err
    assert not (folder / "novels" / "R05.txt").exists()
    assert not (folder / CLEAN_LIST).exists()


TINY = training.Recipe(1, 300, 16, 1, 2, 32, 32, 4, 2_000)


def test_a_small_romancier_is_trained_measured_and_opened(shelf, tmp_path, monkeypatch, capsys):
    folder, copies = shelf
    assert corpus.main([str(folder), "--editions", str(copies), "--held-out", "2"]) == 0
    monkeypatch.setitem(training.RECIPES, "petit", TINY)
    output = tmp_path / "modèle"
    command = [str(folder), "--output", str(output), "--device", "cpu"]
    assert training.main(command) == 0
    assert "bit par caractère" in capsys.readouterr().out
    record = json.loads((output / training.RECORD).read_text("utf-8"))
    assert len(record["held_out"]) == 2 and record["recipe"]["vocab_size"] == 300
    loaded = load_pretrained(output)
    for novel in read_novels(folder, CLEAN, listing=CLEAN_LIST):
        again = training.measure_novels(loaded.model, [novel], loaded.tokenizer, 32)
        assert again[novel.name] == record["held_out"][novel.name]
    weights = (output / "model.safetensors").read_bytes()
    assert training.main(command) == 0  # déjà fini : les mêmes poids
    assert (output / "model.safetensors").read_bytes() == weights
    assert training.main([*command, "--seed", "1"]) == 2
    assert "d’une autre graine" in capsys.readouterr().err
    assert (output / "model.safetensors").read_bytes() == weights
    listing = folder / CLEAN_LIST  # un roman de moins à lire : ce n’est plus le même entraînement
    listing.write_text(listing.read_text("utf-8").replace(",training,", ",duplicate,", 1), "utf-8")
    assert training.main(command) == 2
    assert "d’une autre liste" in capsys.readouterr().err
