"""Jetons spéciaux et réglages d’un dossier : réunis comme transformers, ou refusés."""

import itertools
import json
import random

import pytest
import transformers
from fuzzing import surprises
from fuzzing_tokenizers import run, seeds

from course_lib.pretrained.chat import ChatTemplate
from course_lib.pretrained.folders.special_tokens import end_of_turn_ids
from course_lib.pretrained.folders.tokenizers import tokenizer_from_folder
from course_lib.tokenization import BPETokenizer, WordPieceTokenizer, load_tokenizer
from course_lib.tokenization.shared import SharedTokenizer

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"
    "{{ pad_token }}{{ unk_token }}{{ cls_token }}"
)
MESSAGES = [{"role": "user", "content": "le chat"}]
OURS = BPETokenizer.train(["le chat dort"], 300, special_tokens=("<s>", "</s>", "<fin>", "<p>"))


def write(folder, **files):
    for name, content in files.items():
        if content is not None:
            (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


# Chaque fichier, avec ce qu’il peut dire : rien, un texte, un objet, le contraire d’un autre.
MAPS = [None, {}, {"bos_token": "<s>", "pad_token": {"content": "<p>"}}, {"eos_token": "<fin>"}]
CONFIGS = [
    {},
    {"eos_token": "</s>", "chat_template": TEMPLATE},
    {"bos_token": {"__type": "AddedToken", "content": "<s>"}, "extra_special_tokens": ["<p>"]},
    {"eos_token": "</s>", "cls_token": "c", "added_tokens_decoder": {"2": {"content": "<fin>"}}},
    {"unk_token": "<p>", "added_tokens_decoder": {}},
]
OLDER = [None, {"<plus>": OURS.vocab_size}, {"<s>": 0}]


@pytest.mark.parametrize("declared", [True, False], ids=["déclarés", "simples mots"])
def test_every_combination_of_files_equals_transformers(declared, tmp_path):
    content = OURS.to_json()
    if not declared:  # connus du vocabulaire, mais non comme des jetons spéciaux
        content["added_tokens"] = content["added_tokens"][:1]
    for n, (older_map, config, older) in enumerate(itertools.product(MAPS, CONFIGS, OLDER)):
        folder = tmp_path / str(n)
        folder.mkdir()
        config = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": TEMPLATE} | config
        write(
            folder,
            tokenizer=content,
            special_tokens_map=older_map,
            tokenizer_config=config,
            added_tokens=older,
        )
        theirs = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
        ours = tokenizer_from_folder(folder)
        case = (older_map, config, older)
        text = "<s>le <plus> chat</s> <fin><p>"
        assert ours.encode(text) == theirs(text, add_special_tokens=False).input_ids, case
        ids = ours.encode(text)
        expected = theirs.decode(ids, skip_special_tokens=True)
        assert ours.decode(ids, skip_special_tokens=True) == expected, case
        for role in ("eos", "pad", "unk"):
            assert getattr(ours, f"{role}_id") == getattr(theirs, f"{role}_token_id"), case
        rendered = theirs.apply_chat_template(MESSAGES, tokenize=False)
        assert ChatTemplate.from_folder(folder).render(MESSAGES) == rendered, case


def test_an_added_token_at_another_place_is_refused(tmp_path):
    decoder = {"999": {"content": "<plus>"}}
    write(tmp_path, tokenizer=OURS.to_json(), tokenizer_config={"added_tokens_decoder": decoder})
    with pytest.raises(ValueError, match=r"« <plus> » a l’identifiant 999 .*place suivante est"):
        tokenizer_from_folder(tmp_path)


@pytest.mark.parametrize(
    "config, message",
    [
        ({"bos_token": 3}, "bos_token = 3 .*il faut un texte"),
        ({"eos_token": {"texte": "a"}}, "il faut un texte, ou un objet"),
        ({"added_tokens_decoder": {"1": {}}}, "« added_tokens_decoder » doit associer"),
        ({"extra_special_tokens": "a"}, "extra_special_tokens = 'a'"),
        ({"do_lower_case": "oui"}, "do_lower_case = 'oui' ; il faut true, false ou null"),
        ({"split_special_tokens": True}, "split_special_tokens = true"),
        ({"do_lower_case": True}, r"dit do_lower_case = true, et « tokenizer\.json » fait .*false"),
        ({"strip_accents": True}, "dit strip_accents = true"),
        ({"add_prefix_space": True}, "dit add_prefix_space = true"),
        ({"tokenize_chinese_chars": True}, "dit tokenize_chinese_chars = true"),
    ],
)
def test_settings_that_contradict_are_refused(config, message, tmp_path):
    write(tmp_path, tokenizer=OURS.to_json(), tokenizer_config=config)
    with pytest.raises(ValueError, match=message):
        tokenizer_from_folder(tmp_path)


TEXT = "Le Chat a ÉTÉ là, 中文 !"


@pytest.mark.parametrize(
    "kind, settings",
    [
        ("BertTokenizer", {"do_lower_case": False}),
        ("BertTokenizerFast", {"do_lower_case": True, "strip_accents": False}),
        ("BertTokenizer", {"do_lower_case": True, "tokenize_chinese_chars": False}),
        ("GPT2Tokenizer", {"add_prefix_space": True}),
        ("GPT2TokenizerFast", {"add_prefix_space": False}),
    ],
)
def test_settings_are_obeyed_as_transformers_does(kind, settings, tmp_path):
    ours = WordPieceTokenizer.train([TEXT, TEXT], 90) if "Bert" in kind else OURS
    named = {} if "Bert" in kind else {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<p>"}
    write(tmp_path, tokenizer=ours.to_json())
    write(tmp_path, tokenizer_config={"tokenizer_class": kind, **named, **settings})
    theirs = getattr(transformers, kind).from_pretrained(tmp_path)
    found = tokenizer_from_folder(tmp_path)
    assert found.encode(TEXT) == theirs(TEXT, add_special_tokens=False).input_ids


def test_old_files_do_not_say_their_kind(tmp_path):
    for kind, content in seeds().items():
        path = tmp_path / "tokenizer.json"
        write(tmp_path, tokenizer=content)
        expected = tokenizer_from_folder(tmp_path)
        del content["model"]["type"]
        write(tmp_path, tokenizer=content)
        found = tokenizer_from_folder(tmp_path)
        assert type(found) is type(expected), kind
        assert (
            found.encode(TEXT) == SharedTokenizer.load(path).encode(TEXT) == expected.encode(TEXT)
        )
        assert kind == "Unigram" or type(load_tokenizer(path)) is type(expected)


def test_tokens_that_end_a_turn():
    special = ("<s>", "</s>", "<|im_end|>", "<end_of_turn>")
    tokenizer = BPETokenizer.train(["a"], 300, special_tokens=special)
    template = "<s>{{ messages[0].content }}<|im_end|>"
    assert end_of_turn_ids(tokenizer, template) == [2]
    assert end_of_turn_ids(tokenizer, template + "<end_of_turn><|eot_id|>") == [2, 3]
    assert end_of_turn_ids(tokenizer, None) == []


def test_damaged_tokenizers_are_read_right_or_refused(tmp_path):
    """`python tests/fuzzing_tokenizers.py` en essaie vingt mille par lecteur."""
    outcomes = run(40, tmp_path, seed=random.Random(0).randrange(100))
    assert not any(surprises(counts) for counts in outcomes.values()), outcomes


@pytest.mark.parametrize("prefix, merge", [("a", ["Ã", "©"]), ("##", "l e"), ("é", ["l", "éa"])])
def test_a_merge_shorter_than_its_prefix_is_refused(prefix, merge):
    """La bibliothèque la couperait à l’aveugle, et Python s’arrêterait net."""
    model = {"type": "BPE", "continuing_subword_prefix": prefix, "merges": [merge], "vocab": {}}
    with pytest.raises(ValueError, match=f"prefix = '{prefix}', et la fusion .* finit par"):
        SharedTokenizer.from_json({"model": model})
