/**
 * Chaque résultat de la recherche mène à la section qui contient le mot, et non au début d'une
 * longue page. Sphinx demande un extrait par page : on lui rend celui de la section trouvée.
 */

const fold = (text) => text.normalize("NFD").replace(/\p{Mn}/gu, "").toLowerCase();

/** La section la plus courte dont la prose contient le plus de mots cherchés. */
function bestSection(main, words) {
  let best = null;
  for (const section of main.querySelectorAll("section[id]")) {
    const text = fold(section.textContent);
    const found = words.filter((word) => text.includes(word)).length;
    // Les sections se suivent de la plus large à la plus fine : à égalité, la dernière emboîtée.
    if (found && (!best || found > best.found || (found === best.found && best.section.contains(section))))
      best = { section, found };
  }
  return best?.section;
}

/** Un lien vers la section, au-dessus de son extrait. */
function sectionLink(page, section) {
  const title = section.querySelector("h1, h2, h3, h4");
  if (!title || title.tagName === "H1") return null;
  const link = document.createElement("a");
  link.href = `${page}#${section.id}`;
  link.className = "search-section";
  link.textContent = `→ ${title.textContent.replace(/#$/, "").trim()}`;
  return link;
}

const summarize = Search.makeSearchSummary;
Search.makeSearchSummary = (html, words, anchor) => {
  if (anchor) return summarize(html, words, anchor);
  const page = new DOMParser().parseFromString(html, "text/html");
  const main = page.querySelector('[role="main"]');
  main?.querySelectorAll("pre, script, style, course-widget").forEach((node) => node.remove());
  const section = main && bestSection(main, [...words].map(fold));
  if (!section) return summarize(html, words, anchor);
  const result = document.createElement("div");
  const name = page.querySelector("link[rel=canonical]")?.href ?? pageName(page);
  const link = sectionLink(name, section);
  if (link) result.append(link);
  result.append(summarize(html, words, `#${CSS.escape(section.id)}`));
  return result;
};

/** L'adresse d'une page, d'après ce qu'elle dit d'elle-même. */
function pageName(page) {
  const script = [...page.scripts].find((node) => node.textContent.includes("OPTIONS.pagename"));
  return `${/pagename = '([^']+)'/.exec(script.textContent)[1]}.html`;
}
