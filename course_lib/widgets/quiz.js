/**
 * Quiz : questions à choix unique, une explication par choix.
 * Un module autonome : le cahier le charge seul, sans pouvoir importer de voisin.
 */

let instances = 0;

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

/** Une question complète ; `onJudged(juste)` est appelé à chaque vérification. */
function questionNode(question, number, name, onJudged) {
  const legend = h("legend", {}, `${number}. `, ...inline(question.prompt));
  const choices = question.choices.map((choice, index) => choiceNode(choice, name, index));
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

function render({ model, el }) {
  const questions = model.get("questions");
  const prefix = `cw-quiz-${(instances += 1)}`;
  const results = questions.map(() => false);
  const score = h("p", { class: "cw-summary", "aria-live": "polite" });
  const nodes = questions.map((question, index) =>
    questionNode(question, index + 1, `${prefix}-${index}`, (right) => {
      results[index] = right;
      score.textContent = scoreText(results.filter(Boolean).length, questions.length);
    }),
  );
  const title = model.get("title");
  const heading = h("p", { class: "cw-title" }, title);
  el.append(h("section", { class: "cw cw-quiz", "aria-label": title }, heading, ...nodes, score));
}

export default { render };
