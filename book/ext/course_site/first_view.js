// Écrit dans l'en-tête de la page : la vue est choisie avant que rien ne paraisse.
(() => {
  const root = document.documentElement;
  root.dataset.view = "lecture";
  try {
    if (localStorage.getItem("cours-vue") === "atelier") root.dataset.view = "atelier";
  } catch {
    // Un navigateur qui ne garde rien : Lecture.
  }
  if (root.dataset.view === "lecture") return;
  // En Atelier, chaque repli s'ouvre dès qu'il est lu, avant d'être dessiné.
  const open = () => {
    for (const fold of document.querySelectorAll("details.role:not([open])")) fold.open = true;
  };
  const watch = new MutationObserver(open);
  watch.observe(root, { childList: true, subtree: true });
  addEventListener("DOMContentLoaded", () => {
    watch.disconnect();
    open();
  });
})();
