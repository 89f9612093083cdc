"""Décodage au fil de l’eau : les morceaux, mis bout à bout, font le texte décodé d’un coup."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, decoders, models
from tokenizers import Tokenizer as Backend

from course_lib.tokenization import (
    BPETokenizer,
    CharTokenizer,
    WordPieceTokenizer,
    WordTokenizer,
)
from course_lib.tokenization.shared import SharedTokenizer
from course_lib.tokenization.streaming import IncrementalDecoder

CORPUS = [
    "L’animal n'a pas traversé la rue, car il était trop fatigué. Aujourd'hui, 1 234 œufs !",
    "« Le renard (rusé) a caché la clé d'or » ; l'ours do not 👩‍🚀 e\u0301té\tfin\n\n  là-bas…",
]
# De quoi piéger chaque décodeur : espaces, octets, suites, fins de mot, jetons vides de texte.
TOKENS = [
    *("<unk>", "▁", "▁▁", "▁▁▁", "▁le", "a", "é", "��", "##s", "##", " ##b", "fin</w>", "n't"),
    *("▁do", " .", "'", "Ġle", "Ã", "©", "ĠÃ©", "ð", "Ł", "İ", "ī", "ÿ", "�", "日", "▁x▁", " "),
    *(f"<0x{byte:02X}>" for byte in (0x41, 0xC3, 0xA9, 0xE2, 0x82, 0xAC, 0xF0, 0x9F, 0x8E, 0x89)),
]
LLAMA = [
    decoders.Replace("▁", " "),
    decoders.ByteFallback(),
    decoders.Fuse(),
    decoders.Strip(" ", 1, 0),
]
DECODERS = {
    "aucun": None,
    "octets": decoders.ByteLevel(),
    "llama": decoders.Sequence(LLAMA),
    "llama_sans_espace": decoders.Sequence(LLAMA[:3]),
    "metaspace": decoders.Metaspace(),
    "metaspace_toujours": decoders.Metaspace(prepend_scheme="never"),
    "wordpiece": decoders.WordPiece(cleanup=True),
    "fin_de_mot": decoders.BPEDecoder(suffix="</w>"),
    "ctc": decoders.CTC(pad_token="a"),
    "bords": decoders.Sequence([*LLAMA[:3], decoders.Strip(" ", 3, 0)]),
    "repris": decoders.Sequence([*LLAMA[:3], decoders.Replace(Regex(" +"), " ")]),
    "deux_signes": decoders.Sequence([*LLAMA[:3], decoders.Replace("le", "LE")]),
}


def shared(decoder):
    backend = Backend(models.WordLevel({token: i for i, token in enumerate(TOKENS)}, "<unk>"))
    backend.decoder = decoder
    backend.add_special_tokens([AddedToken("<unk>", special=True), AddedToken("<fin é>")])
    return SharedTokenizer(backend)


TOKENIZERS = {
    "mots": WordTokenizer.train([*CORPUS, "l ' ’ ( - a ."]),
    "mots_espaces": WordTokenizer.train(CORPUS, split="whitespace"),
    "caracteres": CharTokenizer.train(CORPUS),
    "bpe": BPETokenizer.train(CORPUS, 300),
    "wordpiece": WordPieceTokenizer.train(CORPUS, 120, uncased=False),
    **{f"commun_{name}": shared(decoder) for name, decoder in DECODERS.items()},
}


def pieces(tokenizer, ids, skip=False):
    decoder = IncrementalDecoder(tokenizer, skip)
    return [*map(decoder.feed, ids), decoder.finish()]


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_pieces_make_the_text(name, data):
    tokenizer = TOKENIZERS[name]
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=25))
    for skip in (False, True):
        assert "".join(pieces(tokenizer, ids, skip)) == tokenizer.decode(ids, skip)


def test_a_character_waits_for_its_last_byte():
    bpe = BPETokenizer.train(["abc"], 260)
    assert pieces(bpe, bpe.encode("a€b")) == ["a", "", "", "€", "b", ""]
    assert pieces(bpe, bpe.encode("€")[:2]) == ["", "", "�"]
    llama = TOKENIZERS["commun_llama"]
    ids = [llama.token_to_id[token] for token in ("▁le", "<0xC3>", "<0xA9>", "▁", "a")]
    assert pieces(llama, ids) == ["le", "", "", "é ", "a", ""]


def test_what_is_shown_does_not_wait_for_the_end():
    for name in ("commun_llama", "commun_metaspace", "commun_wordpiece", "commun_octets"):
        tokenizer = TOKENIZERS[name]
        shown = pieces(tokenizer, [tokenizer.token_to_id["a"]] * 4)
        assert all(shown[:-1]) and not shown[-1]


def test_refusals():
    decoder = IncrementalDecoder(TOKENIZERS["bpe"])
    with pytest.raises(ValueError, match="L’identifiant 300 est hors du vocabulaire"):
        decoder.feed(300)
    with pytest.raises(TypeError, match="Un identifiant de jeton est un entier"):
        decoder.feed("a")
    assert (decoder.finish(), decoder.finish()) == ("", "")
    with pytest.raises(ValueError, match="Ce décodeur est fini"):
        decoder.feed(5)


def test_a_large_vocabulary_is_decoded_as_it_comes():
    """Le coût d’un jeton est mesuré par `benchmarks/tokenization.py`."""
    vocabulary = {f"m{i}": i for i in range(131_072)}
    backend = Backend(models.WordLevel(vocabulary, unk_token="m0"))
    for decoder in ("llama", "octets", "metaspace"):
        backend.decoder = DECODERS[decoder]
        tokenizer = SharedTokenizer(backend)
        ids = range(1000)
        assert "".join(pieces(tokenizer, ids)) == tokenizer.decode(ids)
