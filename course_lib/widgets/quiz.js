/**
 * Quiz : questions à choix unique, une à la fois, une explication par choix. Les choix sont mélangés
 * à chaque chargement de la page, puis ne bougent plus.
 * Un module autonome : le cahier le charge seul, sans pouvoir importer de voisin.
 */

let instances = 0;

/** L'ordre tiré pour chaque quiz : le même s'il est montré deux fois dans le cahier. */
const orders = new WeakMap();

/** Un ordre au hasard de 0 à n − 1 (Fisher et Yates). */
function shuffled(n) {
  const order = Array.from({ length: n }, (_, index) => index);
  for (let last = n - 1; last > 0; last -= 1) {
    const other = Math.floor(Math.random() * (last + 1));
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}

/** Les ordres d'un quiz, un par question, tirés une fois pour toutes. */
function ordersOf(model, questions) {
  if (!orders.has(model)) {
    orders.set(model, questions.map((question) => shuffled(question.choices.length)));
  }
  return orders.get(model);
}

/** Crée un élément avec attributs et enfants. */
function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Découpe « `code` » en éléments `<code>` ; le reste est du texte, jamais du HTML. */
function inline(text) {
  return text
    .split(/`([^`]*)`/)
    .map((part, index) => (index % 2 ? h("code", {}, part) : document.createTextNode(part)));
}

/** Un choix : bouton radio et son libellé. */
function choiceNode(choice, name, index) {
  const radio = h("input", { type: "radio", name, value: String(index) });
  return h("label", { class: "cw-choice" }, radio, h("span", {}, ...inline(choice.text)));
}

/** Écrit le verdict d'une question ; rend vrai si le choix est juste. */
function judge(question, chosen, feedback) {
  if (!chosen) {
    feedback.dataset.verdict = "none";
    feedback.replaceChildren("Choisissez d’abord une réponse.");
    return false;
  }
  const choice = question.choices[Number(chosen.value)];
  feedback.dataset.verdict = choice.correct ? "right" : "wrong";
  const verdict = choice.correct ? "✓ Juste." : "✗ Pas tout à fait.";
  feedback.replaceChildren(h("strong", {}, verdict), " ", ...inline(choice.feedback));
  return choice.correct;
}

/** Une question et ses choix, dans l'ordre donné ; `onJudged(juste)` à chaque vérification. */
function questionNode(question, order, number, name, onJudged) {
  const legend = h("legend", {}, `${number}. `, ...inline(question.prompt));
  const choices = order.map((index) => choiceNode(question.choices[index], name, index));
  const button = h("button", { type: "button", class: "cw-button" }, "Vérifier");
  const feedback = h("p", { class: "cw-feedback", "aria-live": "polite" });
  const fieldset = h("fieldset", { class: "cw-question" }, legend, ...choices, button, feedback);
  const chosen = () => fieldset.querySelector("input:checked");
  button.setAttribute("aria-label", `Vérifier la question ${number}`);
  button.addEventListener("click", () => onJudged(judge(question, chosen(), feedback)));
  fieldset.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches("input")) button.click();
  });
  // Un nouveau choix efface l'ancien verdict : il ne parlait pas de lui.
  fieldset.addEventListener("change", () => {
    feedback.replaceChildren();
    delete feedback.dataset.verdict;
  });
  return fieldset;
}

/** « 2 réponses justes sur 3 », accordé. */
function scoreText(right, total) {
  return `${right} ${right > 1 ? "réponses justes" : "réponse juste"} sur ${total}.`;
}

/** « Question 2 sur 4 », entre deux boutons qui passent de l'une à l'autre. */
function pager(nodes) {
  const place = h("span", { class: "cw-place", "aria-live": "polite" });
  const arrow = (label, step) => {
    const button = h("button", { type: "button", class: "cw-button cw-secondary" }, label);
    button.addEventListener("click", () => {
      show(current + step);
      nodes[current].querySelector("input").focus({ preventScroll: true });
    });
    return button;
  };
  const back = arrow("‹ Précédente", -1);
  const next = arrow("Suivante ›", 1);
  let current = 0;
  function show(index) {
    current = index;
    nodes.forEach((node, other) => (node.hidden = other !== index));
    place.textContent = `Question ${index + 1} sur ${nodes.length}`;
    back.disabled = index === 0;
    next.disabled = index === nodes.length - 1;
  }
  show(0);
  return h("div", { class: "cw-pager" }, back, place, next);
}

function render({ model, el }) {
  const questions = model.get("questions");
  const prefix = `cw-quiz-${(instances += 1)}`;
  const results = questions.map(() => false);
  const order = ordersOf(model, questions);
  const score = h("p", { class: "cw-summary", "aria-live": "polite" });
  const nodes = questions.map((question, index) =>
    questionNode(question, order[index], index + 1, `${prefix}-${index}`, (right) => {
      results[index] = right;
      score.textContent = scoreText(results.filter(Boolean).length, questions.length);
    }),
  );
  const title = model.get("title");
  const heading = h("p", { class: "cw-title" }, title);
  const turning = nodes.length > 1 ? [pager(nodes)] : [];
  el.append(
    h("section", { class: "cw cw-quiz", "aria-label": title }, heading, ...nodes, ...turning, score),
  );
}

export default { render };
