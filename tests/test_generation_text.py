"""Le modèle et son tokeniseur réunis : du texte entre, du texte sort."""

import math
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.generation import (
    SamplingConfig,
    TextGenerator,
    generate,
    next_token_distribution,
)
from course_lib.generation.stopping import WrittenText
from course_lib.generation.writer import Writer
from course_lib.tokenization import BPETokenizer, CharTokenizer, WordTokenizer
from course_lib.transformer import LlamaConfig, llama

TEXTS = ["Le chat dort sur le toit, l’été.", "Où est passé le chien ? Œuvre, naïf, ça."] * 3
SETTINGS = {"seed": 2, "sampling": SamplingConfig(temperature=1.5)}


def generator(tokenizer, extra: int = 0) -> TextGenerator:
    torch.manual_seed(1)
    config = LlamaConfig(tokenizer.vocab_size + extra, 61, d_model=18, n_layers=2, n_heads=3)
    return TextGenerator(llama(config).eval(), tokenizer)


class Pieces(CharTokenizer):
    """Un tokeniseur dont chaque jeton est un morceau quelconque de texte, collé au précédent."""

    def __init__(self, pieces: list[str]):
        super().__init__({piece: i for i, piece in enumerate(pieces)})


@pytest.fixture(scope="module")
def bpe():
    return generator(BPETokenizer.train(TEXTS, 280))


@pytest.mark.slow
def test_pieces_make_the_whole(bpe):
    for seed in range(6):  # un modèle non entraîné : beaucoup d’octets isolés, donc de �
        settings = {**SETTINGS, "seed": seed}
        whole = bpe.complete("Où l’été", 40, **settings)
        pieces = list(bpe.stream("Où l’été", 40, **settings))
        assert whole.startswith("Où l’été")
        assert "Où l’été" + "".join(pieces) == whole
        assert len(pieces) > 1


def test_a_character_waits_for_all_its_bytes(bpe):
    tokenizer = bpe.tokenizer
    ids = [tokenizer.token_to_id[t] for t in ("a", "Ã", "©", "b")]  # é s’écrit en deux octets
    written, pieces = WrittenText(tokenizer, [tokenizer.bos_id]), []
    for token_id in ids:
        written.add(token_id)
        pieces.append(written.piece())
    assert pieces == ["a", "", "é", "b"]


def test_texts_begin_with_bos_and_stop_at_eos(bpe):
    tokenizer = bpe.tokenizer
    assert bpe.encode("Le") == [tokenizer.bos_id, *tokenizer.encode("Le")]
    results = bpe.generate(["Le"] * 60, 50, **SETTINGS)
    stopped = [r for r in results if r.stopped_by == "stop_id"]
    assert stopped
    assert all(r.ids.index(tokenizer.eos_id) == len(r.ids) - 1 for r in stopped)
    assert "<" not in bpe.tokenizer.decode(stopped[0].ids, skip_special_tokens=True)


def test_next_tokens(bpe):
    probabilities = next_token_distribution(bpe.model, bpe.encode("Le chat"))
    pairs = bpe.next_tokens("Le chat", n=7)
    assert [p for _, p in pairs] == sorted(probabilities.tolist(), reverse=True)[:7]
    names = bpe.tokenizer.tokens
    assert all(probabilities[names.index(token)] == probability for token, probability in pairs)
    cold = bpe.next_tokens("Le chat", 2, SamplingConfig(temperature=0))
    assert cold == [(pairs[0][0], 1.0), (cold[1][0], 0.0)]


def test_log_prob_of_a_text(bpe):
    ids = bpe.encode("Le chien dort")
    expected = sum(
        math.log(next_token_distribution(bpe.model, ids[:i])[ids[i]]) for i in range(1, len(ids))
    )
    assert bpe.log_prob("Le chien dort") == pytest.approx(expected, abs=1e-4)
    end = math.log(next_token_distribution(bpe.model, ids)[bpe.tokenizer.eos_id])
    assert bpe.log_prob("Le chien dort", ended=True) == pytest.approx(expected + end, abs=1e-4)
    assert bpe.log_prob("") == 0.0


def test_without_special_tokens():
    plain = generator(CharTokenizer.train(TEXTS, special_tokens=()), extra=9)
    assert plain.tokenizer.bos_id is None
    whole = plain.complete("Le c", 30, **SETTINGS)
    assert whole == "Le c" + "".join(plain.stream("Le c", 30, **SETTINGS))
    with pytest.raises(ValueError, match="texte est vide"):
        plain.complete("")
    with pytest.raises(ValueError, match="pas de jeton <eos>"):
        plain.log_prob("Le", ended=True)


# ------------------------------------------------------------------ arrêts en texte


