"""Tokenisation : allers-retours, identité avec `tokenizers`, erreurs."""

import itertools
import json
import os
import random
from collections import Counter

import pytest
import regex
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

from course_lib.tokenization import BPETokenizer, CharTokenizer, WordTokenizer, load_tokenizer
from course_lib.tokenization.bytes_alphabet import BYTE_TO_CHAR, CHAR_TO_BYTE
from course_lib.tokenization.files import AddedToken
from course_lib.tokenization.normalization import compose, compose_with_places
from course_lib.tokenization.patterns import (
    DIGIT,
    LETTER,
    PUNCTUATION,
    WORD_CHARACTER,
)
from course_lib.tokenization.splits import Split

CORPUS = [
    "L’animal n'a pas traversé la rue, car il était trop fatigué. Aujourd'hui, 1 234 œufs !",
    "Le renard a caché la clé d'or ; l'ours cherche la clé. 👩‍🚀 e\u0301té\tfin\n\n  là-bas…",
    "La petite souris dort près de la rivière ; l'ours dort dans la grotte, 27 jours.",
]
TOKENIZERS = {
    "mots": WordTokenizer.train(CORPUS),
    "mots_espaces": WordTokenizer.train(CORPUS, split="whitespace"),
    "caracteres": CharTokenizer.train(CORPUS),
    "bpe": BPETokenizer.train(CORPUS, 330),
    "bpe_chiffres": BPETokenizer.train(CORPUS, 330, isolate_digits=True),
}
BPE = TOKENIZERS["bpe"]
tricky = st.sampled_from(
    [
        *" \t\n\r\x0b\x1c\x85\xa0\u2009\u202f\u3000\u200b\x00'’0١²½",
        "'s",
        "e\u0301",
        "👨‍👩‍👧",
        "<eos>",
        "été",
    ]
)
any_text = st.lists(st.one_of(tricky, st.text(max_size=5)), max_size=12).map("".join)


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    """Les mêmes tokeniseurs, relus par la bibliothèque `tokenizers`."""
    folder = tmp_path_factory.mktemp("tokeniseurs")
    found = {}
    for name, tokenizer in TOKENIZERS.items():
        tokenizer.save(folder / f"{name}.json")
        found[name] = tokenizers.Tokenizer.from_file(str(folder / f"{name}.json"))
    return found


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=120, deadline=None)
@given(text=any_text)
def test_ids_and_spans_equal_tokenizers(references, name, text):
    expected = references[name].encode(text, add_special_tokens=False)
    ids, spans = TOKENIZERS[name].encode_with_spans(text)
    assert ids == expected.ids == TOKENIZERS[name].encode(text)
    assert spans == expected.offsets


@pytest.mark.parametrize("name", ["bpe", "bpe_chiffres"])
@settings(max_examples=250, deadline=None)
@given(text=any_text)
def test_bpe_round_trip(name, text):
    assert TOKENIZERS[name].decode(TOKENIZERS[name].encode(text)) == text


@settings(max_examples=100, deadline=None)
@given(ids=st.lists(st.integers(3, BPE.vocab_size - 1), max_size=20))
def test_bpe_decodes_any_ids_like_tokenizers(references, ids):
    assert BPE.decode(ids) == references["bpe"].decode(ids, skip_special_tokens=False)


@settings(max_examples=100, deadline=None)
@given(text=st.text(alphabet=sorted(set("".join(CORPUS)))))
def test_char_round_trip(text):
    assert TOKENIZERS["caracteres"].decode(TOKENIZERS["caracteres"].encode(text)) == text


def all_of_unicode():
    return "".join(chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (LETTER, r"\p{L}"),
        (DIGIT, r"\p{N}"),
        (PUNCTUATION, r"\p{P}"),
        (WORD_CHARACTER, r"[\p{L}\p{M}\p{N}_]"),
        (r"\s", r"\s"),
    ],
)
def test_character_classes_agree_on_all_of_unicode(ours, theirs):
    everything = all_of_unicode()
    split = pre_tokenizers.Split(Regex(theirs), "removed", invert=True)
    expected = [piece for piece, _ in split.pre_tokenize_str(everything)]
    assert regex.findall(ours, everything, regex.V1) == expected


