// The scoreboard's filters and order, kept in the address ("#?verdict=refuted&find=layer").  Without a script the whole
// table stands there, in the order of the papers.
(function () {
  const start = () => {
    const table = document.getElementById("scoreboard");
    const bar = document.getElementById("filters");
    if (!table || !bar) { return; }
    const body = table.tBodies[0];
    const given = Array.from(body.rows);
    const texts = new Map(given.map((row) => [row, row.textContent.toLowerCase()]));
    const buttons = Array.from(bar.querySelectorAll("button[data-outcome]"));
    const field = (name) => document.getElementById("filter-" + name);
    const words = field("words"), section = field("section"), order = field("order");
    const shown = field("shown"), clear = field("clear");
    const chosen = (control) => (control ? control.value : "");
    const by = {
      given: (a, b) => given.indexOf(a) - given.indexOf(b),
      claim: (a, b) => a.dataset.place - b.dataset.place,
      verdict: (a, b) => a.dataset.rank - b.dataset.rank || a.dataset.place - b.dataset.place,
    };
    const heads = Array.from(table.tHead.querySelectorAll("th[data-order]"));
    let reversed = false;

    const show = () => {
      const verdicts = buttons.filter((b) => b.getAttribute("aria-pressed") === "true").map((b) => b.dataset.outcome);
      const asked = chosen(words).toLowerCase().split(/\s+/).filter(Boolean);
      let number = 0;
      for (const row of given) {
        const fits = (!verdicts.length || verdicts.includes(row.dataset.outcome))
          && (!chosen(section) || row.dataset.section === chosen(section))
          && asked.every((word) => texts.get(row).includes(word));
        row.hidden = !fits;
        number += fits ? 1 : 0;
      }
      shown.textContent = number === given.length ? "all " + number + " claims" : number + " of " + given.length + " claims";
      clear.hidden = !(verdicts.length || asked.length || chosen(section));
      keep({ verdict: verdicts.join(" "), section: chosen(section), find: words.value.trim(), order: order.value === "given" ? "" : order.value });
    };
    const keep = (asked) => {
      const said = new URLSearchParams(Object.entries(asked).filter(([, value]) => value)).toString();
      if (!said && !location.hash.startsWith("#?")) { return; }
      history.replaceState(null, "", said ? `#?${said}` : "#scoreboard");
    };
    const follow = () => {
      if (!location.hash.startsWith("#?")) { return false; }
      const asked = new URLSearchParams(location.hash.slice(2));
      const verdicts = (asked.get("verdict") || "").split(" ");
      for (const button of buttons) { button.setAttribute("aria-pressed", String(verdicts.includes(button.dataset.outcome))); }
      const take = (control, value, other) => { control.value = value; if (control.value !== value) { control.value = other; } };
      take(section, asked.get("section") || "", "");
      take(order, asked.get("order") || "given", "given");
      words.value = asked.get("find") || "";
      return true;
    };
    const sort = () => {
      const rows = given.slice().sort(by[order.value]);
      if (reversed) { rows.reverse(); }
      body.append(...rows);
      for (const head of heads) {
        if (head.dataset.order !== order.value) { head.removeAttribute("aria-sort"); continue; }
        head.setAttribute("aria-sort", reversed ? "descending" : "ascending");
      }
    };

    for (const head of heads) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        reversed = order.value === head.dataset.order && !reversed;
        order.value = head.dataset.order;
        sort();
        show();
      });
    }
    for (const button of buttons) {
      button.addEventListener("click", () => {
        button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
        show();
      });
    }
    section.addEventListener("change", show);
    words.addEventListener("input", show);
    order.addEventListener("change", () => { reversed = false; sort(); show(); });
    clear.addEventListener("click", () => {
      for (const button of buttons) { button.setAttribute("aria-pressed", "false"); }
      words.value = section.value = "";
      show();
      words.focus();
    });
    bar.hidden = false;
    if (follow()) { bar.scrollIntoView(); }
    window.addEventListener("hashchange", () => { if (follow()) { show(); sort(); } });
    show();
    sort();
  };
  document.addEventListener("DOMContentLoaded", start);
})();
