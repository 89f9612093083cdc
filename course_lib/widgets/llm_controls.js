/** Les réglages du tirage, à l’écran. */

import { h } from "./nodes.js";
import { temperatureSlider } from "./temperature_slider.js";

/** Un champ numérique ; sa valeur reste toujours dans les bornes. */
function numberField(label, { min, max, step, value }, onChange) {
  const input = h("input", { class: "cw-select cw-number", type: "number", min, max, step, value });
  input.addEventListener("input", onChange);
  const read = () => {
    const typed = input.valueAsNumber;
    return Number.isNaN(typed) ? value : Math.min(Math.max(typed, min), max);
  };
  return { node: h("label", { class: "cw-field" }, h("span", {}, label), input), read };
}

/** Les réglages du tirage : la température à portée de main, les autres repliés. */
export function samplingControls(minimum, onChange) {
  const temperature = temperatureSlider(onChange, 0);
  const minP = numberField("Min-p", { min: 0, max: 1, step: 0.05, value: minimum }, onChange);
  const topK = numberField("Top-k (0\u00a0: tous)", { min: 0, max: 100, step: 1, value: 0 }, onChange);
  const topP = numberField("Top-p", { min: 0.05, max: 1, step: 0.05, value: 1 }, onChange);
  const penalty = numberField("Pénalité de répétition", { min: 1, max: 2, step: 0.1, value: 1 }, onChange);
  const seed = numberField("Graine", { min: 0, max: 999999, step: 1, value: 0 }, onChange);
  const fields = [minP, topK, topP, penalty, seed].map(({ node }) => node);
  const folded = h("details", {}, h("summary", {}, "Autres réglages du tirage"), h("div", { class: "cw-controls" }, ...fields));
  return {
    slider: temperature.node,
    folded,
    settings: () => ({
      temperature: temperature.read(),
      topK: Math.round(topK.read()),
      topP: topP.read(),
      minP: minP.read(),
      repetitionPenalty: penalty.read(),
    }),
    seed: () => Math.round(seed.read()),
  };
}
