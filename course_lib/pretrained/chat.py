"""Le gabarit de conversation : des messages à un seul texte, celui que le modèle a appris à suivre.

Un modèle de langue ne connaît que des textes. Pour converser, il a été affiné sur des dialogues
écrits d’une certaine façon, par exemple « <|im_start|>user … <|im_end|> ». Le gabarit, en Jinja,
livré avec le modèle, écrit les messages ainsi. Venu d’ailleurs, il s’exécute dans un bac à sable.
"""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from course_lib.pretrained.tokenizers import read_settings

CHAT_ROLES = ("system", "user", "assistant", "tool")
MAX_LENGTH = 1 << 20  # un gabarit hostile pourrait écrire sans fin


class ChatTemplate:
    """Un gabarit Jinja. ValueError s’il est mal écrit.

    Celui de SmolLM2 ajoute de lui-même un message système si le premier n’en est pas un.
    """

    def __init__(self, source: str, bos_token: str = "", eos_token: str = ""):
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals["raise_exception"] = _refuse
        self.source, self.bos_token, self.eos_token = source, bos_token, eos_token
        try:
            self._template = environment.from_string(source)
        except (TemplateError, RecursionError) as error:
            raise ValueError(f"Le gabarit de conversation est mal écrit : {error}.") from None

    def render(self, messages: Sequence[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Écrit la conversation ; `add_generation_prompt` ouvre la réponse de l’assistant.

        Un message est `{"role": "user", "content": "…"}`. ValueError si un message est mal formé
        ou si le gabarit le refuse.
        """
        for rank, message in enumerate(messages):
            _check_message(rank, message)
        try:
            text = self._template.render(
                messages=list(messages),
                add_generation_prompt=add_generation_prompt,
                bos_token=self.bos_token,
                eos_token=self.eos_token,
            )
        except SecurityError as error:
            raise ValueError(
                f"Le gabarit fait ce qu’il n’a pas le droit de faire : {error}."
            ) from None
        except (TemplateError, TypeError, ArithmeticError, LookupError, RecursionError) as error:
            raise ValueError(f"Le gabarit refuse cette conversation : {error}.") from None
        if len(text) > MAX_LENGTH:
            raise ValueError(f"Le gabarit écrit {len(text)} caractères ; {MAX_LENGTH} au plus.")
        return text

    @classmethod
    def from_gguf(cls, metadata: dict[str, object]) -> "ChatTemplate | None":
        """Le gabarit d’un GGUF, None s’il n’en a pas."""
        source = metadata.get("tokenizer.chat_template")
        if not isinstance(source, str):
            return None
        tokens = metadata.get("tokenizer.ggml.tokens")

        def token(role: str) -> str:
            rank = metadata.get(f"tokenizer.ggml.{role}_token_id")
            known = isinstance(tokens, list) and type(rank) is int and 0 <= rank < len(tokens)
            return tokens[rank] if known else ""

        return cls(source, token("bos"), token("eos"))

    @classmethod
    def from_folder(cls, folder: str | Path) -> "ChatTemplate | None":
        """Le gabarit d’un dossier Hugging Face, None s’il n’en a pas."""
        folder = Path(folder)
        settings = read_settings(folder / "tokenizer_config.json")
        source = settings.get("chat_template")
        if (folder / "chat_template.jinja").is_file():
            source = (folder / "chat_template.jinja").read_text("utf-8")
        if not isinstance(source, str):
            return None
        return cls(source, *(_token(settings, role) for role in ("bos", "eos")))


def _token(settings: dict, role: str) -> str:
    token = settings.get(f"{role}_token") or ""
    return token.get("content", "") if isinstance(token, dict) else str(token)


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
