/** Un modèle trop lourd pour venir sans qu’on le demande : un bouton dit son poids, le lecteur décide. */

import { button, format, h } from "./nodes.js";

const FAILURE = "Le modèle n’a pas pu être chargé. Réessayez\u202f: ce qui est déjà reçu n’est pas perdu.";
const megabytes = (bytes) => `${format(bytes / 1e6, 1)}\u00a0Mo`;

/**
 * Le bouton, l’avancement, l’annulation. Même usage que `Loader` : `ensure()`, `touch()`, `node`.
 * `source.read(avancement, signal)` rend les octets et dit s’ils sont gardés ; `source.isKept()` : ils
 * sont déjà là ; `source.stoppable` : l’annulation a un sens ; `ready(octets)` prépare le composant vivant.
 */
export class Offer {
  constructor(size, source, ready) {
    this.size = size;
    this.source = source;
    this.ready = ready;
    this.promise = null;
    this.first = true; // avant les boutons qui l’attendent
    this.stop = null; // interrompt le téléchargement en cours
    this.go = button("", () => this.ensure());
    this.cancel = button("Annuler", () => this.stop?.abort(), true);
    this.progress = h("progress", { max: size, value: 0, "aria-label": "Chargement du modèle" });
    this.status = h("p", { role: "status", class: "cw-help" });
    this.node = h("div", { class: "cw-loader cw-offer" }, this.go, this.progress, this.cancel, this.status);
    this.#idle(`Charger le modèle (${megabytes(size)})`, "Il reste ensuite sur votre appareil, et tourne dans cette page, même hors ligne.");
    this.known = this.#greet();
  }

  /** Au retour du lecteur, le modèle est déjà là. */
  async #greet() {
    if (!(await this.source.isKept()) || this.promise) return;
    this.#idle("Ouvrir le modèle", `Il est déjà sur votre appareil (${megabytes(this.size)})\u202f: rien à télécharger.`);
  }

  /** Vrai quand le modèle est là ; faux s’il n’est pas venu, et le prochain appel reprend. */
  ensure() {
    this.promise ??= this.#start();
    return this.promise;
  }

  /** Se servir du composant ne suffit pas : seul le bouton fait venir le modèle. */
  touch() {}

  async #start() {
    this.stop = new AbortController();
    this.#busy();
    try {
      const { bytes, kept } = await this.source.read((received) => this.#show(received), this.stop.signal);
      await this.ready(bytes);
      this.go.hidden = this.cancel.hidden = this.progress.hidden = true;
      this.node.hidden = kept;
      this.#tell(kept ? "" : "Votre navigateur n’a pas pu garder le modèle\u202f: il faudra le recharger à la prochaine visite.");
      return true;
    } catch (error) {
      this.#fail(error);
      return false;
    }
  }

  #fail(error) {
    const stopped = this.stop.signal.aborted;
    this.promise = null;
    if (!stopped) console.warn("Modèle de langue :", error);
    const { value: received, max: size } = this.progress;
    const partial = received > 0 && received < size;
    const label = partial ? `Reprendre (${megabytes(received)} sur ${megabytes(size)})` : `Charger le modèle (${megabytes(size)})`;
    this.#idle(label, stopped ? "Chargement interrompu." : (error.told ?? FAILURE));
    if (!stopped) this.status.className = "cw-error";
    this.go.focus();
  }

  #show(received) {
    this.progress.value = received;
    this.#tell(received < this.size ? `${megabytes(received)} sur ${megabytes(this.size)}` : "Ouverture…");
  }

  #busy() {
    this.go.hidden = true;
    this.progress.hidden = false;
    this.cancel.hidden = !this.source.stoppable;
    this.#tell("Chargement…");
    if (this.source.stoppable) this.cancel.focus();
  }

  #idle(label, told) {
    this.go.textContent = label;
    this.go.hidden = false;
    this.cancel.hidden = this.progress.hidden = true;
    this.#tell(told);
  }

  #tell(text) {
    this.status.className = "cw-help";
    this.status.textContent = text;
    this.status.hidden = !text;
  }
}
