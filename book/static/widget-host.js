/**
 * L'hôte des composants interactifs du site.
 *
 * `<course-widget module="x.js">` contient l'état (JSON) et une version figée. L'hôte charge le
 * module, écrit pour anywidget, et lui donne un `model` minimal : le même fichier vit ainsi dans le
 * cahier, avec un noyau, et sur la page, sans noyau.
 */

const MODULES = new URL("./widgets/", import.meta.url);

/** Le `model` d'anywidget, réduit à ce que nos modules emploient. */
class LocalModel {
  /** @param {Record<string, unknown>} state État initial du composant. */
  constructor(state) {
    this.state = { ...state };
    this.listeners = new Map();
  }

  /** @param {string} name */
  get(name) {
    return this.state[name];
  }

  /** Change une valeur et prévient ceux qui écoutent `change:nom` puis `change`. */
  set(name, value) {
    if (Object.is(this.state[name], value)) return;
    this.state[name] = value;
    this.#emit(`change:${name}`, value);
    this.#emit("change", value);
  }

  /** Sans noyau, il n'y a personne à qui transmettre l'état. */
  save_changes() {}

  on(event, listener) {
    if (!this.listeners.has(event)) this.listeners.set(event, new Set());
    this.listeners.get(event).add(listener);
  }

  off(event, listener) {
    if (!event) this.listeners.clear();
    else if (!listener) this.listeners.delete(event);
    else this.listeners.get(event)?.delete(listener);
  }

  #emit(event, value) {
    for (const listener of [...(this.listeners.get(event) ?? [])]) listener(value);
  }
}

/** Ajoute une fois la feuille de style commune. */
function loadStyle() {
  if (document.querySelector("link[data-course-widgets]")) return;
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = new URL("course-widgets.css", MODULES).href;
  link.dataset.courseWidgets = "";
  document.head.append(link);
}

/** Dit en français que le module n'a pas démarré ; la version figée reste en place. */
function failureNotice() {
  const notice = document.createElement("p");
  notice.className = "cw-error";
  notice.setAttribute("role", "status");
  notice.textContent =
    "Ce composant interactif n’a pas pu démarrer. Voici sa version figée\u202f; " +
    "rechargez la page pour réessayer.";
  return notice;
}

/** `<course-widget module="…">` : une version figée qui prend vie quand son module arrive. */
class CourseWidget extends HTMLElement {
  #started = false;
  #cleanup = null;

  connectedCallback() {
    if (this.#started) return;
    this.#started = true;
    this.ready = this.#start();
  }

  disconnectedCallback() {
    // Un simple déplacement dans la page détache puis rattache : on attend d'en être sûr.
    queueMicrotask(() => {
      if (!this.isConnected) this.#cleanup?.();
    });
  }

  async #start() {
    loadStyle();
    const live = document.createElement("div");
    live.className = "cw-live";
    try {
      const state = JSON.parse(this.querySelector("script[type='application/json']").textContent);
      const { default: widget } = await import(new URL(this.getAttribute("module"), MODULES).href);
      const definition = typeof widget === "function" ? await widget() : widget;
      const model = new LocalModel(state);
      await definition.initialize?.({ model });
      this.#cleanup = (await definition.render({ model, el: live })) ?? null;
      this.querySelector(".cw-fallback")?.replaceWith(live);
      this.dataset.state = "live";
    } catch (error) {
      console.warn("Composant interactif :", error);
      this.prepend(failureNotice());
      this.dataset.state = "failed";
    }
  }
}

if (!customElements.get("course-widget")) customElements.define("course-widget", CourseWidget);
