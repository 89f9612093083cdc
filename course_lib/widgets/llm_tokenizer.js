/** Le tokeniseur du modèle, relu de son `tokenizer.json` : mêmes identifiants qu’en Python. */

import { tokenTexts, unfinished } from "./token_text.js";
import { bytesById, createEncoder, mergeTable } from "./tokenizer_explorer.js";

/** L’alphabet de GPT-2 : le caractère visible de chaque octet (« Ġ » pour l’espace). */
function byteAlphabet() {
  const visible = (byte) => (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
  let hidden = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(visible(byte) ? byte : hidden++));
}

/** L’état qu’attend `createEncoder`, tiré du fichier et des expressions données par Python. */
function encoderState({ model: { vocab, merges }, added_tokens: added, pre_tokenizer: split }, patterns) {
  const pairs = merges.map((pair) => (typeof pair === "string" ? pair.split(" ") : pair));
  return {
    kind: "bpe",
    size: Object.keys(vocab).length,
    special: Object.fromEntries(added.map(({ content, id }) => [content, id])),
    pattern: patterns.word,
    digit: split.type === "Sequence" ? patterns.digit : null,
    bytes: byteAlphabet().map((character) => vocab[character]),
    merges: pairs.flat().map((token) => vocab[token]),
    results: pairs.map(([left, right]) => vocab[left + right]),
  };
}

/**
 * Construit le tokeniseur.
 * @param {object} json Contenu de `tokenizer.json`.
 * @param {{word: string, digit: string}} patterns Expressions de découpage, en mode `v`.
 */
export function createTokenizer(json, patterns) {
  const state = encoderState(json, patterns);
  const encode = createEncoder(state);
  const bytes = bytesById(state, mergeTable(state));
  const names = new Map(Object.entries(state.special).map(([name, id]) => [id, name]));
  for (const [id, name] of names) bytes[id] = [...new TextEncoder().encode(name)];
  const bytesOf = (ids) => ids.flatMap((id) => bytes[id]);
  return {
    special: state.special,
    size: state.size,
    encode: (text) => encode(text).map(({ id }) => id),
    // `stream` : un dernier caractère inachevé attend ses octets, au lieu de s’écrire « � ».
    decode: (ids) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(new Uint8Array(bytesOf(ids)), { stream: true }),
    texts: (ids) => tokenTexts(ids.map((id) => bytes[id])),
    textAfter: (ids, id) => tokenTexts([unfinished(bytesOf(ids.slice(-3))), bytes[id]])[1],
    isSpecial: (id) => names.has(id),
  };
}
