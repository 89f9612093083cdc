"""Le texte d’un jeton : lisible et honnête, quels que soient ses octets."""

import random

import pytest

from course_lib.widgets.token_text import token_texts, unfinished, visible

APOSTROPHE = "’".encode()


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([b"Il ", b"dort"], ["Il ", "dort"]),
        ([b"l", APOSTROPHE[:1], APOSTROPHE[1:]], ["l", "’(1/3)", "’(2–3/3)"]),
        ([b"a" + APOSTROPHE[:2], APOSTROPHE[2:] + b"b"], ["a’(1–2/3)", "’(3/3)b"]),
        ([b"a", b"\xe2"], ["a", "⟨E2⟩"]),
        ([b"\xe2\x80", b"z"], ["⟨E2 80⟩", "z"]),
        ([b"\xff", b"\xc3"], ["⟨FF⟩", "⟨C3⟩"]),
        (["é".encode()[:1], "é".encode()[1:]], ["é(1/2)", "é(2/2)"]),
        ([], []),
    ],
)
def test_a_cut_character_names_itself_and_its_bytes(tokens, expected):
    assert token_texts(tokens) == expected


def test_whole_characters_are_never_altered():
    draw = random.Random(3)
    for _ in range(200):
        words = ["".join(draw.choices("aé’🐾 \n日", k=draw.randrange(1, 5))) for _ in range(6)]
        assert token_texts([word.encode() for word in words]) == words


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", b""),
        (b"ab", b""),
        ("é".encode(), b""),
        (b"a\xc3", b"\xc3"),
        (b"l" + APOSTROPHE[:2], APOSTROPHE[:2]),
        ("🐾".encode()[:3], "🐾".encode()[:3]),
        (b"\x80\x80\x80\x80", b""),
    ],
)
def test_only_a_started_character_is_unfinished(content, expected):
    assert unfinished(content) == expected


def test_what_is_invisible_has_a_sign():
    assert visible("a b\u00a0c\n") == "a␣b⍽c⏎"


COMPARE = """async (all) => {
  const { tokenTexts, unfinished } = await import("/_static/widgets/token_text.js");
  return all.map((tokens) => [tokenTexts(tokens), unfinished(tokens.flat())]);
}"""


@pytest.mark.browser
def test_the_page_writes_tokens_as_python_does(open_widget):
    from course_lib.widgets import Choice, Question, Quiz

    right, wrong = Choice("1", "Oui.", correct=True), Choice("2", "Non.")
    page = open_widget(Quiz([Question("Un ?", [right, wrong])]))
    draw = random.Random(7)
    alphabet = [*"a’é🐾日 ".encode(), 0xFF, 0xC0, 0xE2, 0xF4, 0x80]
    samples = [
        [bytes(draw.choices(alphabet, k=draw.randrange(1, 4))) for _ in range(draw.randrange(9))]
        for _ in range(300)
    ]
    content = "a’é🐾日 l’été".encode()
    samples += [
        [content[:i], content[i:j], content[j:]] for i in range(1, 9) for j in range(i + 1, 20)
    ]
    found = page.evaluate(COMPARE, [[list(token) for token in tokens] for tokens in samples])
    for tokens, (texts, rest) in zip(samples, found, strict=True):
        assert texts == token_texts(tokens), tokens
        assert bytes(rest) == unfinished(b"".join(tokens)), tokens
