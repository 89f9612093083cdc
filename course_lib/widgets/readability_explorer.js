/**
 * Explorateur de lisibilité : le texte tapé, compté comme en Python, et sa place parmi les publics.
 * Les règles (mots, syllabes, phrases) viennent de `course_lib.evaluation.readability`.
 */

import { fit, format, h, menu, textArea } from "./nodes.js";

const [LOWEST, HIGHEST] = [-20, 130]; // bornes de l’échelle dessinée
const HELP =
  "Changez le texte\u00a0: raccourcissez une phrase, remplacez un mot long. " +
  "L’indice monte quand les phrases et les mots raccourcissent\u202f; il ne sait pas si le texte a du sens.";

const withoutS = (text) => (text.endsWith("s") ? text.slice(0, -1) : text);

/** Compte les syllabes d’un mot, en minuscules. */
export function syllableCounter(rules) {
  const [nucleus, finalE] = [new RegExp(rules.nucleus, "gu"), new RegExp(rules.finalE, "u")];
  const rewrites = rules.rewrites.map(([pattern, text]) => [new RegExp(pattern, "gu"), text]);
  const [sounded, mute] = [new Set(rules.soundedEnt), new Set(rules.muteMent)];
  const vowel = new RegExp(`[${rules.vowels}]`, "u");
  const special = new Map(Object.entries(rules.special));
  const nuclei = (text) => text.match(nucleus)?.length ?? 0;

  function withoutMuteEnding(part) {
    if (!part.endsWith("ent") || sounded.has(withoutS(part))) return part;
    if (part.endsWith("ment") && !mute.has(part)) return part;
    const stem = part.slice(0, -3);
    return vowel.test(stem) ? stem : part;
  }

  function ofPart(part) {
    const known = special.get(part) ?? special.get(withoutS(part));
    if (known !== undefined) return known;
    let text = withoutMuteEnding(part);
    for (const [pattern, replacement] of rewrites) text = text.replace(pattern, replacement);
    const count = nuclei(text);
    return finalE.test(text) && count > 1 ? nuclei(text.replace(finalE, "")) : count;
  }

  return (word) => Math.max(1, word.split(/['’-]/u).reduce((sum, part) => sum + ofPart(part), 0));
}

/** Phrases, mots, syllabes et indice de Kandel et Moles ; null s’il n’y a aucun mot. */
export function reader(rules) {
  const [word, end] = [new RegExp(rules.word, "gu"), new RegExp(rules.sentenceEnd, "gu")];
  const syllables = syllableCounter(rules);
  return (text) => {
    const words = (text.match(word) ?? []).map((found) => found.toLowerCase());
    if (!words.length) return null;
    const sentences = text.split(end).filter((part) => part.match(word)).length;
    const counts = words.map(syllables);
    const total = counts.reduce((sum, count) => sum + count, 0);
    const index = 207 - (1.015 * words.length) / sentences - (73.6 * total) / words.length;
    return { sentences, words: words.length, syllables: total, index, counted: words.map((w, i) => [w, counts[i]]) };
  };
}

/** Où tombe un indice sur l’échelle, en pour cent. */
const place = (index) => (100 * (Math.min(HIGHEST, Math.max(LOWEST, index)) - LOWEST)) / (HIGHEST - LOWEST);

/** L’échelle : un trait par public, une marque pour le texte. */
function scale(marks, index) {
  const node = h("div", { class: "cw-scale", "aria-hidden": "true" });
  for (const [name, value] of Object.entries(marks)) {
    const mark = h("span", { class: "cw-mark" }, h("span", {}, name));
    mark.style.left = `${place(value)}%`;
    node.append(mark);
  }
  const dot = h("span", { class: "cw-dot" });
  dot.style.left = `${place(index)}%`;
  node.append(dot);
  return node;
}

/** Le public dont l’indice est le plus proche. */
function nearest(marks, index) {
  const gap = ([, value]) => Math.abs(value - index);
  return Object.entries(marks).reduce((best, mark) => (gap(mark) < gap(best) ? mark : best))[0];
}

function result(found, marks) {
  if (!found) return [h("p", {}, "Aucun mot à compter\u00a0: écrivez une phrase.")];
  const longest = [...new Map(found.counted)].sort((a, b) => b[1] - a[1]).slice(0, 5);
  const rows = [
    ["Phrases", format(found.sentences)],
    ["Mots", format(found.words)],
    ["Mots par phrase", format(found.words / found.sentences, 1)],
    ["Syllabes par mot", format(found.syllables / found.words, 2)],
    ["Indice de Kandel et Moles", format(found.index, 1)],
    ["Public le plus proche", nearest(marks, found.index)],
    ["Mots de plus de syllabes", longest.map(([word, count]) => `${word} (${count})`).join(", ")],
  ];
  const items = rows.map(([name, value]) => h("li", {}, `${name} `, h("strong", {}, value)));
  return [scale(marks, found.index), h("ul", { class: "cw-pairs" }, ...items)];
}

function render({ model, el }) {
  const [title, texts, marks] = ["title", "texts", "marks"].map((name) => model.get(name));
  const read = reader(model.get("rules"));
  const area = textArea(5);
  const results = h("div", { class: "cw-panel" });
  const live = h("p", { class: "cw-visually-hidden", "aria-live": "polite" });
  let pending = null;
  const draw = () => {
    const found = read(area.value);
    results.replaceChildren(...result(found, marks));
    clearTimeout(pending);
    pending = setTimeout(() => (live.textContent = found ? `Indice ${format(found.index, 1)}` : "Aucun mot"), 500);
  };
  const show = () => {
    area.value = texts[choice.select.value];
    fit(area);
    draw();
  };
  const choice = menu("Texte écrit pour", Object.keys(texts).map((name) => [name, name]), show);
  area.addEventListener("input", draw);
  const field = h("label", {}, h("strong", {}, "Texte à compter"), area);
  const parts = [h("p", { class: "cw-title" }, title), h("p", { class: "cw-help" }, HELP)];
  const controls = h("div", { class: "cw-controls" }, choice.node);
  el.append(h("section", { class: "cw cw-readability", "aria-label": title }, ...parts, controls, field, results, live));
  show();
  return () => clearTimeout(pending);
}

export default { render };
