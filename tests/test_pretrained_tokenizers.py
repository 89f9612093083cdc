"""Tokeniseurs publiés : mêmes ids que la bibliothèque `tokenizers`, quelle que soit leur sorte."""

import functools
import itertools
import json
from pathlib import Path

import pytest
import tokenizers
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import (
    AddedToken,
    Regex,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX as QWEN2

from course_lib.pretrained import store
from course_lib.pretrained.folders.tokenizers import (
    SharedTokenizer,
    gguf_tokenizer_metadata,
    tokenizer_from_folder,
    tokenizer_from_gguf,
)
from course_lib.pretrained.gguf.reader import GGUFFile
from course_lib.tokenization import BPETokenizer, WordPieceTokenizer, load_tokenizer
from course_lib.tokenization.sentencepiece import SentencePieceTokenizer
from course_lib.tokenization.splits import LLAMA3, LLAMA_CPP_DEFAULT, Split
from course_lib.tokenization.splits import QWEN2 as OUR_QWEN2

CORPUS = [
    "Le chat dort sur le lit 42 fois ; l’été, Zoé chante : « la la la » !",
    "C'était 1789, it's DON'T we'll.\n\n\tdef f(x):\r\n    return x ** 2 + 1000000\n",
    "Où ça ? là-bas 👩‍🚀 $3.50 <= 12345 <think>rien</think>",
] * 3
LLAMA = QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"  # de llama.cpp
# llama.cpp, quand un fichier ne dit rien de son découpage.
DEFAULT = (r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]")
PIECES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            *("<|im_start|>user\n", "<|im_end|>", "<think>", "<fin>", "chat", "<chat>", " zigzag"),
            *("L’animal n’a pas", " 1 024,5", "123456", "\n\n  \t", "\r\n \r\n", "'S", "'ſ", "'LL"),
            *("🎈👩‍🚀", "def f(x):", "e\u0301", "a\u0323\u0307", "\u1100\u1161", "\u0300", "²½"),
            *("\u0958", "\u212b", "\U00011935\U00011930", "a\u0345\u1dfa", "$+<=>^~|", "#é"),
        ]
    ),
)
any_text = st.lists(PIECES, max_size=8).map("".join)


def isolated(*expressions):
    """L’étape qui isole ce que ces expressions reconnaissent, puis écrit les mots en octets."""
    cuts = [pre_tokenizers.Split(Regex(one), "isolated") for one in expressions]
    return pre_tokenizers.Sequence([*cuts, pre_tokenizers.ByteLevel(False, use_regex=False)])


PRE_TOKENIZERS = {
    "gpt-2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "smollm": pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(False)]
    ),
    "qwen2": isolated(QWEN2),
    "llama-bpe": isolated(LLAMA),
    "smaug-bpe": isolated(LLAMA),
    "default": isolated(*(f"{one}|\\s+" if one == GPT2 else one for one in DEFAULT)),
}
KINDS = list(PRE_TOKENIZERS)


def published(kind, normalized=True):
    """Un petit tokeniseur comme ceux que l’on publie, bâti par la bibliothèque `tokenizers`."""
    reference = tokenizers.Tokenizer(models.BPE())
    reference.pre_tokenizer = PRE_TOKENIZERS[kind]
    reference.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|début|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    reference.train_from_iterator(CORPUS, trainer)
    content = json.loads(reference.to_str())
    if kind == "llama-bpe":  # un mot au vocabulaire, qu’aucune fusion ne produit
        content["model"]["vocab"]["Ġzigzag"] = len(content["model"]["vocab"])
        content["model"]["ignore_merges"] = True
    reference = tokenizers.Tokenizer.from_str(json.dumps(content))
    if kind == "qwen2":
        reference.normalizer = normalizers.NFC()
        normalized = False
    special = [AddedToken(t, normalized=False) for t in ("<|im_start|>", "<|im_end|>")]
    reference.add_special_tokens(special)
    plain = [AddedToken(t, normalized=normalized, special=False) for t in ("<think>", "chat>")]
    reference.add_tokens([*plain, AddedToken("<chat", normalized=False, special=False)])
    if kind == "llama-bpe":
        reference.post_processor = processors.Sequence(
            [
                processors.ByteLevel(trim_offsets=False),
                processors.TemplateProcessing(
                    "<|début|> $A <|im_end|>",
                    "<|début|> $A <|im_end|> $B",
                    [("<|début|>", 0), ("<|im_end|>", reference.token_to_id("<|im_end|>"))],
                ),
            ]
        )
    return reference