@pytest.mark.slow
def test_isolated_digits_agree_on_all_of_unicode():
    pieces = pre_tokenizers.Digits(individual_digits=True).pre_tokenize_str(all_of_unicode())
    expected = [piece for piece, _ in pieces]
    assert Split(("digits",)).words(all_of_unicode()) == expected


# Lettres qui se décomposent, marques, syllabes coréennes ; et les mêmes, d’après Unicode 9.
MARKS = regex.findall(
    r"[\P{ccc=0}\p{NFC_QC=M}\p{dt=can}--\p{Hangul}--\p{Han}]", all_of_unicode(), regex.V1
)


def test_composition_agrees_on_every_mark():
    theirs = normalizers.NFC()
    for mark in MARKS:
        for text in (f"a\u0345{mark}", f"a\u05b0{mark}\u0301", f"{mark}\u0334", f"e{mark}\u0323é"):
            assert compose(text) == theirs.normalize_str(text)


@settings(max_examples=300, deadline=None)
@given(text=st.lists(st.one_of(st.sampled_from(MARKS), st.characters(exclude_categories=["Cs"]))))
def test_composition_equals_tokenizers(text):
    text = "".join(text)
    assert compose(text) == normalizers.NFC().normalize_str(text)
    composed, places = compose_with_places(text)
    assert composed == compose(text) and len(places) == len(composed)
    assert all(before[0] <= after[0] for before, after in itertools.pairwise(places))
    assert {i for start, end in places for i in range(start, end)} == set(range(len(text)))


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(text=st.lists(st.sampled_from(["<a>", "<a", "a>", "b", ">", " "])).map("".join))
def test_added_tokens_are_found_in_two_passes(text):
    """D’abord les jetons ordinaires, puis, dans ce qu’ils laissent, ceux dits « normalized »."""
    tokens = [AddedToken("a>"), AddedToken("<a>", normalized=True), AddedToken("<a", special=False)]
    vocabulary = {token.content: BPE.vocab_size + i for i, token in enumerate(tokens)}
    ours = BPETokenizer(BPE.token_to_id | vocabulary, BPE.merges, tokens)
    reference = tokenizers.Tokenizer.from_str(json.dumps(ours.to_json()))
    expected = reference.encode(text)
    assert ours.encode_with_spans(text) == (expected.ids, expected.offsets)
    assert ours.decode(expected.ids, True) == reference.decode(expected.ids, True)
    assert (ours.special_tokens, ours.added_tokens) == (["a>", "<a>"], tokens)
    assert BPETokenizer.from_json(ours.to_json()).added_tokens == tokens


def test_the_frame_of_a_tokenizer(tmp_path):
    ours = BPETokenizer.train(CORPUS, 300)
    assert ours.encode_sentence("clé") == ours.encode("clé")
    ours.set_frame([1], [2, 0])
    assert ours.encode_sentence("clé") == [1, *ours.encode("clé"), 2, 0]
    assert ours.encode_sentence("clé", max_length=3) == [1, 2, 0]
    ours.save(tmp_path / "t.json")
    again, theirs = load_tokenizer(tmp_path / "t.json"), tokenizers.Tokenizer.from_file
    assert again.frame == ([1], [2, 0])
    assert theirs(str(tmp_path / "t.json")).encode("clé").ids == ours.encode_sentence("clé")
    with pytest.raises(ValueError, match="L’identifiant 300 est hors"):
        ours.set_frame([300], [])
    ours.set_frame([], [])
    assert ours.to_json()["post_processor"] is None


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_start_that_was_never_learned_is_written_in_the_file(tmp_path, name):
    ours = type(TOKENIZERS[name]).from_json(TOKENIZERS[name].to_json())
    path, bos_id = tmp_path / "t.json", ours.bos_id
    assert bos_id is not None
    ours.declare_no_start()
    ours.save(path)
    again, theirs = load_tokenizer(path), tokenizers.Tokenizer.from_file(str(path))
    assert type(again) is type(ours) and again.to_json() == ours.to_json()
    assert ours.bos_id is again.bos_id is None
    assert again.encode("<bos>") == [bos_id]  # le jeton reste au vocabulaire
    assert theirs.encode("la clé d’or").ids == again.encode_sentence("la clé d’or")
    again.set_frame([bos_id], [])  # un encadrement posé ensuite l’emporte
    again.save(path)
    assert load_tokenizer(path).encode_sentence("la")[0] == bos_id


