// The theme switch, links to sections, what a reference leads to, and which tables scroll.  Without it (no script, no storage) the pages follow
// the reader's system and say the same.
(function () {
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try { chosen = localStorage.getItem("theme"); } catch (_) { /* a file opened without storage */ }
  if (chosen === "light" || chosen === "dark") { root.dataset.theme = chosen; }
  const isDark = () => (root.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
  document.addEventListener("DOMContentLoaded", () => {
    for (const heading of document.querySelectorAll("main > :is(h2, h3)[id]")) {
      const link = document.createElement("a");
      link.className = "anchor";
      link.href = `#${heading.id}`;
      // A heading is not read with its address, and the contents lead there by keyboard.
      link.setAttribute("aria-hidden", "true");
      link.tabIndex = -1;
      link.textContent = "#";
      heading.append(link);
    }
    for (const link of document.querySelectorAll("a[role=doc-biblioref]")) {
      const target = document.getElementById(decodeURIComponent(link.hash.slice(1)));
      const words = target && (target.querySelector("figcaption") || target).textContent.trim().replace(/\s+/g, " ");
      if (words) { link.title = words; }
    }
    const hint = () => {
      for (const one of document.querySelectorAll("main .scroll")) { one.toggleAttribute("data-wider", one.scrollWidth > one.clientWidth + 1); }
    };
    hint();
    window.addEventListener("resize", hint);
    document.addEventListener("toggle", hint, true);
    const button = document.getElementById("theme");
    if (!button) { return; }
    const name = () => { button.textContent = isDark() ? "Light" : "Dark"; };
    button.setAttribute("aria-label", "Switch between the light and the dark theme");
    button.hidden = false;
    name();
    dark.addEventListener("change", name);
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      try { localStorage.setItem("theme", root.dataset.theme); } catch (_) { /* for this page only */ }
      name();
    });
  });
})();
