"""Gabarits de conversation : mêmes textes que `transformers`, rien ne sort du bac à sable."""

import json
from datetime import datetime

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import models
from transformers import PreTrainedTokenizerFast

from course_lib.pretrained import store
from course_lib.pretrained.chat import MAX_LENGTH, ChatTemplate
from course_lib.pretrained.gguf.reader import GGUFFile

MESSAGES = [
    {"role": "system", "content": "Sois bref. "},
    {"role": "user", "content": "Bonjour !"},
    {"role": "assistant", "content": "Bonjour. Que puis-je ?"},
    {"role": "user", "content": "Rien <b>&é"},
]
# Les trois écritures que l’on rencontre : simple ; à espaces ôtées ; à outils, dates et blocs.
TEMPLATES = {
    "simple": "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] | trim }}\n{% endfor %}",
    "serree": """{{ bos_token }}
    {%- for message in messages %}
        {%- if message.role == 'system' %}{% continue %}{% endif %}
        {{- message['role'] + ': ' + message['content'] + eos_token }}
    {%- endfor %}
    {%- if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}""",
    "riche": """{%- if tools is none and documents is none %}sans outil
{% endif %}
{%- set ns = namespace(n=0, seen='rien') %}
{%- set seen = 'rien' %}
    {% if not (date is defined) %}
Le {{ strftime_now('%d') }}
    {% endif %}
{%- for message in messages %}
    {%- set ns.n = ns.n + 1 %}
    {%- if message.role == 'assistant' %}
        {% generation %}
            {%- set seen = message.content %}
{{ message.content }}|
        {% endgeneration %}
    {%- else %}
{{ loop.index0 }} {{ message | tojson }}
    {%- endif %}
{%- endfor %}
{%- generation %}{% set kept = 1 %}{% endgeneration %}
{{ ns.n }} {{ seen }} {{ kept is defined }}
{{ {'b': [1, 'é'], 'a': none} | tojson(indent=2, sort_keys=true) }}
{%- if not add_generation_prompt %}{{ eos_token }}{% endif %}""",
}


@pytest.fixture(scope="module")
def metadata():
    try:
        path = store.smollm2_path()
    except (FileNotFoundError, ValueError) as reason:
        pytest.skip(str(reason))
    with GGUFFile(path) as file:
        return file.metadata


def by_transformers(source, messages, add_generation_prompt=True):
    backend = tokenizers.Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1}, "<s>"))
    reference = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>")
    return reference.apply_chat_template(
        messages,
        chat_template=source,
        tokenize=False,
        add_generation_prompt=add_generation_prompt,
    )


@pytest.mark.parametrize("opened", [True, False])
@pytest.mark.parametrize("name", TEMPLATES)
def test_conversations_equal_transformers(name, opened):
    source = TEMPLATES[name]
    text = ChatTemplate(source, "<s>", "</s>").render(MESSAGES, opened)
    assert text == by_transformers(source, MESSAGES, opened)
    assert text != ChatTemplate(source, "<s>", "</s>").render(MESSAGES[:2], opened)


conversations = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": st.text()}
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(messages=conversations, opened=st.booleans())
def test_smollm2_equals_transformers(metadata, messages, opened):
    template = ChatTemplate.from_gguf(metadata)
    expected = by_transformers(template.source, messages, opened)
    assert template.render(messages, opened) == expected


def test_smollm2_adds_a_system_message(metadata):
    template = ChatTemplate.from_gguf(metadata)
    text = template.render(MESSAGES[1:])
    assert text.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    assert text.endswith("Rien <b>&é<|im_end|>\n<|im_start|>assistant\n")
    assert template.render(MESSAGES).startswith("<|im_start|>system\nSois bref. <|im_end|>\n")
    assert (template.bos_token, template.eos_token) == ("<|im_start|>", "<|im_end|>")


def test_the_date_is_today():
    before = datetime.now().strftime("%Y-%m-%d")
    text = ChatTemplate("{{ strftime_now('%Y-%m-%d') }}").render(MESSAGES)
    assert text in (before, datetime.now().strftime("%Y-%m-%d"))  # il peut être minuit


def test_messages_stay_as_they_are():
    messages = [dict(message) for message in MESSAGES]
    with pytest.raises(ValueError, match="pas le droit"):
        ChatTemplate("{{ messages[0].update(role='user') }}").render(messages)
    assert messages == MESSAGES


# ------------------------------------------------------------------ où sont les gabarits


