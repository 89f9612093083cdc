/** Un schéma qui avance pas à pas : un curseur, deux boutons, une légende. */

import { h } from "./nodes.js";

function render({ model, el }) {
  const [title, frames] = [model.get("title"), model.get("frames")];
  const last = frames.length - 1;
  const picture = h("div", { class: "cw-picture" });
  const caption = h("p", { class: "cw-caption", "aria-live": "polite" });
  const slider = h("input", { type: "range", min: 0, max: last, step: 1, value: 0, "aria-label": `Étape\u00a0: ${title}` });
  const back = h("button", { type: "button", class: "cw-button cw-secondary" }, "Précédent");
  const next = h("button", { type: "button", class: "cw-button" }, "Suivant");

  function show(index) {
    const { svg, text } = frames[index];
    picture.innerHTML = svg; // dessin composé par la bibliothèque, textes déjà échappés
    caption.textContent = `${index + 1}/${last + 1}. ${text}`;
    slider.value = index;
    slider.setAttribute("aria-valuetext", `étape ${index + 1} sur ${last + 1}`);
    back.disabled = index === 0;
    next.textContent = index === last ? "Recommencer" : "Suivant";
  }
  slider.addEventListener("input", () => show(Number(slider.value)));
  back.addEventListener("click", () => {
    show(Math.max(0, Number(slider.value) - 1));
    if (back.disabled) next.focus();
  });
  next.addEventListener("click", () => show(Number(slider.value) === last ? 0 : Number(slider.value) + 1));

  // Toutes les légendes occupent la même place : la plus longue fixe la hauteur.
  const tallest = h("div", { class: "cw-captions" });
  for (const { text } of frames) tallest.append(h("p", { class: "cw-caption cw-ghost", "aria-hidden": "true" }, `0/0. ${text}`));
  tallest.append(caption);
  const controls = h("div", { class: "cw-steps" }, back, slider, next);
  el.replaceChildren(h("section", { class: "cw", "aria-label": title }, h("p", { class: "cw-title" }, title), picture, controls, tallest));
  show(0);
}

export default { render };