def test_roles_may_be_given():
    ours = BPETokenizer.train(CORPUS, 300, special_tokens=["<|fin|>"])
    assert (ours.bos_id, ours.eos_id) == (None, None)
    ours.assign_roles(eos="<|fin|>", pad="<|fin|>")
    assert (ours.bos_id, ours.eos_id, ours.pad_id) == (None, 0, 0)
    ours.assign_roles(pad=None)
    assert ours.pad_id is None


def test_bpe_training_equals_tokenizers():
    corpus = [" ".join(CORPUS) * 3, "banane banane ananas aaaa aaaaa abcabc bcbc"]
    ours = BPETokenizer.train(corpus, 360)
    reference = tokenizers.Tokenizer(models.BPE())
    reference.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    reference.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=360,
        min_frequency=2,
        special_tokens=["<pad>", "<bos>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    reference.train_from_iterator(corpus, trainer)
    expected = json.loads(reference.to_str())["model"]
    assert [list(pair) for pair in ours.merges] == expected["merges"]
    assert BPETokenizer.train(corpus, 360).merges == ours.merges
    assert ours.token_to_id == expected["vocab"]


@pytest.mark.parametrize("letters", ["ab", "aéœ", "abcdefghijklm"])
def test_training_on_text_without_spaces(letters):
    """Les fusions ne visitent que leurs places : 20 000 signes collés prenaient une minute."""
    draw = random.Random(0)
    text = "".join(draw.choice(letters) for _ in range(20_000)) + "aaaaa"
    ours = BPETokenizer.train([text, "aaaa aaa abab"], vocab_size=600)
    symbols = ours.special_tokens + sorted(CHAR_TO_BYTE)
    assert ours.merges[:40] == recounted(["aaaa", " aaa", " abab", text], symbols, 40)


def recounted(words, symbols, n_merges):
    """L’apprentissage naïf : tout recompter, fusionner la paire la plus fréquente, recommencer."""
    ranks = {symbol: rank for rank, symbol in enumerate(symbols)}
    words = [[BYTE_TO_CHAR[byte] for byte in word.encode()] for word in words]
    merges = []
    while len(merges) < n_merges:
        counts = Counter(pair for word in words for pair in itertools.pairwise(word))
        pair = min(counts, key=lambda one: (-counts[one], ranks[one[0]], ranks[one[1]]))
        merges.append(pair)
        ranks.setdefault("".join(pair), len(ranks))
        for word in words:
            joined = iter(list(enumerate(word)))
            word[:] = [
                "".join(pair) if tuple(word[i : i + 2]) == pair and next(joined) else symbol
                for i, symbol in joined
            ]
    return merges


def test_bpe_by_hand():
    # « abab » cinq fois : (a, b) 10 fois, puis (ab, ab) 5 fois ; plus rien ne se répète.
    tokenizer = BPETokenizer.train(["abab"] * 5)
    assert tokenizer.merges == [("a", "b"), ("ab", "ab")]
    assert tokenizer.vocab_size == 3 + 256 + 2
    assert tokenizer.encode("ababab") == [260, 259]
    assert tokenizer.tokens[259:] == ["ab", "abab"]


def test_spans_when_a_character_is_split():
    tokenizer = BPETokenizer.train([], 259)
    ids, spans = tokenizer.encode_with_spans("é👍")
    assert spans == [(0, 1)] * 2 + [(1, 2)] * 4
    assert tokenizer.tokens[ids[0]] == "\\xc3"


def test_a_very_long_word_is_quick_and_exact(references):
    word = "animal" * 20_000
    assert BPE.encode(word) == references["bpe"].encode(word).ids


def test_words_and_their_decoding():
    tokenizer = WordTokenizer.train("L’animal dort, dit-elle (aujourd'hui) : « L'ours ? »")
    words = [tokenizer.tokens[i] for i in tokenizer.encode("L’animal dort, L'ours ?")]
    assert words == ["L’", "animal", "dort", ",", "L'", "ours", "?"]
    text = "L’animal dort, dit-elle (aujourd'hui) : « L'ours ? »"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    spaced = WordTokenizer.train("l' animal dort .", split="whitespace")
    assert spaced.decode(spaced.encode("l' animal  dort\n.")) == "l' animal dort ."


def test_vocabulary_order_and_limit():
    tokenizer = WordTokenizer.train(["b a b c", "c b"], vocab_size=6)
    assert tokenizer.tokens == ["<pad>", "<bos>", "<eos>", "<unk>", "b", "c"]
    assert (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id, tokenizer.unk_id) == (0, 1, 2, 3)
    assert tokenizer.encode("a b") == [tokenizer.unk_id, 4]
    assert BPE.unk_id is None


@pytest.mark.parametrize("name", TOKENIZERS)
def test_empty_text_and_special_tokens(name):
    tokenizer = TOKENIZERS[name]
    assert tokenizer.encode("") == [] and tokenizer.decode([]) == ""
    assert tokenizer.encode_with_spans("") == ([], [])
    ids = tokenizer.encode("<bos>clé<eos>")
    assert (ids[0], ids[-1]) == (1, 2)
    assert "<" not in tokenizer.decode([1, 2], skip_special_tokens=True)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_save_and_load(name, tmp_path):
    tokenizer, path = TOKENIZERS[name], tmp_path / "t.json"
    tokenizer.save(path)
    again = load_tokenizer(path)
    assert type(again) is type(tokenizer)
    assert again.tokens == tokenizer.tokens
    assert again.encode(CORPUS[0]) == tokenizer.encode(CORPUS[0])
    assert again.to_json() == type(tokenizer).load(path).to_json() == tokenizer.to_json()


def test_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "t.json"
    BPE.save(path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disque plein")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disque plein"):
        TOKENIZERS["mots"].save(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["t.json"]


def test_published_files_with_string_merges_are_read(tmp_path):
    content = BPE.to_json()
    content["model"]["merges"] = [" ".join(pair) for pair in BPE.merges]
    path = tmp_path / "ancien.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    assert load_tokenizer(path).merges == BPE.merges


@pytest.mark.parametrize("name", TOKENIZERS)
def test_wrong_inputs(name):
    tokenizer = TOKENIZERS[name]
    with pytest.raises(TypeError, match=r"doit être une chaîne .* reçu bytes"):
        tokenizer.encode(b"abc")
    with pytest.raises(ValueError, match=r"caractère n° 2 \(U\+D83D\)"):
        tokenizer.encode("ab\ud83d")
    with pytest.raises(ValueError, match=f"L’identifiant {tokenizer.vocab_size} est hors"):
        tokenizer.decode([0, tokenizer.vocab_size])
    with pytest.raises(ValueError, match="L’identifiant -1 est hors"):
        tokenizer.decode([-1])
    with pytest.raises(TypeError, match=r"est un entier ; reçu 1\.5"):
        tokenizer.decode([1.5])
    with pytest.raises(TypeError, match="reçu un booléen"):
        tokenizer.decode([True])


def test_training_errors():
    with pytest.raises(ValueError, match=r"vocab_size=100 est trop petit .* 259"):
        BPETokenizer.train(CORPUS, 100)
    with pytest.raises(ValueError, match="vocab_size=4 est trop petit"):
        CharTokenizer.train(CORPUS, 4)
    with pytest.raises(TypeError, match="vocab_size doit être un entier"):
        WordTokenizer.train(CORPUS, 10.0)
    with pytest.raises(TypeError, match="reçu int"):
        BPETokenizer.train([3])
    with pytest.raises(ValueError, match="tous différents"):
        CharTokenizer.train(CORPUS, special_tokens=("<pad>", "<pad>"))
    with pytest.raises(TypeError, match="dans un tuple"):
        CharTokenizer.train(CORPUS, special_tokens="<pad>")
    with pytest.raises(ValueError, match="Étape de découpage inconnue : 'lettres'"):
        Split(("digits", "lettres"))
    with pytest.raises(ValueError, match="« <x> » n’est pas au vocabulaire"):
        BPETokenizer(BPE.token_to_id, BPE.merges, [AddedToken("<x>")])
    with pytest.raises(ValueError, match="split='lettre' est inconnu"):
        WordTokenizer.train(CORPUS, split="lettre")
    with pytest.raises(ValueError, match="« z » n’est pas au vocabulaire"):
        CharTokenizer.train("abc", special_tokens=()).encode("az")


def _without_vocab(content):
    del content["model"]["vocab"]


def _gap(content):
    content["model"]["vocab"]["é"] = 9999


def _bad_merge(content):
    content["model"]["merges"][0] = ["a"]


def _unknown_merge(content):
    content["model"]["merges"][0] = ["a", "zzz"]


def _other_split(content):
    content["pre_tokenizer"] = {"type": "Metaspace"}


def _normalized(content):
    content["normalizer"] = {"type": "Lowercase"}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without_vocab, "model.vocab"),
        (_gap, "doivent aller de 0 à"),
        (_bad_merge, "Fusion mal formée"),
        (_unknown_merge, "« zzz », absent"),
        (_other_split, "Découpage non pris en charge"),
        (_normalized, "normalise le texte"),
        (lambda content: content["added_tokens"][0].update(content=3), "Jeton ajouté mal formé"),
        (lambda content: content["added_tokens"][0].update(id=4), "a deux identifiants : 0 et 4"),
        (lambda content: content["added_tokens"][0].update(lstrip=True), "espaces voisines"),
        (lambda content: content["model"].update(type="Unigram"), "'Unigram' non pris en charge"),
    ],
)
def test_damaged_files(tmp_path, damage, message):
    content = json.loads(json.dumps(BPE.to_json()))
    damage(content)
    path = tmp_path / "abime.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        load_tokenizer(path)


def test_unreadable_files(tmp_path):
    path = tmp_path / "t.json"
    with pytest.raises(FileNotFoundError, match="n’existe pas"):
        load_tokenizer(path)
    with pytest.raises(FileNotFoundError, match="créez-le"):
        BPE.save(tmp_path / "absent" / "t.json")
    path.write_bytes(b"\xff{")
    with pytest.raises(ValueError, match="pas un fichier JSON en UTF-8 : octet 0xFF illisible"):
        load_tokenizer(path)
    for content, place in (("{", "ligne 1, colonne 2"), ("[" * 99_999, "les unes dans les autres")):
        path.write_text(content)
        with pytest.raises(ValueError, match=place) as refusal:
            load_tokenizer(path)
        assert str(refusal.value).count(str(path)) == 1
    path.write_text("[1]")
    with pytest.raises(ValueError, match="la clé « model » manque"):
        load_tokenizer(path)
    TOKENIZERS["mots"].save(path)
    for wrong in (BPETokenizer, CharTokenizer):
        with pytest.raises(ValueError, match=f"n’est pas celui d’un {wrong.__name__}"):
            wrong.load(path)