def scripted(generator: TextGenerator, monkeypatch, ids: list[int]) -> None:
    """Remplace le choix du jeton : le texte i écrit `ids` dans l’ordre, puis recommence."""
    written = iter(ids * 100)
    monkeypatch.setattr(
        Writer, "_choose", lambda self, logits: torch.tensor([next(written)] * len(logits))
    )


WORDS = "Un jour Manon partit. Fin"
CUTS = {
    "mot avec espace": ["Un", " jour", " Manon", " partit", ".", " Fin"],
    "mot en deux jetons": ["Un", " jour", " Man", "on", " partit", ".", " Fin"],
    "début au milieu d’un jeton": ["Un jo", "ur M", "anon pa", "rtit. F", "in"],
    "un caractère par jeton": list(WORDS),
}


@pytest.mark.parametrize("pieces", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize(
    "stops, expected",
    [
        (["Manon"], "Un jour "),
        ([" Manon"], "Un jour"),
        (["r M"], "Un jou"),
        (["."], "Un jour Manon partit"),
        ([".", "Manon"], "Un jour "),
        (["Manon partit", "on"], "Un jour Man"),  # celui qui finit le premier
        (["absent"], WORDS),
    ],
)
def test_a_text_stops_whatever_its_tokens(monkeypatch, pieces, stops, expected):
    tokens = dict.fromkeys(["Q", *pieces])
    tokenizer = Pieces(list(tokens))
    writer = generator(tokenizer)
    ids = [tokenizer.token_to_id[piece] for piece in pieces]
    scripted(writer, monkeypatch, ids)
    (result,) = writer.generate(["Q"], len(ids), stop_sequences=stops)
    assert result.text == expected
    assert result.stopped_by == ("max_new_tokens" if stops == ["absent"] else "stop_sequence")
    shown = tokenizer.decode(result.ids)
    assert shown.startswith(expected) and ids[: len(result.ids)] == result.ids
    if stops != ["absent"]:  # le dernier jeton écrit est celui qui achève l’arrêt
        assert any(stop in shown for stop in stops)
        assert not any(stop in tokenizer.decode(result.ids[:-1]) for stop in stops)
    scripted(writer, monkeypatch, ids)
    seen = list(writer.stream("Q", len(ids), stop_sequences=stops))
    assert "".join(seen) == expected
    scripted(writer, monkeypatch, ids)
    assert writer.complete("Q", len(ids), stop_sequences=stops) == "Q" + expected


@pytest.mark.slow
def test_stops_given_as_ids_or_special_tokens(bpe, monkeypatch):
    tokenizer = bpe.tokenizer
    ids = [*tokenizer.encode("Le chat dort"), tokenizer.eos_id, *tokenizer.encode(" sur le toit")]
    cases = (
        ({"stop_sequences": [tokenizer.encode(" dort")]}, "Le chat", "stop_sequence"),
        ({"stop_sequences": ["<eos>"], "stop_ids": ()}, "Le chat dort", "stop_sequence"),
        ({}, "Le chat dort", "stop_id"),
        ({"stop_ids": [tokenizer.bos_id, tokenizer.eos_id]}, "Le chat dort", "stop_id"),
        ({"stop_ids": ()}, "Le chat dort sur le toit", "max_new_tokens"),
        ({"stop_ids": (), "stop_sequences": ["dort sur"]}, "Le chat ", "stop_sequence"),
    )
    for settings, expected, reason in cases:
        scripted(bpe, monkeypatch, ids)
        (result,) = bpe.generate(["Où"], len(ids), **settings)
        assert (result.text, result.stopped_by) == (expected, reason)
        scripted(bpe, monkeypatch, ids)
        assert "".join(bpe.stream("Où", len(ids), **settings)) == expected
    scripted(bpe, monkeypatch, [tokenizer.eos_id])
    assert bpe.complete("Où", 5) == "Où"  # la fin d’abord
    scripted(bpe, monkeypatch, [tokenizer.eos_id])
    assert list(bpe.stream("Où", 5)) == []


@given(
    st.text("abc<>é", max_size=14), st.lists(st.text("abcé", min_size=1, max_size=4), max_size=3)
)
def test_what_is_shown_never_has_to_be_taken_back(text, stops):
    tokenizer = CharTokenizer.train(["abc<>é"])
    written, shown = WrittenText(tokenizer, [], stops), ""
    for token_id in tokenizer.encode(text):
        written.add(token_id)
        shown += written.piece()
        if written.stopped:
            break
    written.finish()
    shown += written.piece()
    ends = [i for i in range(len(text) + 1) if any(text[:i].endswith(stop) for stop in stops)]
    expected = text
    if ends:
        longest = max(len(stop) for stop in stops if text[: ends[0]].endswith(stop))
        expected = text[: ends[0] - longest]
    assert shown == written.text == expected
    assert written.stopped


# ------------------------------------------------------------------ ce qu’on rend


@pytest.mark.filterwarnings("ignore:Hors du vocabulaire")
def test_the_beginning_is_returned_as_it_was_given():
    words = generator(WordTokenizer.train(TEXTS))
    for text in ("Le  chat\n dort", "Le chat ", "Le « zèbre » <eos> dort", "<bos>"):
        whole = words.complete(text, 6, seed=1)
        assert whole.startswith(text)
        assert text + "".join(words.stream(text, 6, seed=1)) == whole
        assert "  " not in whole.removeprefix(text[:5])[-20:]


def test_a_start_that_was_not_learned_is_not_given():
    writer = generator(CharTokenizer.train(TEXTS))
    bos_id = writer.tokenizer.bos_id
    assert writer.encode("Le") == [bos_id, *writer.tokenizer.encode("Le")]
    writer.tokenizer.declare_no_start()
    assert writer.encode("Le") == writer.tokenizer.encode("Le")
    with pytest.raises(ValueError, match="texte est vide et le modèle n’a pas appris"):
        writer.encode("")
    writer.tokenizer.set_frame([bos_id, bos_id], [])
    assert writer.encode("Le")[:2] == [bos_id, bos_id]


@pytest.mark.slow
def test_more_tokens_than_the_context_come(bpe):
    (result,) = bpe.generate(["Le"], 150, stop_ids=(), seed=4)
    assert (len(result.ids), result.stopped_by) == (150, "max_new_tokens")
    kept = generate(bpe.model, [bpe.encode("Le")], 150, seed=4, n_kept=1)
    assert kept[0].ids == result.ids  # la fenêtre garde <bos>
    (short,) = bpe.generate(["Le"], 150, stop_ids=(), seed=4, when_full="stop")
    assert short.stopped_by == "context" and short.ids == result.ids[: len(short.ids)]


@pytest.mark.parametrize(
    "settings, error, message",
    [
        ({"stop_sequences": "."}, TypeError, "mettez-le entre crochets"),
        ({"stop_sequences": [""]}, ValueError, "texte vide"),
        ({"stop_sequences": [[]]}, ValueError, "suite vide"),
        ({"stop_sequences": [None]}, TypeError, "None n’est pas une suite d’ids"),
        ({"stop_sequences": ["\ud800"]}, ValueError, "demi-codet"),
        ({"stop_sequences": ["\n<eos>"]}, ValueError, "contient le jeton spécial « <eos> »"),
        ({"stop_ids": None}, TypeError, "stop_ids = None"),
        ({"temperature": 0.5}, TypeError, r"sampling=SamplingConfig\(temperature=…\)"),
        ({"generator": None}, TypeError, "Réglage inconnu : generator. Les réglages sont : sampl"),
        ({"sampling": "froid"}, TypeError, "il faut un SamplingConfig"),
    ],
)
def test_impossible_settings_are_refused_at_once(bpe, settings, error, message):
    for write in (bpe.complete, bpe.stream):
        with pytest.raises(error, match=message):
            write("Le", 5, **settings)


def test_refusals(bpe):
    with pytest.raises(ValueError, match="prenez celui avec lequel"):
        TextGenerator(llama(LlamaConfig(20, 61, 18, 1, 3)), bpe.tokenizer)
    with pytest.raises(ValueError, match="n = 0"):
        bpe.next_tokens("Le", n=0)
    with pytest.raises(TypeError, match="une seule chaîne"):
        bpe.generate("Le", 5)
    with pytest.raises(TypeError, match="donnez d’abord le modèle"):
        TextGenerator(bpe.model, None)
    with pytest.raises(TypeError, match="il faut un décodeur"):
        TextGenerator(bpe.tokenizer, bpe.model)
    with pytest.raises(ValueError, match="demi-codet"):
        bpe.complete("\ud800")


def test_a_sign_out_of_the_vocabulary_is_told():
    tokenizer = CharTokenizer.train(["le chat dort"])
    model = llama(LlamaConfig(tokenizer.vocab_size, 31, 12, 1, 2)).eval()
    writer = TextGenerator(model, tokenizer)
    with pytest.warns(UserWarning, match="Hors du vocabulaire : « ½ », « W ». Le modèle lit <unk>"):
        writer.complete("le ½W½", 3)
    writer.complete("le <unk>", 3)  # écrit exprès : rien à dire


def test_a_beginning_longer_than_the_context_is_refused_in_characters():
    tokenizer = CharTokenizer.train(["le chat dort"])
    model = llama(LlamaConfig(tokenizer.vocab_size, 31, 12, 1, 2)).eval()
    text = "le chat dort" * 5
    with pytest.raises(ValueError, match=r"60 caractères, soit \d+ jetons.* tient 31") as refusal:
        TextGenerator(model, tokenizer).complete(text, 3)
    kept = int(re.search(r"text\[-(\d+):\]", str(refusal.value))[1])
    TextGenerator(model, tokenizer).complete(text[-kept:], 3)  # le remède marche