@pytest.fixture(scope="module", params=KINDS)
def pair(request, tmp_path_factory):
    """La référence, ce que nous lisons dans son fichier, et la relecture de ce qu’on en réécrit."""
    reference = published(request.param)
    path = tmp_path_factory.mktemp("publie") / "tokenizer.json"
    reference.save(str(path))
    ours = load_tokenizer(path)
    ours.save(path)
    return reference, ours, tokenizers.Tokenizer.from_file(str(path))


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(text=any_text)
def test_ids_equal_tokenizers(pair, text):
    reference, ours, rewritten = pair
    expected = reference.encode(text, add_special_tokens=False)
    assert ours.encode(text) == expected.ids
    assert rewritten.encode(text, add_special_tokens=False).ids == expected.ids
    assert ours.encode_sentence(text) == reference.encode(text).ids == rewritten.encode(text).ids
    for skip in (False, True):
        assert ours.decode(expected.ids, skip) == reference.decode(expected.ids, skip)
    ids, spans = ours.encode_with_spans(text)
    assert ids == expected.ids and all(0 <= a < b <= len(text) for a, b in spans)
    if ours.split.prepare(text) == text:
        assert spans == expected.offsets


def test_what_a_file_says_is_kept(pair):
    reference, ours, rewritten = pair
    assert isinstance(ours, BPETokenizer)
    assert BPETokenizer.from_json(ours.to_json()).to_json() == ours.to_json()
    expected = json.loads(reference.to_str())
    found = json.loads(rewritten.to_str())
    assert found["post_processor"] == expected["post_processor"]
    assert found["added_tokens"] == expected["added_tokens"]
    assert found["normalizer"] == expected["normalizer"]
    assert found["model"]["ignore_merges"] == expected["model"]["ignore_merges"]
    assert rewritten.get_vocab() == reference.get_vocab()


def test_whole_words_and_frames():
    reference = published("llama-bpe")
    ours = BPETokenizer.from_json(json.loads(reference.to_str()))
    assert ours.split == LLAMA3
    assert [ours.tokens[i] for i in ours.encode("a zigzag")] == ["a", " zigzag"]
    ids = ours.encode("a zigzag")
    assert ours.encode_sentence("a zigzag") == [0, *ids, ours.token_to_id["<|im_end|>"]]
    assert ours.encode_sentence("a zigzag", max_length=3) == [0, ids[0], ours.frame[1][0]]
    with pytest.raises(ValueError, match="max_length = 1 : il faut au moins 2 places"):
        ours.encode_sentence("a", max_length=1)
    with pytest.raises(ValueError, match=r"coupe les mots autrement .*llama3"):
        assert ours.isolate_digits


def test_composed_text_has_the_spans_of_the_original():
    ours = BPETokenizer.from_json(json.loads(published("qwen2").to_str()))
    assert ours.split == OUR_QWEN2
    text = "e\u0301te\u0301 a\u0323\u0307"
    ids, spans = ours.encode_with_spans(text)
    assert ids == ours.encode("été ạ̇")
    assert spans[0][0] == 0 and {text[a:b] for a, b in spans} >= {"e\u0301", "a\u0323\u0307"}


# ------------------------------------------------------------------ ce qui est refusé


def change(**changes):
    return lambda content: content.update(changes)


def change_model(**changes):
    return lambda content: content["model"].update(changes)


def normalized_token(content):
    content["normalizer"] = {"type": "NFC"}
    content["added_tokens"][1]["normalized"] = True


