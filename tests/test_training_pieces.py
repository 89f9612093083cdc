"""Lire et découper par morceaux : les mêmes jetons que d’un seul tenant, une seule fois."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.commands import prepared_text, text_pieces
from course_lib.commands.prepared_text import TextSettings, prepare_text
from course_lib.commands.text_pieces import TextFile
from course_lib.corpora import read_text
from course_lib.tokenization import BPETokenizer, CharTokenizer, WordTokenizer

TEXT = st.text(st.sampled_from("ab é\u0301’.\n\t 1<bos>œ\u00a0\u2028"), min_size=1, max_size=60)
TOKENIZERS = {"char": CharTokenizer, "bpe": BPETokenizer, "word": WordTokenizer}
SAMPLE = "L’été, où l’on s’en va… <bos> deux  mots\n\n d’Œuvre ; n° 12 ! " * 3
TRAINED = {kind: cls.train([SAMPLE]) for kind, cls in TOKENIZERS.items()}


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(text=TEXT, block=st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_pieces_encode_as_the_whole(kind, text, block):
    pieces, rest = [], ""
    for start in range(0, len(text), block):
        rest += text[start : start + block]
        cut = text_pieces._safe_cut(rest)
        pieces, rest = [*pieces, rest[:cut]], rest[cut:]
    pieces = [unicodedata.normalize("NFC", piece) for piece in [*pieces, rest]]
    whole = unicodedata.normalize("NFC", text)
    assert "".join(pieces) == whole
    tokenizer = TRAINED[kind]
    ids = [token for piece in pieces for token in tokenizer.encode(piece)]
    assert ids == tokenizer.encode(whole)


@pytest.fixture
def long_file(tmp_path, monkeypatch):
    monkeypatch.setattr(text_pieces, "STREAMED", 1000)
    monkeypatch.setattr(text_pieces, "_BLOCK", 257)
    path = tmp_path / "long.txt"
    lines = (f"Ligne {i} : l’e\u0301te\u0301 s’en va, à l’œuvre.\r\n" for i in range(200))
    path.write_bytes(b"\xef\xbb\xbf" + "".join(lines).encode())
    return path


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_long_text_is_prepared_as_a_short_one(long_file, tmp_path, monkeypatch, kind):
    long = TextFile(long_file)
    assert len(list(long.pieces())) > 5
    assert "".join(long.pieces()) == read_text(long_file)
    streamed = prepare_text(long, TextSettings(kind), tmp_path / "a", 16, 4, 0)
    monkeypatch.setattr(text_pieces, "STREAMED", 10**9)
    whole = prepare_text(TextFile(long_file), TextSettings(kind), tmp_path / "b", 16, 4, 0)
    assert streamed.tokenizer.to_json() == whole.tokenizer.to_json()
    for part in ("training", "validation"):
        ours, theirs = getattr(streamed, part), getattr(whole, part)
        assert ours.fingerprint() == theirs.fingerprint()
    text = read_text(long_file)
    cut = round(0.9 * len(text))
    expected = whole.tokenizer.encode(text[:cut]), whole.tokenizer.encode(text[cut:])
    assert streamed.training.ids.tolist() == expected[0]
    assert streamed.validation.ids.tolist() == [expected[0][-1], *expected[1]]


def test_a_text_is_split_only_once(long_file, tmp_path, monkeypatch):
    folder, settings_ = tmp_path / "a", TextSettings("word")
    first = prepare_text(TextFile(long_file), settings_, folder, 16, 4, 0).training.fingerprint()

    def never(*arguments):
        raise AssertionError("le texte est déjà découpé")

    with monkeypatch.context() as patch:
        patch.setattr(prepared_text, "_build", never)
        again = prepare_text(TextFile(long_file), settings_, folder, 16, 4, 0)
        assert again.training.fingerprint() == first
        with pytest.raises(AssertionError):
            prepare_text(TextFile(long_file), TextSettings("word", 50), folder, 16, 4, 0)
    tokens = np.fromfile(folder / "tokens.bin", dtype="int16")
    (tokens + 1).tofile(folder / "tokens.bin")  # un fichier abîmé est refait
    assert not prepared_text.is_prepared(TextFile(long_file), settings_, folder)
    repaired = prepare_text(TextFile(long_file), settings_, folder, 16, 4, 0)
    assert repaired.training.fingerprint() == first
    for damaged in ("{", '{"model": {"type": "WordLevel"}}', None):  # le découpage lui-même
        (folder / "tokenizer.json").unlink()
        if damaged:
            (folder / "tokenizer.json").write_text(damaged)
        again = prepare_text(TextFile(long_file), settings_, folder, 16, 4, 0)
        assert again.tokenizer.to_json() == repaired.tokenizer.to_json()
    (folder / "text.json").write_text("[]")
    assert not prepared_text.is_prepared(TextFile(long_file), settings_, folder)


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.txt", "é".encode("cp1252") + b" fran\xe7ais, l'\xe9t\xe9 o\xf9 l'on va. " * 60),
        ("a.jsonl", b'{"text": "un deux"}\n' * 90),
        ("a.txt", "de l’été ".encode() * 200 + b"\xc3"),
        ("a.txt", b"\xef\xbb\xbfun \x00 zero " + b"deux mots " * 200),
    ],
)
def test_what_is_not_plain_utf8_is_read_whole(tmp_path, monkeypatch, name, content):
    monkeypatch.setattr(text_pieces, "STREAMED", 1000)
    (tmp_path / name).write_bytes(content)
    file = TextFile(tmp_path / name)
    assert not file._is_plain
    try:
        expected = read_text(tmp_path / name)
    except ValueError as refusal:
        with pytest.raises(ValueError, match=str(refusal)[:20]):
            list(file.pieces())
    except UserWarning:
        assert "".join(file.pieces())
    else:
        assert list(file.pieces()) == [expected]
