"""Le modèle et son tokeniseur réunis : du texte entre, du texte sort."""

import math

import pytest
import torch

from course_lib.generation import SamplingConfig, TextGenerator, next_token_distribution
from course_lib.generation.stopping import WrittenText
from course_lib.tokenization import BPETokenizer, CharTokenizer
from course_lib.transformer import LlamaConfig, llama

TEXTS = ["Le chat dort sur le toit, l’été.", "Où est passé le chien ? Œuvre, naïf, ça."] * 3
SETTINGS = {"seed": 2, "sampling": SamplingConfig(temperature=1.5)}


def generator(tokenizer, extra: int = 0) -> TextGenerator:
    torch.manual_seed(1)
    config = LlamaConfig(tokenizer.vocab_size + extra, 61, d_model=18, n_layers=2, n_heads=3)
    return TextGenerator(llama(config).eval(), tokenizer)


@pytest.fixture(scope="module")
def bpe():
    return generator(BPETokenizer.train(TEXTS, 280))


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


def test_refusals(bpe):
    with pytest.raises(ValueError, match="prenez celui avec lequel"):
        TextGenerator(llama(LlamaConfig(20, 61, 18, 1, 3)), bpe.tokenizer)
    with pytest.raises(ValueError, match="n = 0"):
        bpe.next_tokens("Le", n=0)