def without_a_byte(content):
    del content["model"]["vocab"]["ÿ"]
    last = max(content["model"]["vocab"], key=content["model"]["vocab"].get)
    content["model"]["vocab"][last] = 256
    ids = {token: i for i, token in enumerate(sorted(content["model"]["vocab"]))}
    content["model"].update(vocab=ids, merges=[], unk_token="a")
    content["added_tokens"] = []


SPLIT = {
    "type": "Split",
    "pattern": {"Regex": r"\w+"},
    "behavior": "Isolated",
    "invert": False,
}
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}


@pytest.mark.parametrize(
    "damage, message",
    [
        (
            change(pre_tokenizer={"type": "ByteLevel", "add_prefix_space": True}),
            "Découpage non pris en charge",
        ),
        (
            change(pre_tokenizer={"type": "Sequence", "pretokenizers": [SPLIT, BYTES]}),
            r"Découpage non pris en charge : .*\\w\+",
        ),
        (change(pre_tokenizer={"type": "Sequence", "pretokenizers": []}), "Découpage non pris"),
        (change(pre_tokenizer=None), "Découpage non pris en charge : None"),
        (change(normalizer={"type": "NFKC"}), r"normalise le texte .*NFKC.* composition \(NFC\)"),
        (change(decoder=None), "Décodage non pris en charge : None"),
        (change(post_processor={"type": "Mystère"}), "Encadrement non pris en charge .*Mystère"),
        (change(post_processor={"type": "BertProcessing", "cls": ["a"]}), "Encadrement non pris"),
        (
            change(post_processor={"type": "BertProcessing", "cls": ["a", 0], "sep": ["b", 9999]}),
            "L’identifiant 9999 est hors du vocabulaire",
        ),
        (change_model(dropout=0.1), r"model\.dropout = 0\.1"),
        (change_model(end_of_word_suffix="</w>"), r"model\.end_of_word_suffix = '</w>'"),
        (normalized_token, r"texte normalisé \(normalized\)"),
        (without_a_byte, r"model\.unk_token = 'a'"),
    ],
)
def test_what_is_not_read_is_refused(damage, message):
    content = json.loads(published("gpt-2").to_str())
    damage(content)
    with pytest.raises(ValueError, match=message):
        BPETokenizer.from_json(content)


def test_options_without_effect_are_read():
    """Un vocabulaire complet n’a pas de mot inconnu : dire comment l’écrire ne change rien."""
    content = json.loads(published("gpt-2").to_str())
    content["model"].update(unk_token="a", continuing_subword_prefix="", end_of_word_suffix="")
    content["normalizer"] = {"type": "Sequence", "normalizers": []}
    ours = BPETokenizer.from_json(content)
    reference = tokenizers.Tokenizer.from_str(json.dumps(content))
    assert ours.encode(CORPUS[1]) == reference.encode(CORPUS[1]).ids


# ------------------------------------------------------------------ GGUF


@pytest.fixture(scope="module")
def metadata():
    try:
        path = store.smollm2_path()
    except (FileNotFoundError, ValueError) as reason:
        pytest.skip(str(reason))
    with GGUFFile(path) as file:
        return file.metadata


@pytest.fixture(scope="module")
def smollm(metadata):
    """Notre tokeniseur, et celui que `tokenizers` bâtit avec les mêmes réglages."""
    tokens, merges = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.merges"]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    reference = tokenizers.Tokenizer(models.BPE(vocabulary, [tuple(m.split(" ")) for m in merges]))
    reference.pre_tokenizer = PRE_TOKENIZERS["smollm"]
    reference.decoder = decoders.ByteLevel()
    types = metadata["tokenizer.ggml.token_type"]
    special = [t for t, kind in zip(tokens, types, strict=True) if kind == 3]
    reference.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    return tokenizer_from_gguf(metadata), reference


