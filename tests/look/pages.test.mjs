// Every page of the built report, light and dark, on a telephone, a laptop and a wide screen, on paper and by keyboard.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { AXE_VERSION, OUTPUT, REPORT, SCHEMES, WIDTHS, addressOf, axe, layout, launch, opened, pagesOf, picture, said, settled } from "./browser.mjs";

const LIMIT = { timeout: 600_000 };
const names = pagesOf();
assert.ok(names.includes("index"), `${REPORT} holds no report; run: nox -s report`);

/** Pages that a reader meets first, and one claim of every verdict: those that pictures are kept of. */
const isPictured = (() => {
  const seen = new Set();
  const chosen = names.filter((name) => {
    if (!name.startsWith("claims/")) { return true; }
    const verdict = /data-verdict="(\w+)"/.exec(readFileSync(join(REPORT, `${name}.html`), "utf8").split("<main")[1])?.[1];
    return verdict !== undefined && !seen.has(verdict) && seen.add(verdict);
  });
  return (name) => chosen.includes(name);
})();

/** The explorer is two pages in one: the list, and one neuron. */
const views = [...names.map((name) => ({ name, view: name, hash: "" }))];
const results = [];
let browser;

before(async () => {
  browser = await launch();
  if (names.includes("neurons")) {
    const { page, context } = await opened(browser, addressOf("neurons"));
    await settled(page);
    const first = await page.locator("#rows .name").first().textContent();
    views.find((one) => one.name === "neurons").neuron = `#${first}`;
    await context.close();
  }
});

after(async () => {
  await browser?.close();
  const violations = results.flatMap((one) => one.violations);
  const number = (impact) => violations.filter((one) => one.impact === impact).length;
  const summary = {
    axe: AXE_VERSION, pages: names.length, runs: results.length,
    critical: number("critical"), serious: number("serious"), moderate: number("moderate"), minor: number("minor"),
    undecided: results.reduce((sum, one) => sum + one.incomplete.length, 0),
    bytes: Object.fromEntries(names.map((name) => [name, statSync(join(REPORT, `${name}.html`)).size])),
  };
  mkdirSync(OUTPUT, { recursive: true });
  writeFileSync(join(OUTPUT, "axe.json"), `${JSON.stringify({ ...summary, results: results.filter((one) => one.violations.length || one.incomplete.length) }, null, 1)}\n`);
  console.log(`axe-core ${AXE_VERSION}: ${summary.pages} pages, ${summary.runs} runs: ${summary.critical} critical, ${summary.serious} serious, ${summary.moderate} moderate, ${summary.minor} minor findings`);
});

const inspected = async (page, where) => {
  const found = await axe(page);
  results.push({ where, ...found });
  return [...found.violations.map(said), ...await layout(page)].map((line) => `${where}: ${line}`);
};

describe("every page is sound", { concurrency: 2 }, () => {
  for (const { name } of views) {
    for (const width of WIDTHS) {
      test(`${name} at ${width} px, light and dark`, LIMIT, async () => {
        const found = [];
        for (const hash of name === "neurons" ? ["", views.find((one) => one.name === name).neuron] : [""]) {
          const view = hash ? `${name}-one` : name;
          const { page, faults, context } = await opened(browser, addressOf(name, { hash }), { width });
          await settled(page);
          for (const scheme of SCHEMES) {
            await page.emulateMedia({ colorScheme: scheme });
            found.push(...await inspected(page, `${view}, ${width} px, ${scheme}`));
            if (isPictured(name)) { await picture(page, `${view}-${width}-${scheme}`); }
          }
          await context.close();
          found.push(...faults);
        }
        assert.deepEqual(found, []);
      });
    }
    test(`${name} with everything unfolded`, LIMIT, async () => {
      const { page, faults, context } = await opened(browser, addressOf(name, { hash: views.find((one) => one.name === name).neuron ?? "" }), { width: WIDTHS[0] });
      await settled(page);
      await page.evaluate(() => { for (const one of document.querySelectorAll("details")) { one.open = true; } });
      const found = await inspected(page, `${name}, unfolded`);
      await context.close();
      assert.deepEqual([...found, ...faults], []);
    });
    test(`${name} on paper, whatever the theme`, LIMIT, async () => {
      // A sheet of A4 less its margins, in CSS pixels.
      const { page, context } = await opened(browser, addressOf(name), { width: 680, scheme: "dark" });
      await settled(page);
      await page.evaluate(() => { document.documentElement.dataset.theme = "dark"; });
      await page.emulateMedia({ media: "print", colorScheme: "dark" });
      const found = await layout(page);
      const shown = await page.evaluate(() => ({
        ground: getComputedStyle(document.body).backgroundColor, ink: getComputedStyle(document.body).color,
        useless: [...document.querySelectorAll("nav, button:not(th button), input, select, .skip, details.data")].filter((one) => one.checkVisibility()).map((one) => one.outerHTML.slice(0, 60)),
      }));
      if (isPictured(name)) {
        mkdirSync(join(OUTPUT, "print"), { recursive: true });
        await page.pdf({ path: join(OUTPUT, "print", `${name.replaceAll("/", "-")}.pdf`), format: "A4", margin: { top: "18mm", bottom: "18mm", left: "15mm", right: "15mm" } });
      }
      await context.close();
      assert.deepEqual([found, shown], [[], { ground: "rgb(255, 255, 255)", ink: "rgb(0, 0, 0)", useless: [] }]);
    });
    test(`${name} at 320 px with its words spaced out`, LIMIT, async () => {
      // The spacing that a reader may set without losing anything: WCAG 1.4.12; the width: 1.4.10.
      const { page, context } = await opened(browser, addressOf(name), { width: 320 });
      await settled(page);
      await page.addStyleTag({ content: "* { line-height: 1.5 !important; letter-spacing: 0.12em !important; word-spacing: 0.16em !important; } p { margin-bottom: 2em !important; }" });
      const across = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      await context.close();
      assert.ok(across <= 0, `${across} px wider than the window`);
    });
  }
});

