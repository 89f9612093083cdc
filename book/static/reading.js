/** La bascule Lecture | Atelier : elle ouvre ou ferme les replis, et retient le choix. */

const root = document.documentElement;
const choices = document.querySelectorAll(".view-switch input");

/** Le premier passage qui commence sous l'en-tête : il ne doit pas bouger quand la vue change. */
function passageInView() {
  const top = document.querySelector(".view-switch").getBoundingClientRect().bottom;
  const passages = document.querySelectorAll(".bd-article :is(h1, h2, h3, p, figure, .cell_output)");
  return [...passages].find((passage) => {
    const box = passage.getBoundingClientRect();
    return box.height > 0 && box.top >= top && !passage.closest("details.role");
  });
}

/** @param {string} view « lecture » ou « atelier ». */
function show(view) {
  const passage = passageInView();
  const before = passage?.getBoundingClientRect().top;
  root.dataset.view = view;
  for (const fold of document.querySelectorAll("details.role")) fold.open = view === "atelier";
  if (passage) {
    const moved = passage.getBoundingClientRect().top - before;
    scrollBy({ top: moved, behavior: "instant" });
  }
  try {
    localStorage.setItem("cours-vue", view);
  } catch {
    // Le choix vaut pour cette page seulement.
  }
}

for (const choice of choices) {
  choice.checked = choice.value === root.dataset.view;
  choice.addEventListener("change", () => show(choice.value));
}