@settings(max_examples=300, deadline=None)
@given(text=any_text)
def test_smollm2_ids_equal_tokenizers(smollm, text):
    ours, reference = smollm
    expected = reference.encode(text, add_special_tokens=False).ids
    assert ours.encode(text) == expected
    ids, spans = ours.encode_with_spans(text)
    assert ids == expected and all(0 <= a < b <= len(text) for a, b in spans)
    if None not in {ours._byte_ids[byte] for byte in text.encode()}:
        assert ours.decode(expected) == text


@pytest.mark.parametrize(
    "text",
    [
        *CORPUS[:3],
        "L’animal n’a pas traversé la rue, car il était trop fatigué : 1 234 567 œufs !",
        "<|im_start|>user\nBonjour<|im_end|>\n<|endoftext|><|im_start",
        "for i in range(10):\n\tprint(f'{i:>3}')  # 10 lignes\n\n\n",
        "👩‍👩‍👧‍👦🏳️‍🌈 ½ ② ١٢٣ 한국어 日本語 العربية \u200b\xa0\u202f!",
    ],
)
def test_smollm2_sentences(smollm, text):
    ours, reference = smollm
    expected = reference.encode(text, add_special_tokens=False)
    assert ours.encode_with_spans(text) == (expected.ids, expected.offsets)


def test_a_published_vocabulary_may_ignore_bytes(smollm):
    """SmolLM2 n’a jamais rencontré vingt-et-un octets : ce qui en est fait disparaît en silence."""
    ours, reference = smollm
    assert sum(byte_id is None for byte_id in ours._byte_ids) == 21
    assert ours.encode("a\x04b") == ours.encode("a") + ours.encode("b")
    assert reference.encode("a\x04b").ids == ours.encode("a\x04b")


def test_smollm2_roles_and_description(smollm, metadata):
    ours, _ = smollm
    assert ours.tokens[ours.eos_id] == "<|im_end|>"
    assert ours.bos_id is None  # le fichier dit de ne pas l’ajouter
    assert ours.vocab_size == 49152 and len(ours.special_tokens) == 17
    assert ours.isolate_digits
    written = gguf_tokenizer_metadata(ours)
    expected = {key: value for key, value in metadata.items() if "token" in key} | {
        "tokenizer.ggml.add_eos_token": False
    }
    for key in ("chat_template", "ggml.add_space_prefix", "ggml.bos_token_id"):
        del expected[f"tokenizer.{key}"]
    assert written == expected


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(text=any_text)
def test_gguf_descriptions_equal_tokenizers(kind, text):
    """Un GGUF ne dit pas si un jeton ajouté est cherché en second : tous le sont d’emblée."""
    reference, _, known = described(kind)
    expected = reference.encode(text, add_special_tokens=False).ids
    assert tokenizer_from_gguf(known).encode(text) == expected


@functools.cache
def described(kind):
    """La référence, notre tokeniseur et la description que nous en donnons à un GGUF."""
    reference = published(kind, normalized=False)
    ours = BPETokenizer.from_json(json.loads(reference.to_str()))
    ours.assign_roles(bos="<|début|>", eos="<|im_end|>", pad="<|im_end|>")
    if kind == "default":
        reference.pre_tokenizer = isolated(*DEFAULT)
    return reference, ours, gguf_tokenizer_metadata(ours)


@pytest.mark.parametrize("kind", KINDS)
def test_gguf_description_round_trip(kind):
    reference, ours, known = described(kind)
    assert known["tokenizer.ggml.pre"] == kind
    tokens, types = (known[f"tokenizer.ggml.{key}"] for key in ("tokens", "token_type"))
    for token, kind_of_token in (("<|im_start|>", 3), ("<think>", 4), ("a", 1)):
        assert types[tokens.index(token)] == kind_of_token
    back = tokenizer_from_gguf(known)
    assert gguf_tokenizer_metadata(back) == known
    assert (back.split, back.ignore_merges) == (ours.split, ours.ignore_merges)
    assert back.token_to_id == ours.token_to_id == reference.get_vocab()
    end = ours.token_to_id["<|im_end|>"]
    assert (back.bos_id, back.eos_id, back.pad_id, back.unk_id) == (0, end, end, None)


