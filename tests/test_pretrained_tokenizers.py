"""Tokeniseurs publiés : mêmes ids que `tokenizers`, mêmes conversations que `transformers`."""

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers

from course_lib.pretrained import store
from course_lib.pretrained.chat import ChatTemplate
from course_lib.pretrained.gguf_reader import GGUFFile
from course_lib.pretrained.tokenizers import (
    SharedTokenizer,
    gguf_tokenizer_metadata,
    tokenizer_from_folder,
    tokenizer_from_gguf,
)
from course_lib.tokenization import BPETokenizer, WordPieceTokenizer

CORPUS = ["Le chat dort sur le lit 42 fois.", "L’été, Zoé chante : « la la la » !"] * 3
PIECES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            "<|im_start|>user\n",
            "<|im_end|>",
            "L’animal n’a pas",
            " 1 024,5",
            "\n\n  \t",
            "🎈👩‍🚀",
            "def f(x):",
        ]
    ),
)
any_text = st.lists(PIECES, max_size=6).map("".join)


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
    reference.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(False)]
    )
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


def test_a_published_vocabulary_may_ignore_bytes(smollm):
    """SmolLM2 n’a jamais rencontré vingt-et-un octets : ce qui en est fait disparaît en silence."""
    ours, reference = smollm
    assert sum(byte_id is None for byte_id in ours._byte_ids) == 21
    assert ours.encode("a\x04b") == ours.encode("a") + ours.encode("b")
    assert reference.encode("a\x04b").ids == ours.encode("a\x04b")


def test_smollm2_roles(smollm):
    ours, _ = smollm
    assert ours.tokens[ours.eos_id] == "<|im_end|>"
    assert ours.bos_id is None  # le fichier dit de ne pas l’ajouter
    assert ours.vocab_size == 49152 and len(ours.special_tokens) == 17


@pytest.mark.parametrize("isolate_digits", [False, True])
def test_gguf_description_round_trip(isolate_digits):
    ours = BPETokenizer.train(CORPUS, 300, isolate_digits=isolate_digits)
    back = tokenizer_from_gguf(gguf_tokenizer_metadata(ours))
    assert back.to_json() == ours.to_json()
    assert (back.bos_id, back.eos_id, back.pad_id) == (ours.bos_id, ours.eos_id, ours.pad_id)


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"tokenizer.ggml.model": "llama"},
            "'llama', découpage 'gpt-2'.*Chargez plutôt le dossier",
        ),
        ({"tokenizer.ggml.pre": "qwen2"}, "découpage 'qwen2'"),
        ({"tokenizer.ggml.tokens": [1, 2]}, "la liste « tokenizer.ggml.tokens »"),
        ({"tokenizer.ggml.token_type": [1]}, "et 1 types de jetons"),
        ({"tokenizer.ggml.merges": ["a b c"]}, "n’est pas faite de deux jetons"),
    ],
)
def test_other_gguf_tokenizers_are_refused(change, message):
    known = gguf_tokenizer_metadata(BPETokenizer.train(CORPUS, 290))
    with pytest.raises(ValueError, match=message):
        tokenizer_from_gguf(known | change)


def test_only_bpe_goes_into_a_gguf():
    with pytest.raises(ValueError, match="Un WordPieceTokenizer ne s’écrit pas dans un GGUF"):
        gguf_tokenizer_metadata(WordPieceTokenizer.train(CORPUS, 90))


def foreign(kind):
    """Des tokeniseurs que nos classes ne lisent pas : à la Llama 2, à la Qwen2, Unigram."""
    if kind == "unigram":
        return tokenizers.Tokenizer(models.Unigram([("<unk>", 0.0), ("le", -1.0), ("l", -2.0)], 0))
    if kind == "sentencepiece":
        symbols = [
            "<unk>",
            "<s>",
            "</s>",
            *(f"<0x{b:02X}>" for b in range(256)),
            "▁",
            "l",
            "e",
            "le",
            "▁le",
        ]
        vocabulary = {token: i for i, token in enumerate(symbols)}
        bpe = models.BPE(
            vocabulary, [("l", "e"), ("▁", "le")], unk_token="<unk>", byte_fallback=True
        )
        reference = tokenizers.Tokenizer(bpe)
        reference.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
        reference.decoder = decoders.Sequence(
            [
                decoders.Replace("▁", " "),
                decoders.ByteFallback(),
                decoders.Fuse(),
                decoders.Strip(" ", 1, 0),
            ]
        )
        return reference
    ours = BPETokenizer.train(CORPUS, 290)
    reference = tokenizers.Tokenizer(models.BPE(ours.token_to_id, ours.merges))
    reference.normalizer = normalizers.NFC()
    reference.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(r"\p{N}|\p{L}+|[^\p{L}\p{N}]+"), "isolated"),
            pre_tokenizers.ByteLevel(False, use_regex=False),
        ]
    )
    reference.decoder = decoders.ByteLevel()
    return reference