def test_templates_of_gguf_files():
    assert ChatTemplate.from_gguf({"tokenizer.ggml.tokens": ["a"]}) is None
    known = {
        "tokenizer.chat_template": "{{ bos_token }}|{{ eos_token }}",
        "tokenizer.ggml.tokens": ["<s>", "</s>"],
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 1,
    }
    assert ChatTemplate.from_gguf(known).render(MESSAGES) == "<s>|</s>"
    for wrong in (2, -1, "0", None):
        damaged = known | {"tokenizer.ggml.eos_token_id": wrong}
        assert ChatTemplate.from_gguf(damaged).render(MESSAGES) == "<s>|"


def test_templates_of_folders(tmp_path):
    assert ChatTemplate.from_folder(tmp_path) is None
    path = tmp_path / "tokenizer_config.json"

    def rendered(template):
        settings = {"chat_template": template, "eos_token": {"content": "</s>"}, "bos_token": None}
        path.write_text(json.dumps(settings), encoding="utf-8")
        return ChatTemplate.from_folder(tmp_path).render(MESSAGES)

    assert rendered("{{ bos_token }}{{ eos_token }}") == "</s>"
    named = [{"name": "tool_use", "template": "a"}, {"name": "default", "template": "b"}]
    assert rendered(named) == "b"
    path.write_text(json.dumps({"chat_template": named[:1]}))
    assert ChatTemplate.from_folder(tmp_path) is None
    (tmp_path / "chat_template.jinja").write_text("{{ messages | length }}é", encoding="utf-8")
    assert rendered("a") == "4é"


def test_unreadable_folders(tmp_path):
    path = tmp_path / "chat_template.jinja"
    path.write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"« chat_template\.jinja » n’est pas en UTF-8"):
        ChatTemplate.from_folder(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text("[1")
    with pytest.raises(ValueError, match=r"« tokenizer_config\.json » n’est pas un JSON"):
        ChatTemplate.from_folder(tmp_path)


# ------------------------------------------------------------------ ce qui est refusé


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages.__class__.__mro__ }}",
        "{{ messages[0]['content'].__class__ }}",
        "{{ '' | attr('__class__') }}",
        "{{ messages | map(attribute='__class__') | list }}",
        "{{ '{0.__class__}'.format(messages) }}",
        "{{ '{m.__class__}'.format_map({'m': messages}) }}",
        "{{ raise_exception.__globals__['Path'] }}",
        "{{ strftime_now.__code__ }}",
        "{{ lipsum.__globals__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ namespace.__init__ }}",
        "{{ self.__init__ }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].pop('role') }}",
    ],
)
def test_nothing_leaves_the_sandbox(source):
    with pytest.raises(ValueError, match="Le gabarit fait ce qu’il n’a pas le droit de faire"):
        ChatTemplate(source).render(MESSAGES)


@pytest.mark.parametrize(
    "source, message",
    [
        ("{% for %}", "est mal écrit"),
        ("{% generation %}", "est mal écrit"),
        ("{{ raise_exception('pas de système') }}", "refuse cette conversation : pas de système"),
        ("{{ 1 / 0 }}", "refuse cette conversation"),
        ("{{ inconnu.attribut }}", "refuse cette conversation : 'inconnu' is undefined"),
        ("{% include 'secret' %}", "refuse cette conversation"),
        ("{{ messages + 1 }}", "refuse cette conversation"),
        ("{% for i in range(10000000) %}a{% endfor %}", "refuse cette conversation : Range too"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "refuse cette conversation"),
        ("{{ 'a' * 2000000 }}", f"écrit plus de {MAX_LENGTH} caractères"),
        (
            "{% for i in range(99999) %}{% for j in range(99999) %}{{ 'abcdefgh' }}{% endfor %}"
            "{% endfor %}",
            f"écrit plus de {MAX_LENGTH} caractères",
        ),
    ],
)
def test_wrong_templates(source, message):
    with pytest.raises(ValueError, match=message):
        ChatTemplate(source).render(MESSAGES)


@pytest.mark.parametrize(
    "message",
    [
        {"role": "chef", "content": "a"},
        {"role": "user"},
        {"content": "a"},
        {"role": "user", "content": ["a"]},
        {"role": ["user"], "content": "a"},
        "bonjour",
    ],
)
def test_wrong_messages(message):
    with pytest.raises(ValueError, match=r"Le message n° 1 est .*« role » \(system, user"):
        ChatTemplate("a").render([MESSAGES[0], message])


@pytest.mark.parametrize("messages", ["bonjour", MESSAGES[0], None, 3])
def test_messages_come_in_a_list(messages):
    with pytest.raises(TypeError, match="Donnez une liste de messages ; reçu"):
        ChatTemplate("a").render(messages)
