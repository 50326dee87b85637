// What a person does with the report: each test is one visit, by mouse or by keyboard, and says what was seen.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { addressOf, launch, opened, pagesOf, picture, settled } from "./browser.mjs";

const LIMIT = { timeout: 600_000 };
let browser;
before(async () => { browser = await launch(); });
after(async () => { await browser?.close(); });

/** A visit to a page; whatever the page does that no page may do ends the test. */
const visit = (title, name, act, settings = {}) => test(title, LIMIT, async () => {
  const { page, faults, context } = await opened(browser, addressOf(name, settings), settings);
  if (settings.script !== false) { await settled(page); }
  await act(page);
  await context.close();
  assert.deepEqual(faults, []);
});
const theme = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
const words = async (locator) => (await locator.textContent()).replace(/\s+/g, " ").trim();

describe("the scoreboard", () => {
  const rows = (page) => page.locator("#scoreboard tbody tr:visible");
  const values = (page, key) => rows(page).evaluateAll((all, name) => all.map((one) => one.dataset[name]), key);

  visit("shows the claims of one verdict, then of two, then all", "index", async (page) => {
    const all = await rows(page).count();
    const chips = page.getByRole("group", { name: "Verdicts" }).getByRole("button");
    const number = async (i) => Number(/(\d+)$/.exec(await words(chips.nth(i)))[1]);
    await chips.nth(0).click();
    assert.equal(await rows(page).count(), await number(0));
    assert.equal(new Set(await values(page, "outcome")).size, 1);
    assert.equal(await words(page.getByRole("status")), `${await number(0)} of ${all} claims`);
    await picture(page, "person-scoreboard-filtered", { whole: false });
    await chips.nth(1).click();
    assert.equal(await rows(page).count(), await number(0) + await number(1));
    assert.equal(await chips.nth(1).getAttribute("aria-pressed"), "true");
    await page.getByRole("button", { name: "Show all" }).click();
    assert.equal(await rows(page).count(), all);
    assert.equal(await words(page.getByRole("status")), `all ${all} claims`);
    assert.equal(await page.evaluate(() => document.activeElement.id), "filter-words");
  });

  visit("finds words of a statement, and says when there are none", "index", async (page) => {
    const wanted = (await words(page.locator("#scoreboard tbody tr .statement").last())).split(" ").slice(0, 3).join(" ").toLowerCase();
    await page.getByRole("searchbox", { name: "Find" }).fill(wanted);
    const found = await rows(page).allTextContents();
    assert.ok(found.length > 0);
    for (const text of found) { for (const word of wanted.split(" ")) { assert.ok(text.toLowerCase().includes(word)); } }
    await page.getByRole("searchbox", { name: "Find" }).fill("no such words anywhere");
    assert.equal(await rows(page).count(), 0);
    assert.match(await words(page.getByRole("status")), /^0 of \d+ claims$/);
  });

  visit("is ordered by a press on a heading, downwards and upwards, by keyboard too", "index", async (page) => {
    const given = await values(page, "place");
    const verdict = page.getByRole("columnheader", { name: "Verdict" });
    await verdict.getByRole("button").click();
    const ranks = (await values(page, "rank")).map(Number);
    assert.deepEqual(ranks, [...ranks].sort((a, b) => a - b));
    assert.equal(await verdict.getAttribute("aria-sort"), "ascending");
    await verdict.getByRole("button").press("Enter");
    const reversed = (await values(page, "rank")).map(Number);
    assert.deepEqual(reversed, [...ranks].sort((a, b) => b - a));
    assert.equal(await verdict.getAttribute("aria-sort"), "descending");
    await page.getByRole("combobox", { name: "Order" }).selectOption("claim");
    const places = (await values(page, "place")).map(Number);
    assert.deepEqual(places, [...places].sort((a, b) => a - b));
    await page.getByRole("combobox", { name: "Order" }).selectOption("given");
    assert.deepEqual(await values(page, "place"), given);
  });

  visit("keeps its filters in the address", "index", async (page) => {
    const verdict = page.locator("#filters button[data-outcome]").first();
    await verdict.click();
    await page.getByRole("combobox", { name: "Order" }).selectOption("claim");
    const [outcome, shown, address] = [await verdict.getAttribute("data-outcome"), await words(page.locator("#filter-shown")), page.url()];
    assert.equal(new URL(address).hash, `#?verdict=${outcome}&order=claim`);
    await page.goto("about:blank");
    await page.goto(address);
    await settled(page);
    assert.equal(await words(page.locator("#filter-shown")), shown);
    assert.equal(await page.locator("#filters button[aria-pressed=true]").getAttribute("data-outcome"), outcome);
    await page.getByRole("button", { name: "Show all" }).click();
    assert.doesNotMatch(page.url(), /verdict=/);
  });

  visit("leads to a claim, to the next one and back to the list", "index", async (page) => {
    const first = rows(page).first().locator("th a");
    const claim = await words(first);
    await first.click();
    assert.equal(await words(page.locator("h1")), `Claim ${claim}`);
    await page.getByRole("navigation", { name: "Neighbouring claims" }).getByRole("link").last().click();
    assert.notEqual(await words(page.locator("h1")), `Claim ${claim}`);
    await page.locator(".crumbs").getByRole("link", { name: "Claims" }).click();
    assert.equal(await words(page.locator("h1")), "The claims");
  });

  visit("stands there whole where no script runs", "index", async (page) => {
    assert.ok(await rows(page).count() > 0);
    assert.equal(await page.locator("#filters").isVisible(), false);
    assert.equal(await page.getByRole("button").count(), 0);
  }, { script: false });
});

