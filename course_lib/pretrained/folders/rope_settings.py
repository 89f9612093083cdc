"""Les positions rotatives d’un config.json : leur base et leur étirement, s’ils se lisent bien.

Trois écritures se rencontrent, parfois dans le même fichier :

    rope_theta, rope_scaling     avant transformers 5 ; `type` avant `rope_type`
    rope_parameters              transformers 5 : base et étirement ensemble
    rope_parameters par sorte    un dictionnaire pour chaque sorte d’étage (Gemma 3…)

Quand deux se contredisent, aucune règle ne dit laquelle croire : le modèle est refusé.
Source : transformers, `modeling_rope_utils.py`.
"""

from course_lib.pretrained.fields import Fields
from course_lib.transformer.positions import Llama3Scaling

_PLACES = ("rope_parameters", "rope_scaling")
_PLAIN = {"rope_type", "rope_theta", "partial_rotary_factor", "original_max_position_embeddings"}
_LLAMA3 = _PLAIN | {"factor", "low_freq_factor", "high_freq_factor"}
_ORIGINAL = "original_max_position_embeddings"


def read_rope(fields: Fields, default_theta: float) -> tuple[float, Llama3Scaling | None]:
    """Base des fréquences et étirement de Llama 3.1, ou None.

    `default_theta` : la base de la famille, pour un fichier qui n’en dit rien.
    ValueError, avec les noms et les valeurs, pour tout autre étirement, pour deux écritures qui se
    contredisent, ou si une part des têtes seulement tourne.
    """
    fields.demand("partial_rotary_factor", [None, 1, 1.0], None, "Nos têtes tournent en entier.")
    top = fields.number("rope_theta", None)
    usual = default_theta if top is None else top
    found = {
        place: _normal(fields, place, top, usual) for place in _PLACES if fields.content.get(place)
    }
    if len(found) == 2 and found[_PLACES[0]] != found[_PLACES[1]]:
        shown = " et ".join(f"{place} = {fields.content[place]!r}" for place in _PLACES)
        raise ValueError(
            f"{fields.where} : {shown} se contredisent. Retirez de ce fichier celui des deux qui "
            "n’est pas du modèle."
        )
    content = next(iter(found.values()), {"rope_theta": usual})
    rope = Fields(content, f"{fields.where}, positions rotatives")
    rope.demand("partial_rotary_factor", [None, 1, 1.0], None, "Nos têtes tournent en entier.")
    theta = rope.number("rope_theta")
    if content.get("rope_type") != "llama3":
        return theta, None
    _check_same(fields, _ORIGINAL, content.get(_ORIGINAL))
    return theta, Llama3Scaling(
        rope.number("factor"),
        rope.number("low_freq_factor"),
        rope.number("high_freq_factor"),
        rope.integer(_ORIGINAL),
    )


def _normal(fields: Fields, place: str, top: float | None, usual: float) -> dict[str, object]:
    """Le dictionnaire écrit en `place`, à l’écriture d’aujourd’hui ; sa base, sinon `usual`."""
    content = fields.content[place]
    if not isinstance(content, dict):
        raise ValueError(f"{fields.where} : {place} = {content!r} ; il faut un dictionnaire.")
    where = f"{fields.where}, {place}"
    nested = [name for name, value in content.items() if isinstance(value, dict)]
    if nested:
        raise ValueError(
            f"{where} a un réglage par sorte d’étage ({', '.join(nested)}) : nos étages tournent "
            "tous pareillement."
        )
    kinds = [content[name] for name in ("rope_type", "type") if content.get(name) is not None]
    if len(kinds) == 2 and kinds[0] != kinds[1]:
        raise ValueError(
            f"{where} : rope_type = {kinds[0]!r} et type = {kinds[1]!r} se contredisent. Retirez "
            "« type », l’ancienne écriture, s’il n’est pas du modèle."
        )
    written = "rope_type" if content.get("rope_type") is not None else "type"
    reason = "Les autres étirements des positions donneraient un modèle faux."
    one = Fields({**content, written: kinds[0] if kinds else "default"}, where)
    one.demand(written, ["default", "llama3"], "default", reason)
    normal = {key: value for key, value in content.items() if value is not None and key != "type"}
    normal["rope_type"] = one.content[written]
    known = _LLAMA3 if normal["rope_type"] == "llama3" else _PLAIN
    for name in sorted(normal.keys() - known):
        one.demand(name, [None], None, "Ce réglage pourrait changer le calcul.")
    theta = one.number("rope_theta", None)
    if theta is not None and top is not None:
        _check_same(fields, "rope_theta", theta)
    normal["rope_theta"] = usual if theta is None else theta
    return normal


def _check_same(fields: Fields, name: str, nested: object) -> None:
    """Refuse un réglage écrit hors du dictionnaire avec une autre valeur que dedans."""
    outside = fields.content.get(name)
    if outside is not None and outside != nested:
        raise ValueError(
            f"{fields.where} : {name} = {outside!r} d’un côté et {nested!r} parmi les positions "
            "rotatives : on ne sait lequel croire. Retirez celui qui n’est pas du modèle."
        )