STARTS = [  # sorte, ce que dit le fichier, début attendu
    ("gpt-2", None, None),
    ("llama-bpe", None, 0),
    ("gpt-2", True, 0),
    ("llama-bpe", False, None),
]


@pytest.mark.parametrize("kind, says, expected", STARTS)
def test_when_a_gguf_adds_a_start(kind, says, expected):
    known = described(kind)[2] | {"tokenizer.ggml.add_bos_token": says}
    del known["tokenizer.ggml.add_eos_token"]
    if says is None:
        del known["tokenizer.ggml.add_bos_token"]
    ours = tokenizer_from_gguf(known)
    before = [] if expected is None else [expected]
    assert (ours.bos_id, ours.frame) == (expected, (before, []))
    ended = tokenizer_from_gguf(known | {"tokenizer.ggml.add_eos_token": True})
    assert ended.encode_sentence("a") == [*ours.encode_sentence("a"), ours.eos_id]
    assert gguf_tokenizer_metadata(ended)["tokenizer.ggml.add_eos_token"] is True


def test_a_gguf_without_a_split_has_the_default_one():
    known = described("default")[2]
    del (other := dict(known))["tokenizer.ggml.pre"]
    assert tokenizer_from_gguf(other).split == LLAMA_CPP_DEFAULT


@pytest.mark.parametrize(
    "change, message",
    [
        ({"tokenizer.ggml.model": "t5"}, r"\('t5', découpage 'gpt-2'\).*Chargez plutôt le dossier"),
        ({"tokenizer.ggml.pre": "tekken"}, "découpage 'tekken'.*gpt-2, smollm, qwen2, llama-bpe"),
        ({"tokenizer.ggml.pre": ["gpt-2"]}, "découpage"),
        ({"tokenizer.ggml.tokens": [1, 2]}, "la liste « tokenizer.ggml.tokens »"),
        ({"tokenizer.ggml.token_type": [1]}, "et 1 types de jetons"),
        ({"tokenizer.ggml.merges": ["a b c"]}, "n’est pas faite de deux jetons"),
        ({"tokenizer.ggml.model": "llama"}, "la liste « tokenizer.ggml.scores »"),
        (
            {"tokenizer.ggml.model": "llama", "tokenizer.ggml.scores": [0.5]},
            "reçu 290 jetons et 1 scores",
        ),
    ],
)
def test_other_gguf_tokenizers_are_refused(change, message):
    known = gguf_tokenizer_metadata(BPETokenizer.train(CORPUS, 290))
    with pytest.raises(ValueError, match=message):
        tokenizer_from_gguf(known | change)


def test_what_does_not_go_into_a_gguf():
    with pytest.raises(ValueError, match="Un WordPieceTokenizer ne s’écrit pas dans un GGUF"):
        gguf_tokenizer_metadata(WordPieceTokenizer.train(CORPUS, 190))
    ours = BPETokenizer.train(CORPUS, 290)
    for split, whole in ((Split(("gpt2",), nfc=True), False), (ours.split, True)):
        other = BPETokenizer(ours.token_to_id, ours.merges, ours.special_tokens, split, whole)
        with pytest.raises(ValueError, match=r"llama\.cpp n’a pas de nom pour ce découpage"):
            gguf_tokenizer_metadata(other)


# ------------------------------------------------------------------ SentencePiece, par ses scores


def sentencepiece_metadata(**changes):
    """Un petit vocabulaire à la Llama 2 : octets, fusions au score décroissant, caractères."""
    bpe = tokenizers.Tokenizer(models.BPE())
    bpe.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    bpe.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=250, show_progress=False))
    learned = sorted(bpe.get_vocab(), key=bpe.get_vocab().get)
    merged = [token for token in learned if len(token) > 1]
    start = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens = [*start, *merged, *(token for token in learned if len(token) == 1), "[INST]"]
    scores = [0.0] * len(start) + [-float(rank) for rank in range(len(tokens) - len(start))]
    kinds = [2, 3, 3] + [6] * 256 + [1] * (len(learned)) + [4]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    } | changes


