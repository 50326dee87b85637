// What a person does with the explorer, done by a script that a test adds to the page; what was seen goes into a dataset.
addEventListener("DOMContentLoaded", async () => {
  const seen = {};
  const at = (id) => document.getElementById(id);
  const until = async (what, isSo) => {
    for (let i = 0; i < 200; i += 1) {
      if (isSo()) { return; }
      await new Promise((resolve) => { setTimeout(resolve, 20); });
    }
    throw new Error(`waited for nothing: ${what}`);
  };
  const press = (key, target = document.activeElement) => target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  const write = (text) => { at("search").value = text; at("search").dispatchEvent(new Event("input", { bubbles: true })); };
  const choose = (id, value) => { at(id).value = value; at(id).dispatchEvent(new Event("change", { bubbles: true })); };
  const title = () => document.querySelector("#panel h1").textContent;
  const counted = () => at("count").textContent;
  const names = () => [...document.querySelectorAll("#rows .name")].map((one) => one.textContent);
  const isSettled = () => at("panel").getAttribute("aria-busy") === "false";
  try {
    await until("the data", () => document.documentElement.dataset.completeMs);
    await until("a panel", isSettled);
    seen.firstTitle = title();
    seen.all = counted();
    seen.firstNames = names().slice(0, 3);
    location.hash = "";
    await until("the overview", () => title() === "Neuron explorer");
    press("/", document.body);
    seen.slashFocuses = document.activeElement.id;
    write("L2.17");
    await until("a name", () => /of/.test(counted()));
    seen.byName = names();
    press("Enter");
    await until("the list", () => document.activeElement.id === "list");
    press("ArrowDown");
    seen.activeOption = document.getElementById(at("list").getAttribute("aria-activedescendant")).querySelector(".name").textContent;
    press("Enter");
    await until("a neuron", () => title().includes("L2.17") && isSettled());
    seen.opened = title();
    seen.hash = location.hash;
    seen.sections = [...document.querySelectorAll("#panel h2")].map((one) => one.textContent);
    seen.partners = [...document.querySelectorAll("#panel tbody th a")].map((one) => one.textContent);
    seen.snippet = document.querySelector(".snippets .said, .snippets .quiet").textContent;
    seen.peaks = document.querySelectorAll(".snippets .peak").length;
    document.querySelector("#panel tbody th a").click();
    await until("the partner", () => title() === seen.partners[0] && isSettled());
    history.back();
    await until("the way back", () => title() === seen.opened && isSettled());
    seen.back = title();
    press("Escape", document.body);
    await until("the overview again", () => title() === "Neuron explorer");
    seen.escapeFocuses = document.activeElement.id;
    const before = counted();
    write("import");
    await until("a token", () => counted() !== before);
    seen.byToken = counted();
    write("zzzzzz");
    await until("nothing", () => at("rows").textContent.includes("No neuron"));
    seen.nothing = counted();
    at("search").focus();
    press("Escape");
    await until("all", () => counted() === seen.all);
    choose("partners", "4");
    await until("a filter", () => counted() !== seen.all);
    seen.byPartners = counted();
    choose("threshold", "0.8");
    await until("a threshold", () => counted() !== seen.byPartners);
    seen.byThreshold = counted();
    choose("model", "1");
    await until("a model", () => counted() !== seen.byThreshold);
    seen.models = [...new Set(names().map((name) => name.slice(0, name.lastIndexOf(":"))))];
    const third = at("model").options[3].textContent;
    location.hash = `#?model=${encodeURIComponent(third)}&layer=1&least=2&above=0.6`;
    await until("a list that was asked for", () => at("model").value === "2" && at("layer").value === "1");
    seen.asked = [at("partners").value, at("threshold").value, at("search").value, title()];
    await until("its neurons", () => names().length > 0 && names().every((name) => name.startsWith(`${third}:L1.`)));
    seen.askedNames = counted();
    location.hash = "#?model=nobody&layer=99&above=x";
    await until("a list of nothing that is there", () => at("model").value === "-1" && counted() === seen.all);
    document.querySelector(".sorting button").click();
    await until("an order", () => document.querySelector(".sorting button").getAttribute("aria-pressed") === "true");
    seen.theme = [document.documentElement.dataset.theme || "", (at("theme").click(), document.documentElement.dataset.theme)];
  } catch (wrong) { seen.error = String(wrong.stack || wrong); }
  seen.elements = [...document.querySelectorAll("*")].map((one) => one.localName).filter((name) => ["img", "iframe", "object", "b", "script"].includes(name)).join();
  seen.ran = "ran" in window;
  document.documentElement.dataset.seen = JSON.stringify(seen);
});
