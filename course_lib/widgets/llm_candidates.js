/**
 * Plusieurs suites du même début, et ce que le modèle leur donne de probabilité : celle d’une suite
 * est le produit de celles de ses jetons, chacun sachant ceux d’avant, sans aucun réglage du tirage.
 */

import { createRandom, draw } from "./llm_sampling.js";
import { percent } from "./llm_views.js";
import { button, format, h, setStyle } from "./nodes.js";

const LENGTH = 24; // jetons d’une suite
const HELP =
  "Plus un jeton est foncé, plus le modèle l’attendait. La probabilité d’une suite est le produit de celles de ses jetons\u202f; " +
  "leur moyenne géométrique permet de comparer des suites de longueurs différentes.";

/** Une probabilité souvent minuscule : « 3,2 × 10⁻¹⁹ ». `log` : son logarithme naturel. */
export function tiny(log) {
  const tens = log / Math.LN10;
  if (tens > -4) return percent(Math.exp(log));
  const exponent = Math.floor(tens);
  const digits = [...String(-exponent)].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).join("");
  return `${format(10 ** (tens - exponent), 1)}\u00a0×\u00a010⁻${digits}`;
}

/**
 * Écrit une suite, jeton après jeton. @returns {Promise<{ids: number[], logs: number[]}|null>} Null si
 * `pause()` rend faux : le lecteur a fait autre chose.
 */
export async function writeCandidate(session, settings, seed, pause, onToken) {
  const random = createRandom(seed);
  const [ids, logs] = [[], []];
  while (ids.length < LENGTH && !session.full) {
    const law = session.distribution(settings);
    const id = draw(law, random);
    logs.push(Math.log(session.distribution()[id])); // sans réglage : ce que pense le modèle
    ids.push(id);
    if (id === session.eos) break;
    if (!(await session.approach([...session.ids, id], pause))) return null;
    session.append(id);
    onToken(ids, logs);
    if (!(await pause())) return null;
  }
  return { ids, logs };
}

/** Une suite à l’écran ; `show` suit son écriture. */
function candidateRow(session, onChoose) {
  const text = h("span", { class: "cw-shaded" });
  const facts = h("span", { class: "cw-value" });
  const take = button("Garder cette suite", () => onChoose(take.ids), true);
  const node = h("li", { class: "cw-candidate" }, text, facts, take);
  take.hidden = true;
  const show = (ids, logs) => {
    const before = session.ids.slice(0, session.ids.length - ids.length);
    const texts = session.tokenizer.texts([...before.slice(-3), ...ids]).slice(-ids.length);
    text.replaceChildren(...texts.map((one, index) => {
      const share = Math.exp(logs[index]);
      const chip = h("span", { class: "cw-chip-text", title: percent(share) }, one);
      setStyle(chip, "--share", `${Math.round(100 * share)}%`);
      return chip;
    }));
  };
  const conclude = ({ ids, logs }) => {
    const total = logs.reduce((sum, log) => sum + log, 0);
    facts.textContent = `Probabilité\u00a0: ${tiny(total)} (${format(ids.length)} jetons, ${percent(Math.exp(total / ids.length))} chacun en moyenne)`;
    take.ids = ids.filter((id) => id !== session.eos);
    take.hidden = false;
  };
  return { node, show, conclude };
}

/** La liste des suites ; `write(début, réglages, graine, pause)` la remplit. */
export function candidatesView(session, count, onChoose) {
  const list = h("ol", { class: "cw-candidates", "aria-label": "Suites possibles" });
  const node = h("div", {}, list, h("p", { class: "cw-help" }, HELP));
  const write = async (start, settings, seed, pause) => {
    list.replaceChildren();
    for (let i = 0; i < count; i += 1) {
      session.restart(start);
      const row = candidateRow(session, onChoose);
      list.append(row.node);
      const written = await writeCandidate(session, settings, seed + i, pause, row.show);
      if (!written) return false;
      row.conclude(written);
    }
    return true;
  };
  return { node, write };
}
