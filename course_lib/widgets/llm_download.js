/**
 * Un gros fichier de poids : le télécharger une fois, en s’arrêtant et en reprenant, et le garder pour
 * la visite suivante, même hors ligne. Ce qui est gardé est vérifié comme ce qui vient d’arriver.
 */

import { checksum } from "./llm_weights.js";

const KEPT = "cours-modeles";

/** La réserve du navigateur ; null s’il n’en donne pas (page non sûre, navigation privée). */
async function openStore() {
  try {
    return await globalThis.caches.open(KEPT);
  } catch {
    return null;
  }
}

export class Download {
  /** @param {URL} url @param {number} size Octets annoncés. @param {number} sum Leur CRC-32. */
  constructor(url, size, sum) {
    this.url = url;
    this.size = size;
    this.sum = sum;
    this.stoppable = true;
    this.key = new URL(`?crc=${sum}`, url).href; // d’autres poids, une autre clé
    this.#restart();
  }

  #restart() {
    this.bytes = null;
    this.received = 0;
    this.tag = null;
  }

  /** Ce fichier est-il déjà sur l’appareil ? */
  async isKept() {
    return Boolean(await (await openStore())?.match(this.key));
  }

  /** Le fichier gardé, s’il est intact ; sinon null, et on l’oublie. @returns {Promise<Uint8Array|null>} */
  async kept() {
    const store = await openStore();
    const found = await store?.match(this.key);
    if (!found) return null;
    const bytes = new Uint8Array(await found.arrayBuffer());
    if (this.#isRight(bytes)) return bytes;
    await store.delete(this.key);
    return null;
  }

  #isRight(bytes) {
    return bytes.length === this.size && checksum(bytes) === this.sum;
  }

  /** Garde le fichier, et oublie les versions d’avant ; faux si la place manque. */
  async #keep(bytes) {
    const store = await openStore();
    if (!store) return false;
    try {
      for (const { url } of await store.keys()) {
        if (new URL(url).pathname === this.url.pathname) await store.delete(url);
      }
      await store.put(this.key, new Response(bytes, { headers: { "Content-Length": String(bytes.length) } }));
      return true;
    } catch {
      return false;
    }
  }

  /**
   * Rend le fichier, de la réserve ou du site. Interrompu par `signal` ou par une panne, il garde ce
   * qu’il a reçu : l’appel suivant reprend là, si le serveur sait servir la suite d’un fichier.
   * @param {(bytes: number) => void} onProgress @param {AbortSignal} signal
   * @returns {Promise<{bytes: Uint8Array, kept: boolean}>}
   */
  async read(onProgress, signal) {
    const known = await this.kept();
    if (known) return { bytes: known, kept: true };
    if (this.received < this.size) await this.#receive(onProgress, signal);
    const { bytes } = this;
    this.#restart();
    if (!this.#isRight(bytes)) throw new Error("Les poids reçus ne sont pas ceux que la page annonce.");
    return { bytes, kept: await this.#keep(bytes) };
  }

  async #receive(onProgress, signal) {
    const headers = this.received && this.tag ? { Range: `bytes=${this.received}-`, "If-Range": this.tag } : {};
    const response = await fetch(this.url, { headers, signal, cache: "no-store" });
    if (!response.ok) throw new Error(`${this.url.pathname} : réponse ${response.status}`);
    const resumed = response.status === 206 && response.headers.get("Content-Range")?.startsWith(`bytes ${this.received}-`);
    if (!resumed) this.#restart();
    this.tag = response.headers.get("ETag") ?? response.headers.get("Last-Modified");
    this.bytes ??= new Uint8Array(this.size);
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (this.received + value.length > this.size) {
        await reader.cancel();
        this.#restart();
        throw new Error(`${this.url.pathname} : plus long que les ${this.size} octets annoncés`);
      }
      this.bytes.set(value, this.received);
      onProgress((this.received += value.length));
    }
    if (this.received < this.size) throw new Error(`${this.url.pathname} : ${this.received} octets sur ${this.size}`);
  }
}
