// The scoreboard's filters and order.  Without a script the whole table stands there, in the order of the papers.
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
    const words = field("words"), section = field("section"), suite = field("suite"), order = field("order");
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
          && (!chosen(suite) || row.dataset.suite === chosen(suite))
          && asked.every((word) => texts.get(row).includes(word));
        row.hidden = !fits;
        number += fits ? 1 : 0;
      }
      shown.textContent = number === given.length ? "all " + number + " claims" : number + " of " + given.length + " claims";
      clear.hidden = !(verdicts.length || asked.length || chosen(section) || chosen(suite));
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
      });
    }
    for (const button of buttons) {
      button.addEventListener("click", () => {
        button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
        show();
      });
    }
    for (const control of [section, suite]) { if (control) { control.addEventListener("change", show); } }
    words.addEventListener("input", show);
    order.addEventListener("change", () => { reversed = false; sort(); });
    clear.addEventListener("click", () => {
      for (const button of buttons) { button.setAttribute("aria-pressed", "false"); }
      for (const control of [words, section, suite]) { if (control) { control.value = ""; } }
      show();
      words.focus();
    });
    bar.hidden = false;
    show();
    sort();
  };
  document.addEventListener("DOMContentLoaded", start);
})();