@pytest.mark.parametrize("kind", ["unigram", "sentencepiece", "qwen"])
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
    assert (
        tokenizers.Tokenizer.from_file(str(tmp_path / "copie.json")).get_vocab() == ours.token_to_id
    )
    if kind == "sentencepiece":
        assert ours.tokens[ours.eos_id] == "le" and ours.pad_id is None


def test_folders_without_a_readable_tokenizer(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"n’a pas de « tokenizer\.json »"):
        tokenizer_from_folder(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "Mystère"}}')
    with pytest.raises(ValueError, match="n’est pas le fichier d’un tokeniseur"):
        tokenizer_from_folder(tmp_path)


# ------------------------------------------------------------------ conversations

MESSAGES = [
    {"role": "user", "content": "Bonjour !"},
    {"role": "assistant", "content": "Bonjour. Que puis-je ?"},
    {"role": "user", "content": "Rien <b>"},
]
TEMPLATES = [
    "{% for m in messages %}[{{ m['role'] }}] {{ m.content | trim }}\n{% endfor %}",
    """{{ bos_token }}
    {%- for message in messages %}
        {%- if message.role == 'system' %}{% continue %}{% endif %}
        {{- message['role'] + ': ' + message['content'] + eos_token }}
    {%- endfor %}
    {%- if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}""",
]


def by_transformers(source, messages, add_generation_prompt):
    from transformers import PreTrainedTokenizerFast

    backend = tokenizers.Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1}, "<s>"))
    reference = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>")
    return reference.apply_chat_template(
        messages,
        chat_template=source,
        tokenize=False,
        add_generation_prompt=add_generation_prompt,
    )


@pytest.mark.parametrize("opened", [True, False])
@pytest.mark.parametrize("source", TEMPLATES)
def test_conversations_equal_transformers(source, opened):
    ours = ChatTemplate(source, "<s>", "</s>").render(MESSAGES, opened)
    assert ours == by_transformers(source, MESSAGES, opened)


def test_smollm2_conversation(metadata):
    template = ChatTemplate.from_gguf(metadata)
    text = template.render(MESSAGES)
    assert text == by_transformers(template.source, MESSAGES, True)
    assert text.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    assert text.endswith("Rien <b><|im_end|>\n<|im_start|>assistant\n")
    assert (template.bos_token, template.eos_token) == ("<|im_start|>", "<|im_end|>")


def test_templates_of_folders(tmp_path):
    assert ChatTemplate.from_folder(tmp_path) is None
    (tmp_path / "tokenizer_config.json").write_text(
        '{"chat_template": "{{ eos_token }}", "eos_token": {"content": "</s>"}}'
    )
    assert ChatTemplate.from_folder(tmp_path).render(MESSAGES) == "</s>"
    (tmp_path / "chat_template.jinja").write_text("{{ messages | length }}")
    assert ChatTemplate.from_folder(tmp_path).render(MESSAGES) == "3"
    (tmp_path / "tokenizer_config.json").write_text("[1")
    with pytest.raises(ValueError, match=r"« tokenizer_config\.json » n’est pas un JSON"):
        ChatTemplate.from_folder(tmp_path)


@pytest.mark.parametrize(
    "source, message",
    [
        ("{{ messages.__class__.__mro__ }}", "pas le droit"),
        ("{{ raise_exception.__globals__['Path'] }}", "pas le droit"),
        ("{{ messages.append(1) }}", "pas le droit"),
        ("{% for %}", "mal écrit"),
        ("{{ raise_exception('pas de système') }}", "refuse cette conversation : pas de système"),
        ("{{ 1 / 0 }}", "refuse cette conversation"),
        ("{{ 'a' * 2000000 }}", "écrit 2000000 caractères"),
    ],
)
def test_hostile_or_wrong_templates(source, message):
    with pytest.raises(ValueError, match=message):
        ChatTemplate(source).render(MESSAGES)


@pytest.mark.parametrize("message", [{"role": "chef", "content": "a"}, {"role": "user"}, "bonjour"])
def test_wrong_messages(message):
    with pytest.raises(ValueError, match=r"Le message n° 1 est .*« role » \(system, user"):
        ChatTemplate("a").render([MESSAGES[0], message])
