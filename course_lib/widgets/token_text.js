/**
 * Le texte lisible d’un jeton. Un jeton BPE est une suite d’octets, qui coupe parfois un caractère :
 * « ’(1/3) » est le premier des trois octets de « ’ », ⟨E2⟩ un octet dont le caractère reste inconnu.
 * Les règles sont celles de `course_lib.widgets.token_text`.
 */

import { h } from "./nodes.js";

export const PIECES = "’(1/3)\u00a0: le premier des trois octets de ’\u202f; ⟨E2⟩\u00a0: un octet seul, morceau d’un caractère.";
const INVISIBLE = { " ": "␣", "\n": "⏎", "\r": "␍", "\t": "⇥", "\u00a0": "⍽", "\u202f": "⍽" };
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Combien d’octets prend le caractère que commence celui-ci ; 0 s’il n’en commence aucun. */
function span(lead) {
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/** Le caractère écrit en `bytes[start…]`, ou null si ces octets n’en font pas un. */
function character(bytes, start) {
  const length = span(bytes[start]);
  if (!length || start + length > bytes.length) return null;
  try {
    return { text: decoder.decode(new Uint8Array(bytes.slice(start, start + length))), length };
  } catch {
    return null;
  }
}

/** « (1/3) », « (2–3/3) » : quels octets d’un caractère. */
const part = (first, last, length) => `(${first === last ? first : `${first}–${last}`}/${length})`;

/** ⟨E2 80⟩ : des octets qui ne font pas de caractère. */
const lone = (bytes) => `⟨${bytes.map((byte) => byte.toString(16).toUpperCase().padStart(2, "0")).join(" ")}⟩`;

/** Le texte de chacun de ces jetons, qui se suivent ; chacun est donné par ses octets. */
export function tokenTexts(tokens) {
  const bytes = tokens.flat();
  const places = []; // pour chaque octet : son caractère (null s’il n’en a pas) et son rang dedans
  while (places.length < bytes.length) {
    const found = character(bytes, places.length);
    for (let rank = 1; rank <= (found?.length ?? 1); rank += 1) places.push({ found, rank });
  }
  let end = 0;
  return tokens.map((one) => {
    const start = end;
    end += one.length;
    let text = "";
    for (let i = start; i < end; ) {
      const { found, rank } = places[i];
      let next = i + 1;
      while (next < end && (found ? places[next].found === found : !places[next].found)) next += 1;
      if (!found) text += lone(bytes.slice(i, next));
      else text += next - i === found.length ? found.text : found.text + part(rank, rank + next - i - 1, found.length);
      i = next;
    }
    return text;
  });
}

/** Les derniers octets d’une suite, s’ils commencent un caractère sans le finir. */
export function unfinished(bytes) {
  for (let count = 1; count <= Math.min(3, bytes.length); count += 1) {
    const length = span(bytes[bytes.length - count]);
    if (length) return length > count ? bytes.slice(-count) : [];
  }
  return [];
}

/** Ce jeton ne porte-t-il qu’un morceau de caractère ? */
export const isPiece = (text) => /\(\d(–\d)?\/\d\)|⟨[0-9A-F ]+⟩/.test(text);

/** Le signe d’un caractère qui ne se voit pas ; null s’il se voit. */
function sign(character) {
  const code = character.codePointAt(0);
  const hidden = code < 32 || /^[\p{Cf}\p{Cc}\p{Zs}\p{Zl}\p{Zp}]$/u.test(character);
  return INVISIBLE[character] ?? (hidden ? `U+${code.toString(16).toUpperCase().padStart(4, "0")}` : null);
}

/** Un texte où ce qui ne se voit pas a un signe. */
export const visible = (text) => [...text].map((one) => sign(one) ?? one).join("");

/** Le même, en nœuds : les signes sont marqués. */
export const visibleText = (text) =>
  [...text].map((one) => (sign(one) ? h("mark", {}, sign(one)) : document.createTextNode(one)));