SPM = sentencepiece_metadata()
SPM_IDS = {token: i for i, token in enumerate(SPM["tokenizer.ggml.tokens"])}


def by_scores(text, scores):
    """Le meilleur score d’abord, puis le jeton le plus tôt appris, puis le plus à gauche."""
    pieces = list("▁" + text.replace(" ", "▁"))
    while True:
        found = [
            (scores[SPM_IDS[a + b]], -SPM_IDS[a + b], -i)
            for i, (a, b) in enumerate(itertools.pairwise(pieces))
            if a + b in SPM_IDS
        ]
        if not found:
            break
        place = -max(found)[2]
        pieces[place : place + 2] = [pieces[place] + pieces[place + 1]]
    ids = []
    for piece in pieces:
        unknown = [SPM_IDS[f"<0x{byte:02X}>"] for byte in piece.encode()]
        ids += [SPM_IDS[piece]] if piece in SPM_IDS else unknown
    return ids


WORDS = st.one_of(st.sampled_from(CORPUS[0].split(" ")), st.text(max_size=4))
SCORES = {
    "rangs": SPM["tokenizer.ggml.scores"],
    "égaux": [-1000.0] * len(SPM_IDS),  # ceux d’EuroLLM et de Lucie, convertis sans leur modèle
    "souvent égaux": [-float(i // 7) for i in range(len(SPM_IDS))],
}


@pytest.mark.parametrize("scores", SCORES.values(), ids=SCORES)
@settings(max_examples=100, deadline=None)
@given(text=st.lists(WORDS).map(" ".join))
def test_sentencepiece_follows_the_scores(scores, text):
    ours = scored(tuple(scores))
    if not text or any(token in text for token in ("<unk>", "<s>", "</s>", "[INST]")):
        return
    ids, spans = ours.encode_with_spans(text)
    assert ids == ours.encode(text) == by_scores(text, scores)
    assert all(0 <= a < b <= len(text) for a, b in spans)
    assert ours.decode(ids) == text.replace("▁", " ")  # SentencePiece les confond


@functools.cache
def scored(scores):
    return tokenizer_from_gguf(SPM | {"tokenizer.ggml.scores": list(scores)})


def reference_metadata(reference, scores=None):
    """Le GGUF d’un vrai modèle de SentencePiece : trois jetons, 256 octets, des rangs."""
    start = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    n_pieces = len(reference["jetons"])
    ranks = [0.0] * len(start) + [-float(rank) for rank in range(n_pieces)]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [*start, *reference["jetons"]],
        "tokenizer.ggml.scores": scores or ranks,
        "tokenizer.ggml.token_type": [2, 3, 3, *[6] * 256, *[1] * n_pieces],
    }


def test_sentencepiece_equals_the_real_one(tmp_path):
    """Des ids écrits par la bibliothèque `sentencepiece`, et relus après une sauvegarde."""
    path = Path(__file__).with_name("sentencepiece_reference.json")
    reference = json.loads(path.read_text("utf-8"))
    ours = tokenizer_from_gguf(reference_metadata(reference))
    ours.save(tmp_path / "tokenizer.json")
    again = SharedTokenizer.load(tmp_path / "tokenizer.json")
    for text, ids in reference["textes"].items():
        assert ours.encode(text) == ids == again.encode(text)
        assert ours.encode_with_spans(text) == again.encode_with_spans(text)
        assert ours.decode(ids) == text.replace("▁", " ")


def test_equal_scores_follow_the_order_learned(tmp_path):
    """Un GGUF sans scores découpe comme le vrai modèle, et s’enregistre ainsi."""
    path = Path(__file__).with_name("sentencepiece_reference.json")
    reference = json.loads(path.read_text("utf-8"))
    equal = [-1000.0] * (259 + len(reference["jetons"]))
    ours = tokenizer_from_gguf(reference_metadata(reference, equal))
    ours.save(tmp_path / "tokenizer.json")
    again = SharedTokenizer.load(tmp_path / "tokenizer.json")
    for text, ids in reference["textes"].items():
        assert ours.encode(text) == ids == again.encode(text)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"tokenizer.ggml.scores": [-0.5] * len(SPM_IDS)}, "a le score -0.5 .*« Unigram »"),
        ({"tokenizer.ggml.scores": [float("nan")] * len(SPM_IDS)}, "a le score nan"),
        ({"tokenizer.ggml.precompiled_charsmap": [1, 2]}, "récrit le texte avant de le découper"),
        ({"tokenizer.ggml.remove_extra_whitespaces": True}, "remove_extra_whitespaces"),
    ],
)
def test_other_sentencepieces_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        tokenizer_from_gguf(SPM | change)