describe("a page", () => {
  visit("is skipped to its content by the first key", "paper", async (page) => {
    await page.keyboard.press("Tab");
    const skip = page.getByRole("link", { name: "Skip to the content" });
    assert.ok((await skip.boundingBox()).x >= 0);
    await picture(page, "person-skip", { whole: false });
    await page.keyboard.press("Enter");
    await page.keyboard.press("Tab");
    assert.ok(await page.evaluate(() => document.querySelector("main").contains(document.activeElement)));
  });

  for (const scheme of ["light", "dark"]) {
    visit(`keeps the theme that a reader of a ${scheme} system chose, on the next page and after reloading`, "index", async (page) => {
      const before = await theme(page);
      const button = page.getByRole("button", { name: /theme/ });
      await button.click();
      const chosen = await theme(page);
      assert.notEqual(chosen, before);
      await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Methods" }).click();
      assert.equal(await theme(page), chosen);
      await page.reload();
      assert.equal(await theme(page), chosen);
      await page.getByRole("button", { name: /theme/ }).press("Space");
      assert.equal(await theme(page), before);
    }, { scheme });
  }

  visit("unfolds the data of a figure by keyboard", "paper", async (page) => {
    const data = page.locator("figure details.data").first();
    await data.locator("summary").focus();
    await page.keyboard.press("Enter");
    assert.ok(await data.getByRole("table").isVisible());
    assert.match(await data.getByRole("link").first().getAttribute("href"), /^data\/[\w.-]+\.csv$/);
    await data.scrollIntoViewIfNeeded();
    await picture(page, "person-data", { whole: false });
  });

  visit("says what a reference leads to, and gives every section an address", "index", async (page) => {
    const paper = page.locator("a[role=doc-biblioref]").first();
    assert.match(await paper.getAttribute("title"), /\d{4}/);
    const heading = page.locator("main h2").first();
    await heading.hover();
    await heading.getByText("#", { exact: true }).click();
    assert.equal(new URL(page.url()).hash, `#${await heading.getAttribute("id")}`);
  });

  visit("says where one is", "claims", async (page) => {
    assert.equal(await words(page.getByRole("navigation", { name: "Pages" }).locator("[aria-current=page]")), "Claims");
    await page.getByRole("navigation", { name: "On this page" }).getByRole("link").last().click();
    const heading = page.locator("h2").last();
    assert.ok((await heading.boundingBox()).y < 900);
  });
});

