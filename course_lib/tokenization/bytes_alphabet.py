"""L’alphabet de GPT-2 : un caractère visible pour chacun des 256 octets.

Les octets imprimables se représentent eux-mêmes ; les 68 autres (espace, fin de ligne…)
prennent, dans l’ordre, les caractères à partir de U+0100 : l’espace devient « Ġ ».
"""

_VISIBLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_HIDDEN = [byte for byte in range(256) if byte not in _VISIBLE]

BYTE_TO_CHAR = {byte: chr(byte) for byte in _VISIBLE} | {
    byte: chr(0x100 + i) for i, byte in enumerate(_HIDDEN)
}
CHAR_TO_BYTE = {char: byte for byte, char in BYTE_TO_CHAR.items()}