def small_sentencepiece(kinds, *pieces, scores=None):
    """Un vocabulaire de quelques morceaux, sans octets."""
    tokens = ["<unk>", *pieces]
    scores = scores or [-float(i) for i in range(len(tokens))]
    return SentencePieceTokenizer(tokens, scores, [2, *kinds], 0)


def test_sentencepiece_without_bytes_and_with_unused_tokens():
    pieces = ("▁ab", "▁a", "ab", "a", "b", "▁")
    ours = small_sentencepiece([1] * 6, *pieces)
    assert ours.encode("ab?!ab") == [1, 0, 3]  # les inconnus qui se suivent ne font qu’un jeton
    assert ours.encode_with_spans("ab?!ab")[1] == [(0, 2), (2, 4), (4, 6)]
    # « ▁ab », inutilisé (sorte 5), se rouvre en ce dont il est fait.
    assert small_sentencepiece([5, 1, 1, 1, 1, 1], *pieces).encode("ab") == [2, 5]
    with pytest.raises(ValueError, match="ni jeton inconnu ni les 256 octets"):
        SentencePieceTokenizer(["a"], [0.0], [1], None)


def test_spaces_inside_the_tokens_of_sentencepiece():
    ours = small_sentencepiece([4, 1, 1, 1, 1], "▁▁", "a▁b", "a", "b", "▁")
    assert ours.encode("a b") == [5, 3, 5, 4]  # ▁ a ▁ b : rien ne mène à « a▁b »
    assert ours.encode("a  b") == [5, 3, 1, 5, 4]  # deux espaces, ou « ▁▁ » : le même jeton
    joined = small_sentencepiece([1] * 5, "▁b", "a▁b", "a", "b", "▁")
    assert joined.encode("a b") == [5, 2]


def test_sentencepiece_by_hand():
    ours = tokenizer_from_gguf(SPM)
    assert isinstance(ours, SentencePieceTokenizer)
    assert (ours.bos_id, ours.eos_id, ours.unk_id, ours.pad_id) == (1, 2, 0, None)
    assert ours.encode("<s>[INST]") == [1, SPM_IDS["[INST]"]]
    assert ours.special_tokens == ["<unk>", "<s>", "</s>"]
    assert ours.decode(ours.encode("<s>le chat"), skip_special_tokens=True) == "le chat"
    bare = tokenizer_from_gguf(SPM | {"tokenizer.ggml.add_space_prefix": False})
    assert bare.encode("chat") != ours.encode("chat") == bare.encode(" chat")
    assert bare.decode(bare.encode(" chat")) == " chat"


# ------------------------------------------------------------------ dossiers Hugging Face


def foreign(kind):
    """Des tokeniseurs que nos classes ne lisent pas : à la Llama 2, découpage inconnu, Unigram."""
    if kind == "unigram":
        return tokenizers.Tokenizer(models.Unigram([("<unk>", 0.0), ("le", -1.0), ("l", -2.0)], 0))
    if kind == "sentencepiece":
        return tokenizer_from_gguf(SPM).backend
    reference = published("gpt-2")
    reference.pre_tokenizer = isolated(r"\p{N}|\p{L}+|[^\p{L}\p{N}]+")
    return reference


