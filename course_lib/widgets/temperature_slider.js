/** Un curseur de température, et ce que la température fait aux probabilités. */

import { format, h } from "./nodes.js";

/** p^(1/T), remis à l’échelle ; un zéro reste un zéro. */
export function sharpened(probabilities, temperature) {
  const scores = probabilities.map((p) => (p > 0 ? Math.log(p) / temperature : -Infinity));
  const highest = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - highest));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
}

/** Le curseur, posé sur `start`, et son étiquette ; `onChange` reçoit la température, d’au moins `min`. */
export function temperatureSlider(onChange, min = 0.2, start = 1) {
  const input = h("input", { type: "range", min, max: "3", step: "0.1", value: start, "aria-label": "Température" });
  const output = h("output", { class: "cw-position" }, format(start, 1));
  input.addEventListener("input", () => {
    output.textContent = format(Number(input.value), 1);
    onChange(Number(input.value));
  });
  const node = h("label", { class: "cw-field cw-slider" }, h("span", {}, "Température"), input, output);
  return { node, read: () => Number(input.value) };
}
