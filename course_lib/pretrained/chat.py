"""Le gabarit de conversation : des messages à un seul texte, celui que le modèle a appris à suivre.

Un modèle de langue ne connaît que des textes. Pour converser, il a été affiné sur des dialogues
écrits d’une certaine façon, par exemple « <|im_start|>user … <|im_end|> ». Le gabarit, en Jinja,
livré avec le modèle, écrit les messages ainsi. Venu d’ailleurs, il s’exécute dans un bac à sable :
il ne peut ni lire un fichier, ni atteindre Python. Le temps et la mémoire qu’il prend, eux, ne sont
pas bornés.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from jinja2 import TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from course_lib.pretrained.fields import read_settings
from course_lib.pretrained.folders.special_tokens import (
    STANDARD,
    named_tokens,
    tokenizer_settings,
)
from course_lib.tokenization.files import text_fault

CHAT_ROLES = ("system", "user", "assistant", "tool")
_GGUF_ROLES = dict(
    zip(STANDARD[2:], ("unknown", "seperator", "padding", "cls", "mask"), strict=True)
)
MAX_LENGTH = 1 << 20  # un gabarit hostile pourrait écrire sans fin
_FAILURES = (  # ce que peut lever un calcul du gabarit
    TemplateError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    LookupError,
    RecursionError,
    MemoryError,
)


class ChatTemplate:
    """Un gabarit Jinja, au dialecte de `transformers`. ValueError s’il est mal écrit.

    Celui de SmolLM2 ajoute de lui-même un message système (« You are a helpful AI assistant… ») si
    le premier n’en est pas un. Le texte contient des jetons spéciaux, que `encode` reconnaît, comme
    il reconnaît ceux qu’un utilisateur aurait glissés dans son message. `other_tokens` : les autres
    jetons spéciaux dont le gabarit peut se servir, par leur nom (« pad_token »…).
    """

    def __init__(
        self,
        source: str,
        bos_token: str = "",
        eos_token: str = "",
        other_tokens: Mapping[str, str] | None = None,
    ):
        self.source, self.bos_token, self.eos_token = source, bos_token, eos_token
        self.other_tokens = dict(other_tokens or {})
        try:
            self._template = _environment().from_string(source)
        except (TemplateError, RecursionError) as error:
            raise ValueError(f"Le gabarit de conversation est mal écrit : {error}.") from None

    def render(self, messages: Sequence[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Écrit la conversation ; `add_generation_prompt` ouvre la réponse de l’assistant.

        Un message est `{"role": "user", "content": "…"}`. ValueError si un message est mal formé
        ou si le gabarit le refuse ; TypeError si `messages` n’est pas une liste.
        """
        if isinstance(messages, str | Mapping) or not isinstance(messages, Sequence):
            raise TypeError(
                f"Donnez une liste de messages ; reçu {type(messages).__name__}. Pour un seul : "
                '[{"role": "user", "content": "…"}].'
            )
        for rank, message in enumerate(messages):
            _check_message(rank, message)
        parts, length = [], 0
        try:
            for part in self._template.generate(
                messages=[dict(message) for message in messages],
                tools=None,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **self.other_tokens | {"bos_token": self.bos_token, "eos_token": self.eos_token},
            ):
                parts.append(part)
                length += len(part)
                if length > MAX_LENGTH:
                    raise _TooLong
        except SecurityError as error:
            raise ValueError(
                f"Le gabarit fait ce qu’il n’a pas le droit de faire : {error}."
            ) from None
        except _TooLong:
            raise ValueError(f"Le gabarit écrit plus de {MAX_LENGTH} caractères.") from None
        except _FAILURES as error:
            raise ValueError(f"Le gabarit refuse cette conversation : {error}.") from None
        return "".join(parts)

    @classmethod
    def from_gguf(cls, metadata: Mapping[str, object]) -> "ChatTemplate | None":
        """Le gabarit d’un GGUF, None s’il n’en a pas."""
        source = metadata.get("tokenizer.chat_template")
        if not isinstance(source, str):
            return None
        tokens = metadata.get("tokenizer.ggml.tokens")

        def token(role: str) -> str:
            rank = metadata.get(f"tokenizer.ggml.{role}_token_id")
            known = isinstance(tokens, list) and type(rank) is int and 0 <= rank < len(tokens)
            return tokens[rank] if known else ""

        named = {f"{role}_token": token(name) for role, name in _GGUF_ROLES.items() if token(name)}
        return cls(source, token("bos"), token("eos"), named)

    @classmethod
    def from_folder(cls, folder: str | Path) -> "ChatTemplate | None":
        """Le gabarit d’un dossier Hugging Face, None s’il n’en a pas.

        Il est dans `chat_template.jinja`, ou dans `tokenizer_config.json` ; s’il y en a plusieurs,
        on prend celui qui s’appelle « default ». ValueError si un fichier est illisible.
        """
        folder = Path(folder)
        settings = read_settings(folder / "tokenizer_config.json")
        source = settings.get("chat_template")
        if isinstance(source, list):
            named = {one.get("name"): one for one in source if isinstance(one, dict)}
            source = named.get("default", {}).get("template")
        path = folder / "chat_template.jinja"
        if path.is_file():
            try:
                source = path.read_text("utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"« {path.name} » n’est pas en UTF-8 : {text_fault(error)}."
                ) from None
        if not isinstance(source, str):
            return None
        named = named_tokens(tokenizer_settings(folder))
        return cls(source, named.pop("bos_token", ""), named.pop("eos_token", ""), named)


class _TooLong(Exception):
    """Le gabarit a assez écrit."""


class _GenerationTag(Extension):
    """`{% generation %}…{% endgeneration %}`, autour des mots de l’assistant ; ici, sans effet."""

    tags = frozenset({"generation"})

    def parse(self, parser: Parser) -> nodes.Scope:
        """Le contenu de la balise ; ce qui y est défini n’en sort pas."""
        line = next(parser.stream).lineno
        content = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(content, lineno=line)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Le bac à sable de Jinja, qui s’arrête au premier attribut interdit au lieu de le taire."""

    def unsafe_undefined(self, obj: object, attribute: str) -> NoReturn:
        """Refuse l’accès à un attribut interdit."""
        raise SecurityError(f"lire « {attribute} » d’un objet {type(obj).__name__}")


def _environment() -> _Sandbox:
    """Le bac à sable, avec ce que les gabarits des modèles publiés emploient."""
    environment = _Sandbox(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_GenerationTag, "jinja2.ext.loopcontrols"],
    )
    environment.filters["tojson"] = _to_json  # celui de Jinja échappe les signes du HTML
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = _now
    return environment


def _to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _now(form: str) -> str:
    """La date du jour : certains gabarits la disent au modèle."""
    return datetime.now().strftime(form)


def _refuse(message: str) -> None:
    """Ce qu’un gabarit appelle pour dire non."""
    raise TemplateError(message)


def _check_message(rank: int, message: dict[str, str]) -> None:
    known = isinstance(message, dict) and message.get("role") in CHAT_ROLES
    if not known or not isinstance(message.get("content"), str):
        raise ValueError(
            f"Le message n° {rank} est {message!r} ; il faut un dictionnaire avec « role » "
            f"({', '.join(CHAT_ROLES)}) et « content » (un texte)."
        )
