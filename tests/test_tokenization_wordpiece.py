"""WordPiece : les ids de `tokenizers`, avec un petit vocabulaire et avec celui de MiniLM."""

import itertools

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.pretrained import store
from course_lib.tokenization import WordPieceTokenizer, load_tokenizer

CORPUS = [
    "Le chat dort. Le chien, l’été, ne dort pas !",
    "The animal didn't cross the street; it was too tired (or too wide?).",
    "unbelievable believable believe",
]
SMALL = WordPieceTokenizer.train(CORPUS * 2, 120)
RANGES = [(0x20, 0x7FC), (0x1E00, 0x20CF), (0x2100, 0x2BFF), (0x3000, 0x9FA5), (0xAC00, 0xD7A3)]
any_text = st.text(
    st.one_of(
        st.sampled_from("le chat dort été ' ’ . , ## [UNK] \t\n\r\x00\x0b\x85\ufffd$+=~"),
        *[st.characters(min_codepoint=a, max_codepoint=b, exclude_categories=["Cn", "Cs"])
          for a, b in RANGES],
        st.characters(min_codepoint=0x1F300, max_codepoint=0x1F64F),
    )
)  # fmt: skip


@pytest.fixture(scope="module")
def small_reference(tmp_path_factory):
    path = tmp_path_factory.mktemp("wordpiece") / "tokenizer.json"
    SMALL.save(path)
    return tokenizers.Tokenizer.from_file(str(path))


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
def test_ids_and_decoding_equal_tokenizers(small_reference, text):
    expected = small_reference.encode(text, add_special_tokens=False)
    assert SMALL.encode(text) == expected.ids
    assert SMALL.decode(expected.ids) == small_reference.decode(expected.ids, False)


@settings(max_examples=200, deadline=None)
@given(text=any_text)
def test_published_vocabulary(published, text):
    ours, reference = published
    assert ours.encode(text) == reference.encode(text, add_special_tokens=False).ids
    assert ours.encode_sentence(text) == reference.encode(text).ids


@settings(max_examples=100, deadline=None)
@given(text=any_text)
def test_spans_cover_the_text_in_order(text):
    ids, spans = SMALL.encode_with_spans(text)
    assert len(ids) == len(spans)
    assert all(0 <= a < b <= len(text) for a, b in spans)
    assert all(one[0] <= other[0] for one, other in itertools.pairwise(spans))


def test_spans_by_hand():
    text = "Été, believables"
    ids, spans = SMALL.encode_with_spans(text)
    assert [text[a:b] for a, b in spans][:2] == ["Été", ","] or ids[0] == SMALL.unk_id
    assert "".join(text[a:b] for a, b in spans) == text.replace(" ", "")


def test_by_hand():
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##aff", "##able", "a"]
    tokenizer = WordPieceTokenizer({token: i for i, token in enumerate(vocabulary)})
    assert tokenizer.encode("UNAFFABLE a") == [5, 6, 7, 8]
    assert tokenizer.encode("unaffe") == [1]  # « ##e » manque : le mot entier est inconnu
    assert tokenizer.encode("a" * 101) == [1]
    assert tokenizer.encode_sentence("a a a", max_length=4) == [2, 8, 8, 3]
    assert tokenizer.decode([5, 6, 7, 8]) == "unaffable a"
    assert tokenizer.encode("[MASK]") == [4]


def test_training_learns_the_frequent_pieces(tmp_path):
    tokenizer = WordPieceTokenizer.train(["banane bananes banane"] * 5, 20)
    assert "banane" in tokenizer.tokens
    assert tokenizer.decode(tokenizer.encode("bananes")) == "bananes"
    tokenizer.save(tmp_path / "t.json")
    assert load_tokenizer(tmp_path / "t.json").token_to_id == tokenizer.token_to_id


@pytest.mark.parametrize(
    "change, message",
    [
        ({"normalizer": None}, "Préparation du texte non prise en charge : None"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "Découpage non pris en charge"),
        ({"model": {"type": "Unigram"}}, "Modèle non pris en charge"),
    ],
)
def test_other_files_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        WordPieceTokenizer.from_json(SMALL.to_json() | change)


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"Il manque le jeton « \[UNK\] »"):
        WordPieceTokenizer({"a": 0}, ())
    with pytest.raises(ValueError, match="max_length = 1"):
        SMALL.encode_sentence("a", max_length=1)
    with pytest.raises(ValueError, match="Rôle inconnu : 'fin'"):
        SMALL.assign_roles(fin="[SEP]")
    with pytest.raises(ValueError, match=r"« zzz » \(rôle eos\) n'est pas au vocabulaire"):
        SMALL.assign_roles(eos="zzz")