@pytest.mark.parametrize("kind", ["unigram", "sentencepiece", "split"])
def test_foreign_tokenizers_are_shared(tmp_path, kind):
    reference = foreign(kind)
    reference.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(
        '{"eos_token": {"content": "le"}, "pad_token": "absent"}'
    )
    ours = tokenizer_from_folder(tmp_path)
    assert isinstance(ours, SharedTokenizer)
    for text in ("le elle le", "l’été 42"):
        expected = reference.encode(text, add_special_tokens=False)
        assert ours.encode(text) == expected.ids
        assert ours.encode_with_spans(text) == (expected.ids, expected.offsets)
        assert ours.decode(expected.ids) == reference.decode(expected.ids)
    ours.save(tmp_path / "copie.json")
    copy = tokenizers.Tokenizer.from_file(str(tmp_path / "copie.json"))
    assert copy.get_vocab() == ours.token_to_id
    assert ours.pad_id is None and (ours.eos_id is None or ours.tokens[ours.eos_id] == "le")
    with pytest.raises(ValueError, match=f"L’identifiant {ours.vocab_size} est hors"):
        ours.decode([ours.vocab_size])


def save(folder, kind="llama-bpe", **settings):
    published(kind).save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast"} | settings
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


@pytest.mark.parametrize("says", [None, True, False])  # sans effet, comme dans transformers
@pytest.mark.parametrize("kind, expected", [("llama-bpe", 0), ("gpt-2", None)])
@pytest.mark.parametrize("shared", [False, True])
def test_when_a_folder_adds_a_start(kind, says, expected, shared, tmp_path):
    options = {} if says is None else {"add_bos_token": says}
    start = {"__type": "AddedToken", "content": "<|début|>"}
    save(tmp_path, kind, bos_token=start, eos_token="<|im_end|>", **options)
    if shared:
        content = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))
        content["normalizer"] = {"type": "NFKC"}
        (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    tokenizer = tokenizer_from_folder(tmp_path)
    assert isinstance(tokenizer, SharedTokenizer) == shared
    assert tokenizer.bos_id == expected
    assert tokenizer.eos_id == tokenizer.token_to_id["<|im_end|>"] and tokenizer.pad_id is None
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer.encode_sentence("le chat") == theirs("le chat").input_ids
    assert tokenizer.encode("le chat") == theirs("le chat", add_special_tokens=False).input_ids
    tokenizer.save(tmp_path / "copie.json")
    copy = tokenizers.Tokenizer.from_file(str(tmp_path / "copie.json"))
    assert copy.encode("le chat").ids == theirs("le chat").input_ids


def test_roles_may_be_in_the_older_file(tmp_path):
    save(tmp_path, eos_token="<|im_start|>")
    (tmp_path / "special_tokens_map.json").write_text(
        '{"eos_token": "absent", "pad_token": {"content": "<|im_end|>"}}'
    )
    tokenizer = tokenizer_from_folder(tmp_path)
    assert tokenizer.tokens[tokenizer.pad_id] == "<|im_end|>"
    assert tokenizer.tokens[tokenizer.eos_id] == "<|im_start|>"


def test_our_own_start_comes_back(tmp_path):
    """Nos tokeniseurs nomment « <bos> » leur début, et nos modèles l’attendent."""
    BPETokenizer.train(CORPUS, 290).save(tmp_path / "tokenizer.json")
    (tmp_path / "tokenizer_config.json").write_text('{"bos_token": "<bos>"}')
    assert tokenizer_from_folder(tmp_path).bos_id == 1


def test_folders_without_a_readable_tokenizer(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"n’a pas de « tokenizer\.json »"):
        tokenizer_from_folder(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "Mystère"}}')
    with pytest.raises(ValueError, match="n’est pas le fichier d’un tokeniseur"):
        tokenizer_from_folder(tmp_path)
    save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"« tokenizer_config\.json » ne contient pas un objet"):
        tokenizer_from_folder(tmp_path)
