/**
 * Explorateur de jetons : le texte tapé, découpé par chaque tokeniseur, dans la page.
 * Les mêmes règles qu'en Python : expression de découpage, octets UTF-8, fusions dans l'ordre appris.
 */

import { format, h, textArea } from "./nodes.js";
import { isPiece, PIECES, tokenTexts, visibleText } from "./token_text.js";

const MAX_CHIPS = 400;
const LEGEND =
  "Une pastille = un jeton\u202f; dessous, son identifiant. ␣ est une espace, ⏎ une fin de ligne.";

/** Coupe le texte aux jetons spéciaux : `[morceau, id ou null]`. */
function* segments(text, special) {
  const names = Object.keys(special).sort((a, b) => b.length - a.length);
  if (!names.length) {
    yield [text, null];
    return;
  }
  const escaped = names.map((name) => name.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
  const pattern = new RegExp(`(${escaped.join("|")})`, "u");
  for (const [index, part] of text.split(pattern).entries()) {
    if (part) yield [part, index % 2 ? special[part] : null];
  }
}

/** Un jeton : son id, son texte, s'il est inconnu du vocabulaire. */
const token = (id, text, unknown = false) => ({ id, text, unknown });

/** Tokeniseur par morceaux (mots ou caractères). @returns {(text: string) => object[]} */
function pieceEncoder(state) {
  const pattern = new RegExp(state.pattern, "gv");
  const ids = new Map(state.tokens.map((piece, id) => [piece, id]));
  return (text) =>
    (text.match(pattern) ?? []).map((piece) =>
      token(ids.get(piece) ?? state.unknown, piece, !ids.has(piece)),
    );
}

/** Rang et id produit de chaque fusion, par paire d'ids. */
export function mergeTable(state) {
  const table = new Map();
  const contiguous = state.results.length === 1;
  for (let rank = 0; 2 * rank < state.merges.length; rank += 1) {
    const [left, right] = state.merges.slice(2 * rank, 2 * rank + 2);
    const id = contiguous ? state.results[0] + rank : state.results[rank];
    table.set(left * state.size + right, { rank, id });
  }
  return table;
}

/** Les octets que représente chaque id. */
export function bytesById(state, table) {
  const bytes = new Array(state.size);
  state.bytes.forEach((id, byte) => (bytes[id] = [byte]));
  for (const [pair, { id }] of table) {
    bytes[id] = [...bytes[Math.floor(pair / state.size)], ...bytes[pair % state.size]];
  }
  return bytes;
}

/** Fusionne les ids, toujours la paire apprise le plus tôt d'abord. */
function applyMerges(ids, table, size) {
  let current = ids;
  for (;;) {
    let best = null;
    for (let i = 0; i + 1 < current.length; i += 1) {
      const merge = table.get(current[i] * size + current[i + 1]);
      if (merge && (!best || merge.rank < best.rank)) best = { ...merge, pair: [current[i], current[i + 1]] };
    }
    if (!best) return current;
    current = replacePair(current, best);
  }
}

/** Remplace chaque occurrence de la paire, de gauche à droite. */
function replacePair(ids, { pair: [left, right], id }) {
  const merged = [];
  for (let i = 0; i < ids.length; i += 1) {
    const match = ids[i] === left && ids[i + 1] === right;
    merged.push(match ? id : ids[i]);
    if (match) i += 1;
  }
  return merged;
}

/** Tokeniseur BPE sur les octets. @returns {(text: string) => object[]} */
function bpeEncoder(state) {
  const table = mergeTable(state);
  const bytes = bytesById(state, table);
  const pattern = new RegExp(state.pattern, "gv");
  const digit = state.digit && new RegExp(`(${state.digit})`, "v");
  const words = (text) =>
    (digit ? text.split(digit) : [text]).flatMap((part) => part.match(pattern) ?? []);
  const encodeWord = (word) =>
    applyMerges([...new TextEncoder().encode(word)].map((byte) => state.bytes[byte]), table, state.size);
  return (text) => {
    const ids = words(text).flatMap(encodeWord);
    const texts = tokenTexts(ids.map((id) => bytes[id]));
    return ids.map((id, index) => token(id, texts[index]));
  };
}

/** Tokeniseur complet : jetons spéciaux, puis mots, caractères ou octets. */
export function createEncoder(state) {
  const encodePart = state.kind === "bpe" ? bpeEncoder(state) : pieceEncoder(state);
  return (text) => {
    // Une moitié de paire UTF-16 n'existe dans aucun texte valide ; Python la refuse.
    const clean = text.toWellFormed?.() ?? text;
    return [...segments(clean, state.special)].flatMap(([part, id]) =>
      id === null ? encodePart(part) : [token(id, part)],
    );
  };
}

/** Une pastille : le texte du jeton et, dessous, son identifiant. */
function chip({ id, text, unknown }) {
  const node = h("li", { class: "cw-chip" });
  node.append(
    h("span", { class: "cw-chip-text" }, ...visibleText(text)),
    h("span", { class: "cw-chip-id" }, String(id ?? "?")),
  );
  if (unknown) {
    node.dataset.unknown = "";
    node.append(h("span", { class: "cw-visually-hidden" }, "mot ou caractère inconnu"));
  }
  return node;
}

const plural = (count, word) => `${format(count)}\u00a0${word}${count > 1 ? "s" : ""}`;

/** Ce que l'on compte : jetons, caractères par jeton, inconnus. */
function measure(tokens, text) {
  const unknown = tokens.filter((one) => one.unknown).length;
  const facts = [plural(tokens.length, "jeton")];
  if (tokens.length) facts.push(`${format([...text].length / tokens.length, 1)}\u00a0caractères par jeton`);
  if (unknown) facts.push(plural(unknown, "inconnu"));
  return facts;
}

/** La bande d'un tokeniseur : `update(texte)` la redessine et rend son résumé. */
function lane(state) {
  const encode = createEncoder(state);
  const facts = h("span", { class: "cw-facts" });
  const name = h("strong", {}, `${state.name} `, h("span", {}, `(vocabulaire\u00a0: ${format(state.size)})`));
  const chips = h("ol", { class: "cw-chips", "aria-label": `Jetons, ${state.name}` });
  const node = h("div", { class: "cw-lane" }, h("p", { class: "cw-lane-head" }, name, facts), chips);
  const update = (text) => {
    const tokens = encode(text);
    chips.replaceChildren(...tokens.slice(0, MAX_CHIPS).map(chip));
    if (tokens.length > MAX_CHIPS) {
      chips.append(h("li", { class: "cw-more" }, `… et ${format(tokens.length - MAX_CHIPS)} de plus`));
    }
    chips.dataset.ids = tokens.map((one) => one.id).join(" ");
    const measured = measure(tokens, text);
    facts.textContent = measured.join(" · ");
    return { told: `${state.name}\u00a0: ${measured.join(", ")}.`, pieces: tokens.some((one) => isPiece(one.text)) };
  };
  return { node, update };
}

function render({ model, el }) {
  const title = model.get("title");
  const lanes = model.get("tokenizers").map(lane);
  const area = textArea(3);
  const field = h("label", {}, h("strong", {}, "Votre texte"), area);
  const live = h("p", { class: "cw-visually-hidden", "aria-live": "polite" });
  const legend = h("p", { class: "cw-help" });
  let pending;

  const draw = () => {
    const text = model.get("text");
    if (area.value !== text) area.value = text;
    const updated = lanes.map(({ update }) => update(text));
    legend.textContent = updated.some(({ pieces }) => pieces) ? `${LEGEND} ${PIECES}` : LEGEND;
    // Le lecteur d'écran attend une pause dans la frappe : sinon il parlerait à chaque lettre.
    clearTimeout(pending);
    pending = setTimeout(() => (live.textContent = updated.map(({ told }) => told).join(" ")), 400);
  };
  area.addEventListener("input", () => {
    model.set("text", area.value);
    model.save_changes();
  });
  model.on("change:text", draw);
  const heading = h("p", { class: "cw-title" }, title);
  const stack = h("div", { class: "cw-tokenizers" }, ...lanes.map(({ node }) => node));
  el.append(h("section", { class: "cw cw-tokens", "aria-label": title }, heading, field, legend, stack, live));
  draw();
  return () => {
    clearTimeout(pending);
    model.off("change:text", draw);
  };
}

export default { render };