describe("a page is read in order", { concurrency: 2 }, () => {
  for (const name of names.filter(isPictured)) {
    test(`${name} has one title, its landmarks, and no gap in its headings`, LIMIT, async () => {
      const { page, context } = await opened(browser, addressOf(name));
      await settled(page);
      const parts = await page.evaluate(() => {
        const number = (selector) => document.querySelectorAll(selector).length;
        const levels = [...document.querySelectorAll("h1, h2, h3, h4")].filter((one) => one.checkVisibility()).map((one) => Number(one.localName[1]));
        const labels = [...document.querySelectorAll("nav")].map((one) => one.getAttribute("aria-label"));
        return {
          titles: [...document.querySelectorAll("h1")].filter((one) => one.checkVisibility()).length, mains: number("main"), headers: number("body > header"), footers: number("body > footer"), language: document.documentElement.lang,
          unnamed: labels.filter((label, i) => !label || labels.indexOf(label) !== i), gaps: levels.filter((level, i) => level > (levels[i - 1] ?? 0) + 1),
        };
      });
      await context.close();
      assert.deepEqual(parts, { titles: 1, mains: 1, headers: 1, footers: 1, language: "en-GB", unnamed: [], gaps: [] });
    });
    test(`${name} by keyboard: down the page, nowhere lost, nowhere caught, always seen`, LIMIT, async () => {
      const { page, context } = await opened(browser, addressOf(name));
      await settled(page);
      await page.evaluate(() => { window.before = null; });
      const wrong = [];
      let stops = 0;
      for (; stops < 2000; stops += 1) {
        await page.keyboard.press("Tab");
        const fault = await page.evaluate(() => {
          const one = document.activeElement, last = window.before;
          if (one === document.body || one === null) { return "end"; }
          window.before = one;
          const box = one.getBoundingClientRect(), style = getComputedStyle(one);
          const name = `${one.localName} ${(one.getAttribute("aria-label") ?? one.textContent).trim().slice(0, 40)}`;
          if (last === one) { return "end"; }
          if (last && !(last.compareDocumentPosition(one) & Node.DOCUMENT_POSITION_FOLLOWING)) { return `${name}: comes before what was focused before it`; }
          if (!one.matches(":focus-visible") || style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2) { return `${name}: focus is not seen`; }
          if (box.bottom < 0 || box.top > innerHeight || box.right < 0 || box.left > innerWidth || !box.width) { return `${name}: stands outside the window`; }
          return null;
        });
        if (fault === "end") { break; }
        if (fault) { wrong.push(fault); }
      }
      await context.close();
      assert.deepEqual(wrong, []);
      assert.ok(stops > 3 && stops < 2000, `${stops} stops`);
    });
  }
  test("nothing moves for a reader who asked for that", LIMIT, async () => {
    const motions = [];
    for (const still of [true, false]) {
      const { page, context } = await opened(browser, addressOf("index"), { still });
      motions.push(await page.evaluate(() => ({
        scrolling: getComputedStyle(document.documentElement).scrollBehavior,
        moving: [...document.querySelectorAll("*")].filter((one) => { const s = getComputedStyle(one); return parseFloat(s.transitionDuration) > 0 || parseFloat(s.animationDuration) > 0; }).length,
      })));
      await context.close();
    }
    assert.deepEqual(motions, [{ scrolling: "auto", moving: 0 }, { scrolling: "smooth", moving: 0 }]);
  });
});
