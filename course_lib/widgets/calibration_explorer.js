/**
 * Explorateur de calibration : la même liste de réponses, à toutes les températures.
 * L’écart (ECE) est celui de `course_lib.evaluation.calibration`.
 */

import { format, h, menu, svg } from "./nodes.js";
import { sharpened, temperatureSlider } from "./temperature_slider.js";

const BINS = 10;
const SIZE = 220; // côté du diagramme, en unités du dessin
const HELP =
  "Chaque réponse a une confiance\u00a0: la probabilité de la valeur préférée. La température la déplace " +
  "sans changer la valeur préférée, donc sans changer la justesse. Une barre sous la diagonale\u00a0: trop sûr.";

/** Tranches, écart de calibration, justesse et confiance moyennes. */
export function measure(rows, truths, temperature) {
  const bins = Array.from({ length: BINS }, () => ({ count: 0, confidence: 0, accuracy: 0 }));
  let [confidences, hits] = [0, 0];
  rows.forEach((row, index) => {
    const parts = sharpened(row, temperature);
    const confidence = Math.max(...parts);
    const hit = parts.indexOf(confidence) === truths[index] ? 1 : 0;
    const bin = bins[Math.min(BINS - 1, Math.max(0, Math.ceil(confidence * BINS) - 1))];
    bin.count += 1;
    bin.confidence += confidence;
    bin.accuracy += hit;
    confidences += confidence;
    hits += hit;
  });
  const filled = bins.map((bin, rank) => ({ ...bin, rank })).filter((bin) => bin.count);
  for (const bin of filled) {
    bin.confidence /= bin.count;
    bin.accuracy /= bin.count;
  }
  const error = filled.reduce((sum, bin) => sum + bin.count * Math.abs(bin.accuracy - bin.confidence), 0) / rows.length;
  return { bins: filled, error, accuracy: hits / rows.length, confidence: confidences / rows.length };
}

/** Le diagramme : une barre par tranche, la diagonale d’un modèle calibré. */
function diagram({ bins }) {
  const y = (value) => SIZE * (1 - value);
  const bars = bins.map(({ rank, accuracy, count }) => {
    const title = `Confiance de ${rank * 10} à ${(rank + 1) * 10} %\u00a0: ${format(100 * accuracy)} % justes, ${count} réponses`;
    const height = Math.max(1, SIZE * accuracy);
    const box = { x: (SIZE * rank) / BINS + 2, y: SIZE - height, width: SIZE / BINS - 4, height, class: "cw-column-bar" };
    return svg("rect", box, svg("title", {}, title));
  });
  const frame = svg("rect", { x: 0, y: 0, width: SIZE, height: SIZE, class: "cw-frame" });
  const diagonal = svg("line", { x1: 0, y1: y(0), x2: SIZE, y2: y(1), class: "cw-diagonal" });
  const label = (text, x, place, anchor) => svg("text", { x, y: place, "text-anchor": anchor, class: "cw-axis" }, text);
  const words = [label("0", -4, SIZE, "end"), label("1", -4, 10, "end"), label("confiance", SIZE / 2, SIZE + 16, "middle"), label("justesse", 4, -6, "start")];
  const view = { viewBox: `-18 -20 ${SIZE + 24} ${SIZE + 42}`, class: "cw-diagram", "aria-hidden": "true" };
  return svg("svg", view, frame, ...bars, diagonal, ...words);
}

function render({ model, el }) {
  const [title, groups] = [model.get("title"), model.get("groups")];
  const figure = h("div", { class: "cw-panel" });
  const numbers = h("div", { class: "cw-panel", "aria-live": "polite" });
  const draw = () => {
    const { rows, truths } = groups[choice.select.value];
    const found = measure(rows, truths, slider.read());
    figure.replaceChildren(diagram(found));
    const pairs = [
      ["Réponses", format(rows.length)],
      ["Justesse", format(found.accuracy, 3)],
      ["Confiance moyenne", format(found.confidence, 3)],
      ["Écart de calibration (ECE)", format(found.error, 3)],
    ];
    numbers.replaceChildren(h("ul", { class: "cw-pairs" }, ...pairs.map(([name, value]) => h("li", {}, `${name} `, h("strong", {}, value)))));
  };
  const slider = temperatureSlider(draw);
  const choice = menu("Questions", Object.keys(groups).map((name) => [name, name]), draw);
  const parts = [h("p", { class: "cw-title" }, title), h("p", { class: "cw-help" }, HELP)];
  const controls = h("div", { class: "cw-controls" }, choice.node, slider.node);
  const panels = h("div", { class: "cw-panels" }, figure, numbers);
  el.append(h("section", { class: "cw cw-calibration", "aria-label": title }, ...parts, controls, panels));
  draw();
}

export default { render };
