"""WordPiece : les ids de `tokenizers`, avec un petit vocabulaire et avec celui de MiniLM."""

import itertools
import json

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import normalizers, pre_tokenizers

from course_lib.pretrained import store
from course_lib.tokenization import WordPieceTokenizer, load_tokenizer
from course_lib.tokenization.normalization import BertPreparation

CORPUS = [
    "Le chat dort. Le chien, l’été, ne dort pas !",
    "The animal didn't cross the street; it was too tired (or too wide?).",
    "unbelievable believable believe ÉTÉ Ça 日本語",
]
TOKENIZERS = {
    "uncased": WordPieceTokenizer.train(CORPUS * 2, 130),
    "cased": WordPieceTokenizer.train(CORPUS * 2, 140, uncased=False),
}
SMALL = TOKENIZERS["uncased"]
# Des marques qui changent de place, se composent, ou sont venues après l’Unicode de `tokenizers`.
MARKS = "\u0301\u0323\u302e\U0001d165\u1b44\u0f73\u0345\u1dfa\u08e2\u1734\u093c\u3099"
PIECES = st.one_of(
    st.text(max_size=8),
    st.sampled_from([*"lechatdort ’.,#ÉÇΣİß日\t\n\r\x00\x0b\x85\xa0\xad\ufffd$+=~", *MARKS]),
    st.sampled_from(["le chat", "[UNK]", "[SEP]", " 's do not n't", "believe", "\u0958"]),
)
any_text = st.lists(PIECES, max_size=12).map("".join)


@pytest.fixture(scope="module", params=TOKENIZERS)
def small(request, tmp_path_factory):
    """Notre tokeniseur, et ce que `tokenizers` lit dans son fichier."""
    path = tmp_path_factory.mktemp("wordpiece") / "tokenizer.json"
    TOKENIZERS[request.param].save(path)
    return TOKENIZERS[request.param], tokenizers.Tokenizer.from_file(str(path))


@pytest.fixture(scope="module")
def published():
    try:
        path = store.minilm_folder() / "tokenizer.json"
    except (FileNotFoundError, ValueError) as reason:
        pytest.skip(str(reason))
    reference = tokenizers.Tokenizer.from_file(str(path))
    reference.no_truncation()
    reference.no_padding()
    return load_tokenizer(path), reference


@settings(max_examples=200, deadline=None)
@given(text=any_text)
def test_ids_and_decoding_equal_tokenizers(small, text):
    ours, reference = small
    expected = reference.encode(text, add_special_tokens=False)
    assert ours.encode(text) == ours.encode_with_spans(text)[0] == expected.ids
    for skip in (False, True):
        assert ours.decode(expected.ids, skip) == reference.decode(expected.ids, skip)


@settings(max_examples=200, deadline=None)
@given(text=any_text, other=any_text)
def test_published_vocabulary(published, text, other):
    ours, reference = published
    assert ours.encode(text) == reference.encode(text, add_special_tokens=False).ids
    assert ours.encode_sentence(text) == reference.encode(text).ids
    both = reference.encode(text, other)
    assert ours.encode_pair(text, other) == (both.ids, both.type_ids)


def test_published_files_keep_their_frame(published, tmp_path):
    ours, reference = published
    ours.save(tmp_path / "tokenizer.json")
    again = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    expected = reference.encode(CORPUS[1], CORPUS[0])
    found = again.encode(CORPUS[1], CORPUS[0])
    assert (found.ids, found.type_ids) == (expected.ids, expected.type_ids)
    assert load_tokenizer(tmp_path / "tokenizer.json").to_json() == ours.to_json()


@pytest.mark.slow
@pytest.mark.parametrize("uncased", [True, False])
def test_preparation_agrees_on_all_of_unicode(uncased):
    """Chaque caractère entre deux lettres : est-il gardé, ôté, une espace, un signe ?"""
    normalizer = normalizers.BertNormalizer(lowercase=uncased)
    splitter, ours = pre_tokenizers.BertPreTokenizer(), BertPreparation(uncased)
    codes = itertools.chain(range(0xD800), range(0xE000, 0x32000), range(0xE0000, 0xE0200))
    while batch := list(itertools.islice(codes, 512)):
        text = " ".join(f"a{chr(code)}b" for code in batch)
        pieces = splitter.pre_tokenize_str(normalizer.normalize_str(text))
        assert ours.words(text) == [word for word, _ in pieces]


@settings(max_examples=300, deadline=None)
@given(text=st.text(st.sampled_from("aéΣ가 \x00日" + MARKS)))
def test_marks_in_any_order(text):
    """Deux marques de suite peuvent changer de place avant d’être ôtées."""
    normalizer, splitter = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    expected = [w for w, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))]
    ours = BertPreparation()
    assert ours.words(text) == [word for word, _ in ours.words_with_places(text)] == expected


