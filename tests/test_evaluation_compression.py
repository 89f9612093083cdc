"""Bits par octet : à la main, et contre la perte de PyTorch."""

import math

import pytest
import torch
import torch.nn.functional as F

from course_lib.evaluation.compression import Compression, compress, token_bits
from course_lib.tokenization import BPETokenizer, CharTokenizer
from course_lib.transformer import LlamaConfig, llama

TEXTS = ["l’été à la plage", "un chat"]


def test_by_hand():
    found = Compression(bits=24.0, n_bytes=12, n_words=3, n_tokens=6)
    assert (found.bits_per_byte, found.tokens_per_word, found.perplexity) == (2.0, 2.0, 16.0)


def test_equals_the_loss_of_torch():
    torch.manual_seed(0)
    tokenizer = BPETokenizer.train(TEXTS * 3, 280)
    model = llama(LlamaConfig(tokenizer.vocab_size, 41, 30, 2, 3)).eval()
    found = compress(model, tokenizer, TEXTS, tokenizer.bos_id)
    total = 0.0
    for text in TEXTS:
        ids = tokenizer.encode(text)
        logits = model(torch.tensor([[tokenizer.bos_id, *ids[:-1]]]))[0]
        total += F.cross_entropy(logits, torch.tensor(ids), reduction="sum").item()
    assert found.bits == pytest.approx(total / math.log(2), rel=1e-5)
    assert found.n_bytes == sum(len(text.encode()) for text in TEXTS) > sum(map(len, TEXTS))
    assert found.n_words == 6


def test_an_ignorant_model_needs_all_the_bits():
    tokenizer = CharTokenizer.train(["abcdefgh"])
    model = llama(LlamaConfig(tokenizer.vocab_size, 11, 6, 1, 1)).eval()
    torch.nn.init.zeros_(model.embedding.tokens.weight)  # tous les scores égaux
    bits = token_bits(model, tokenizer.encode("abc"), 0)
    assert bits.tolist() == pytest.approx([math.log2(tokenizer.vocab_size)] * 3)


def test_empty_texts_are_refused():
    tokenizer = CharTokenizer.train(["a"])
    model = llama(LlamaConfig(tokenizer.vocab_size, 11, 6, 1, 1))
    with pytest.raises(ValueError, match="Un des textes est vide"):
        compress(model, tokenizer, ["a", ""], 0)
