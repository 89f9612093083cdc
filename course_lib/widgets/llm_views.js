/** Ce que l’on voit du modèle : les jetons suivants et leurs barres, l’attention du dernier jeton. */

import { mostProbable } from "./llm_sampling.js";
import { format, h, readable, visibleText } from "./tokenizer_explorer.js";

const SHOWN = 10;
const MOST_READ = 5;
const SPECIAL_NAMES = { "<bos>": "début du texte", "<eos>": "fin du texte", "<pad>": "remplissage" };

/** « 12,3 % » ; « < 0,1 % » plutôt qu’un zéro trompeur. */
export function percent(probability) {
  const value = 100 * probability;
  return value > 0 && value < 0.05 ? "<\u00a00,1\u00a0%" : `${format(value, 1)}\u00a0%`;
}

/** Le texte lisible d’un jeton. */
export function tokenText(tokenizer, id) {
  const text = readable(tokenizer.bytes(id));
  return tokenizer.isSpecial(id) ? (SPECIAL_NAMES[text] ?? text) : text;
}

/** Un jeton à l’écran, ses espaces rendues visibles. */
function tokenNode(tokenizer, id) {
  const node = h("span", { class: "cw-chip-text" });
  const text = tokenText(tokenizer, id);
  node.append(...(tokenizer.isSpecial(id) ? [h("em", {}, text)] : visibleText(text)));
  return node;
}

/** Ce que le lecteur d’écran entend d’un jeton : les espaces y sont nommées. */
export function spokenToken(tokenizer, id) {
  const text = tokenText(tokenizer, id);
  if (tokenizer.isSpecial(id)) return text;
  const spoken = text.replaceAll("\n", " fin de ligne ").trim();
  if (!spoken) return "espace";
  return text.startsWith(" ") ? `espace puis «\u00a0${spoken}\u00a0»` : `«\u00a0${spoken}\u00a0»`;
}

/** Une liste de `count` lignes : contenu, barre, valeur. */
function barRow(content, value, share) {
  const bar = h("span", { class: "cw-bar", "aria-hidden": "true" });
  bar.style.width = `${Math.max(100 * share, 0.5)}%`;
  return h("li", { class: "cw-key" }, bar, content, h("span", { class: "cw-value" }, value));
}

/** La liste des jetons suivants ; choisir un jeton l’ajoute au texte. */
export function nextTokensView(onChoose) {
  const list = h("ol", { class: "cw-next", "aria-label": "Jetons suivants les plus probables" });
  const row = (tokenizer, { id, probability }) => {
    const button = h("button", { type: "button", class: "cw-token cw-text" }, tokenNode(tokenizer, id));
    button.setAttribute("aria-label", `Ajouter ${spokenToken(tokenizer, id)}`);
    button.addEventListener("click", () => onChoose(id));
    return barRow(button, percent(probability), probability);
  };
  const update = (tokenizer, distribution) => {
    const rank = [...list.children].findIndex((item) => item.contains(document.activeElement));
    const best = mostProbable(distribution, SHOWN).filter(({ probability }) => probability > 0);
    list.replaceChildren(...best.map((one) => row(tokenizer, one)));
    // Redessiner ôte le foyer du clavier : on le rend au même rang.
    if (rank >= 0) list.children[Math.min(rank, best.length - 1)].querySelector("button").focus();
    return best;
  };
  return { node: list, update };
}

/** Les choix d’un menu : la moyenne, puis chaque numéro. */
function menu(label, count, onChange) {
  const select = h("select", { class: "cw-select" }, h("option", { value: "" }, "moyenne"));
  for (let i = 0; i < count; i += 1) select.append(h("option", { value: String(i) }, String(i + 1)));
  select.addEventListener("change", onChange);
  const value = () => (select.value === "" ? null : Number(select.value));
  return { node: h("label", { class: "cw-field" }, h("span", {}, label), select), value };
}

/** Le texte ombré par l’attention du dernier jeton, et la liste de ce qu’il a le plus lu. */
export function attentionView(session, onChange) {
  const { num_hidden_layers: layers, num_attention_heads: heads } = session.decoder.config;
  const layer = menu("Couche", layers, onChange);
  const head = menu("Tête", heads, onChange);
  const shaded = h("p", { class: "cw-shaded", "aria-hidden": "true" });
  const list = h("ol", { class: "cw-most-read", "aria-label": "Jetons les plus lus" });
  const controls = h("div", { class: "cw-controls" }, layer.node, head.node);
  const update = () => {
    const weights = session.attention(layer.value(), head.value());
    const largest = Math.max(...weights);
    shaded.replaceChildren(...session.read.map((_, position) => shade(session, weights[position] / largest, position)));
    const best = mostProbable(weights, MOST_READ);
    list.replaceChildren(...best.map(({ id: position, probability }) => {
      const text = h("span", { class: "cw-text" }, tokenNode(session.tokenizer, session.read[position]));
      text.append(h("span", { class: "cw-position" }, ` (jeton ${position + 1})`));
      return barRow(text, percent(probability), probability);
    }));
  };
  return { node: h("div", {}, controls, shaded, list), update };
}

/** Un jeton du texte, d’autant plus coloré qu’il est lu ; le plus lu l’est tout à fait. */
function shade(session, share, position) {
  const node = tokenNode(session.tokenizer, session.read[position]);
  // La racine carrée laisse voir les petits poids ; la liste donne les valeurs exactes.
  node.style.setProperty("--share", `${(100 * Math.sqrt(share)).toFixed(1)}%`);
  if (position === session.read.length - 1) node.dataset.current = "";
  return node;
}