describe("the explorer", { skip: pagesOf().includes("neurons") ? false : "the report has no neurons" }, () => {
  const list = (page) => page.getByRole("listbox", { name: "Neurons found" });
  const title = (page) => words(page.locator("#panel h1"));
  const counted = (page) => words(page.locator("#count"));
  const names = (page) => page.locator("#rows .name").allTextContents();
  /** What changes the list takes a moment: the typing is waited out, tokens are read. */
  const changed = async (page, act) => {
    const before = await page.evaluate(() => document.documentElement.dataset.searches);
    await act();
    await page.waitForFunction((old) => document.documentElement.dataset.searches !== old, before);
  };
  const opens = async (page, act) => {
    const before = page.url();
    await act();
    await page.waitForFunction((old) => location.href !== old && decodeURIComponent(location.hash) === `#${document.querySelector("#panel h1").textContent}`, before);
  };

  visit("finds a neuron by its name and opens it by keyboard", "neurons", async (page) => {
    const all = await counted(page);
    const wanted = (await names(page))[1];
    await page.keyboard.press("/");
    assert.equal(await page.evaluate(() => document.activeElement.id), "search");
    await changed(page, () => page.keyboard.type(wanted));
    assert.ok((await names(page)).includes(wanted));
    assert.notEqual(await counted(page), all);
    await page.keyboard.press("ArrowDown");
    const active = await list(page).getAttribute("aria-activedescendant");
    const name = await words(page.locator(`[id="${active}"] .name`));
    await opens(page, () => page.keyboard.press("Enter"));
    assert.equal(await title(page), name);
    assert.equal(decodeURIComponent(new URL(page.url()).hash), `#${name}`);
    await picture(page, "person-neuron", { whole: false });
    await page.keyboard.press("Escape");
    // The address changes at once, the page only when it is told of that.
    await page.waitForFunction(() => location.hash === "" && document.querySelector("#panel h1").textContent === "Neuron explorer");
  });

  visit("walks to a partner by mouse, and back", "neurons", async (page) => {
    await opens(page, () => page.locator("#rows .row").first().click());
    const first = await title(page);
    const partner = page.locator("#panel table").first().locator("tbody th a").first();
    const name = await words(partner);
    await opens(page, () => partner.click());
    assert.equal(await title(page), name);
    await opens(page, () => page.goBack());
    assert.equal(await title(page), first);
    await opens(page, () => page.getByRole("button", { name: "Next neuron of the list" }).click());
    const second = await title(page);
    assert.notEqual(second, first);
    await opens(page, () => page.keyboard.press("k"));
    assert.equal(await title(page), first);
  });

  visit("is narrowed by every choice, and begins anew", "neurons", async (page) => {
    const all = await counted(page);
    const choose = (name, option) => changed(page, () => page.getByRole("combobox", { name }).selectOption(option));
    await choose("Universal with", { index: 3 });
    const some = await counted(page);
    assert.match(some, / of /);
    await choose("above", { label: "0.80" });
    assert.notEqual(await counted(page), some);
    await choose("Layer", { label: "0" });
    for (const name of await names(page)) { assert.match(name, /:L0\./); }
    await choose("Model", { index: 1 });
    const model = await page.getByRole("combobox", { name: "Model" }).evaluate((one) => one.selectedOptions[0].textContent);
    for (const name of await names(page)) { assert.ok(name.startsWith(`${model}:`)); }
    await choose("Ablation effect", { index: 1 });
    await picture(page, "person-narrowed", { whole: false });
    await changed(page, () => page.getByRole("button", { name: "Missed most when removed" }).click());
    assert.match(await words(page.locator(".sorting [aria-pressed=true]")), /^Effect/);
    const sizes = (await page.locator("#rows .row > :last-child").allTextContents()).map((text) => Number(text.replace("\u2212", "-").replaceAll("\u202f", "")));
    assert.deepEqual(sizes, [...sizes].sort((a, b) => b - a));
    await choose("above", { label: "0.50" });
    assert.equal((await counted(page)).replace(/.* of /, ""), all);
  });

  visit("finds neurons by a token, and says when there is none", "neurons", async (page) => {
    const box = page.getByRole("searchbox", { name: /Name of a neuron/ });
    await changed(page, () => box.fill("import"));
    assert.match(await counted(page), / of /);
    await changed(page, () => box.fill("no such token anywhere"));
    assert.match(await counted(page), /^0 of /);
    assert.ok(await page.getByText("No neuron is like this.").isVisible());
    await changed(page, () => box.press("Escape"));
    assert.doesNotMatch(await counted(page), / of /);
  });

  visit("opens at the neuron of a link, and forgives one to nobody", "neurons", async (page) => {
    const name = (await names(page))[4];
    await page.goto(addressOf("neurons", { hash: `#${name}` }));
    await page.reload();
    await settled(page);
    assert.equal(await title(page), name);
    assert.match(await page.title(), new RegExp(`^${name.replace(".", "\\.")} `));
    await page.goto(addressOf("neurons", { hash: "#nobody:L99.1" }));
    await page.reload();
    await settled(page);
    assert.equal(await title(page), "Neuron explorer");
    assert.match(await words(page.getByRole("alert")), /no neuron “nobody:L99\.1”/);
  });

  visit("says on a telephone too that a link leads nowhere", "neurons", async (page) => {
    assert.ok(await page.getByRole("alert").isVisible());
  }, { width: 360, hash: "#nobody:L99.1" });

  visit("keeps the neuron when the search is skipped by keyboard", "neurons", async (page) => {
    await opens(page, () => page.locator("#rows .row").first().click());
    const name = await title(page);
    await page.getByRole("link", { name: "Skip to the neuron" }).focus();
    await page.keyboard.press("Enter");
    assert.equal(await title(page), name);
    assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  });

  visit("moves the share with the threshold", "neurons", async (page) => {
    const share = async () => Number(/, ([\d.]+)\s%/.exec(await words(page.locator("#share-said")))[1]);
    const slider = page.getByRole("slider", { name: /Threshold/ });
    const [low, high] = [Number(await slider.getAttribute("min")), Number(await slider.getAttribute("max"))];
    assert.deepEqual([low, high], [0.3, 0.7]);
    const before = await share();
    await slider.focus();
    await changed(page, () => page.keyboard.press("ArrowRight"));
    assert.ok(await share() < before);
    await changed(page, () => page.keyboard.press("Home"));
    assert.ok(await share() > before);
    assert.equal(await page.getByRole("combobox", { name: "above" }).inputValue(), "0.3");
  });

  visit("says why a search found a neuron", "neurons", async (page) => {
    await changed(page, () => page.getByRole("searchbox", { name: /Name of a neuron/ }).fill("import"));
    assert.match(await words(page.locator("#rows .row .why").first()), /^(fires on|promotes) .*import/);
  });

  visit("shows the texts of a neuron beside those of its partners", "neurons", async (page) => {
    await opens(page, () => page.locator("#rows .row").first().click());
    const columns = page.locator(".beside > div");
    const own = await title(page);
    const heads = await columns.locator("h3").allTextContents();
    assert.equal(heads[0], own);
    assert.ok(heads.length > 1);
    assert.ok(heads.slice(1).every((name) => name.split(":")[0] !== own.split(":")[0]));
    for (const column of await columns.all()) { assert.ok(await column.locator("li").count() > 0); }
    await picture(page, "person-beside", { whole: false });
  });

  visit("shows the list or the neuron on a telephone, and leads back", "neurons", async (page) => {
    assert.ok(await page.getByRole("slider", { name: /Threshold/ }).isVisible());
    await opens(page, () => page.locator("#rows .row").first().click());
    assert.equal(await list(page).isVisible(), false);
    assert.equal(await page.evaluate(() => document.activeElement.localName), "h1");
    await picture(page, "person-telephone");
    await page.getByRole("link", { name: "List" }).click();
    await list(page).waitFor();
    assert.equal(await title(page), "Neuron explorer");
  }, { width: 360 });

  visit("changes its theme without losing the neuron", "neurons", async (page) => {
    await opens(page, () => page.locator("#rows .row").nth(2).click());
    const [name, before] = [await title(page), await theme(page)];
    await page.getByRole("button", { name: /theme/ }).click();
    assert.notEqual(await theme(page), before);
    assert.equal(await title(page), name);
    await picture(page, "person-neuron-dark", { whole: false });
  });

  visit("says what it needs where no script runs", "neurons", async (page) => {
    assert.match(await words(page.locator("noscript p")), /please allow it to run/);
    assert.ok(await page.locator("noscript p").isVisible());
    assert.equal(await page.locator(".finder").isVisible(), false);
  }, { script: false });
});