@settings(max_examples=100, deadline=None)
@given(text=any_text)
def test_spans_cover_the_text_in_order(text):
    ids, spans = SMALL.encode_with_spans(text)
    assert len(ids) == len(spans)
    assert all(0 <= a < b <= len(text) for a, b in spans)


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.sampled_from("lechatdort. ,ÉÇ#’")))
def test_spans_equal_tokenizers(small, text):
    ours, reference = small
    expected = reference.encode(text, add_special_tokens=False)
    assert ours.encode_with_spans(text) == (expected.ids, expected.offsets)


def test_spans_by_hand():
    text = "Été, belıevables"
    ids, spans = SMALL.encode_with_spans(text)
    assert [text[a:b] for a, b in spans][-1] == "belıevables" and ids[-1] == SMALL.unk_id
    text = "E\u0301te\u0301  chat."
    ids, spans = SMALL.encode_with_spans(text)
    assert ids == SMALL.encode("ete chat.")
    assert [text[a:b] for a, b in spans][-2:] == ["chat", "."]
    assert "".join(text[a:b] for a, b in spans).startswith("E\u0301te")


def test_by_hand():
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##aff", "##able", "a"]
    tokenizer = WordPieceTokenizer({token: i for i, token in enumerate(vocabulary)})
    assert tokenizer.encode("UNAFFABLE a") == [5, 6, 7, 8]
    assert tokenizer.encode("unaffe") == [1]  # « ##e » manque : le mot entier est inconnu
    assert tokenizer.encode("a" * 101) == [1]
    assert tokenizer.encode_sentence("a a a", max_length=4) == [2, 8, 8, 3]
    assert tokenizer.encode_pair("a", "un a") == ([2, 8, 3, 5, 8, 3], [0, 0, 0, 1, 1, 1])
    assert tokenizer.decode([5, 6, 7, 8]) == "unaffable a"
    assert tokenizer.encode("[MASK]") == [4]
    cased = WordPieceTokenizer({token: i for i, token in enumerate(vocabulary)}, uncased=False)
    assert cased.encode("UNAFFABLE unaffable") == [1, 5, 6, 7]


def test_training_learns_the_frequent_pieces(tmp_path):
    tokenizer = WordPieceTokenizer.train(["banane bananes banane"] * 5, 20)
    assert "banane" in tokenizer.tokens
    assert tokenizer.decode(tokenizer.encode("bananes")) == "bananes"
    tokenizer.save(tmp_path / "t.json")
    again = load_tokenizer(tmp_path / "t.json")
    assert again.token_to_id == tokenizer.token_to_id and again.uncased
    cased = WordPieceTokenizer.train(["Banane Bananes Banane"] * 5, 20, uncased=False)
    assert "Banane" in cased.tokens
    assert not WordPieceTokenizer.from_json(cased.to_json()).uncased


def _normalizer(**changes):
    return {"normalizer": SMALL.to_json()["normalizer"] | changes}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"normalizer": None}, "Préparation du texte non prise en charge : None"),
        (_normalizer(lowercase=False, strip_accents=True), "Préparation du texte non prise"),
        (_normalizer(strip_accents=False), "Préparation du texte non prise en charge"),
        (_normalizer(handle_chinese_chars=False), "Préparation du texte non prise en charge"),
        (_normalizer(lowercase=None), "Préparation du texte non prise en charge"),
        (
            {"pre_tokenizer": {"type": "Whitespace"}},
            r"Découpage non pris .*pre_tokenizer",
        ),
        ({"decoder": None}, r"Découpage non pris en charge \(decoder\) : None"),
        ({"post_processor": {"type": "Mystère"}}, "Encadrement non pris en charge"),
        ({"model": {"type": "Unigram"}}, "Modèle non pris en charge"),
    ],
)
def test_other_files_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        WordPieceTokenizer.from_json(SMALL.to_json() | change)


def test_accents_may_be_said_to_follow_the_case():
    """`strip_accents` peut être écrit, s’il dit la même chose que `lowercase`."""
    content = json.loads(json.dumps(SMALL.to_json() | _normalizer(strip_accents=True)))
    assert WordPieceTokenizer.from_json(content).encode("ÉTÉ") == SMALL.encode("ete")


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"Il manque le jeton « \[UNK\] »"):
        WordPieceTokenizer({"a": 0}, ())
    with pytest.raises(ValueError, match=r"« \[CLS\] » \(rôle bos\) n’est pas au vocabulaire"):
        WordPieceTokenizer({"[UNK]": 0}, ["[UNK]"])
    with pytest.raises(ValueError, match="max_length = 1 : il faut au moins 2 places"):
        SMALL.encode_sentence("a", max_length=1)
    with pytest.raises(ValueError, match="Rôle inconnu : 'fin'"):
        SMALL.assign_roles(fin="[SEP]")
    with pytest.raises(ValueError, match=r"« zzz » \(rôle eos\) n’est pas au vocabulaire"):
        SMALL.assign_roles(eos="zzz")
