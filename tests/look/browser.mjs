// A browser that reaches no network, and what every test of the built report wants to know of a page in it.
//
// Where things are comes from the session that starts the tests (noxfile.py, `look`): LOOK_REPORT is the folder of the
// report, LOOK_OUTPUT that of the pictures, LOOK_MODULES that of the installed packages, LOOK_BROWSER the program.
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, relative, sep } from "node:path";
import { pathToFileURL } from "node:url";

const place = (name) => {
  assert.ok(process.env[name], `${name} is not set; run: nox -s look`);
  return process.env[name];
};
const require = createRequire(join(place("LOOK_MODULES"), "package.json"));
const { chromium } = require("playwright-core");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

export const REPORT = place("LOOK_REPORT");
export const OUTPUT = place("LOOK_OUTPUT");
export const AXE_VERSION = require("axe-core/package.json").version;
export const WIDTHS = [360, 1200, 1600];
export const SCHEMES = ["light", "dark"];
const HEIGHTS = { 360: 740, 1200: 900, 1600: 1000 };
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
// A machine that does other work beside this one is slow, not wrong.
const PATIENCE = 180_000;
const ARGUMENTS = ["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

export const launch = () => {
  // As root, as containers run it, the browser starts without its sandbox only; what it opens is our own pages.
  const root = process.getuid?.() === 0;
  return chromium.launch({ executablePath: place("LOOK_BROWSER"), chromiumSandbox: !root, args: root ? [...ARGUMENTS, "--no-sandbox"] : ARGUMENTS });
};

/** The pages of the report in `folder`, by name without suffix: "index", "claims/n1". */
export const pagesOf = (folder = REPORT) => readdirSync(folder, { recursive: true })
  .map((name) => name.split(sep).join("/"))
  .filter((name) => name.endsWith(".html") && !name.startsWith("source/"))
  .map((name) => name.slice(0, -".html".length))
  .sort();

export const addressOf = (name, { folder = REPORT, hash = "" } = {}) => pathToFileURL(join(folder, `${name}.html`)).href + hash;

/**
 * A page in a window of its own, and in `faults` whatever it does that no page of the report may do: ask for anything
 * outside its folder, break its own policy, or throw.
 */
export const opened = async (browser, address, { width = 1200, scheme = "light", folder = REPORT, script = true, still = true } = {}) => {
  const context = await browser.newContext({
    viewport: { width, height: HEIGHTS[width] ?? 900 }, colorScheme: scheme, offline: true, javaScriptEnabled: script,
    reducedMotion: still ? "reduce" : "no-preference",
  });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  const faults = [];
  const home = pathToFileURL(join(folder, "/")).href;
  page.on("request", (request) => {
    if (!request.url().startsWith(home) && !request.url().startsWith("data:")) { faults.push(`request leaves the report: ${request.url()}`); }
  });
  page.on("console", (message) => { if (message.type() === "error" || message.type() === "warning") { faults.push(`${message.type()}: ${message.text()}`); } });
  page.on("pageerror", (wrong) => faults.push(`thrown: ${wrong.message}`));
  await page.goto(address, { waitUntil: "load" });
  return { page, faults, context };
};

/** Wait until the explorer has all its data; nothing to wait for on another page. */
export const settled = async (page) => {
  if (await page.locator("body.explorer").count()) {
    await page.waitForFunction(() => document.documentElement.dataset.completeMs && document.getElementById("panel").getAttribute("aria-busy") === "false");
  }
};

/** What axe-core finds, of every impact, as lines; the rules of WCAG 2.2 AA and those that axe calls best practice. */
export const axe = async (page) => {
  if (!(await page.evaluate(() => "axe" in window))) { await page.evaluate(AXE); }
  const { violations, incomplete } = await page.evaluate(
    (values) => window.axe.run(document, { runOnly: { type: "tag", values }, resultTypes: ["violations", "incomplete"] }), RULES);
  const lines = (found) => found.flatMap((rule) => rule.nodes.map((node) => ({
    rule: rule.id, impact: node.impact ?? rule.impact, where: node.target.join(" "), why: (node.any[0] ?? node.all[0] ?? node.none[0])?.message ?? rule.help,
  })));
  return { violations: lines(violations), incomplete: lines(incomplete) };
};

/** A finding of axe as one line. */
export const said = (finding) => `${finding.impact}: ${finding.rule} at ${finding.where}: ${finding.why}`;

/** What axe does not look for, as lines: see `layoutFaults` below, which runs in the page. */
export const layout = (page) => page.evaluate(layoutFaults);

/* Runs in the page.  What stands beyond the edge of the window, labels of drawings that cover each other, are cut off or
 * too small or faint to read, numbers of a column whose points are not under each other. */
function layoutFaults() {
  const faults = [];
  const name = (element) => {
    const owner = element.closest("[id]");
    const label = element.id ? `#${element.id}` : `${element.localName}${element.classList.length ? `.${[...element.classList].join(".")}` : ""}`;
    return owner && owner !== element ? `#${owner.id} ${label}` : label;
  };
  const isShown = (element) => element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true });
  const scrolls = (element) => {
    for (let one = element; one && one !== document.body; one = one.parentElement) {
      const style = getComputedStyle(one);
      if (style.overflowX !== "visible" || style.position === "fixed" || style.clipPath !== "none") { return true; }
    }
    return false;
  };

  const across = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (across > 0) {
    const wide = [...document.querySelectorAll("body *")].filter((one) => isShown(one) && !scrolls(one) && one.getBoundingClientRect().right > innerWidth + 1);
    faults.push(`the page is ${across} px wider than the window: ${wide.slice(0, 3).map(name).join(", ")}`);
  }

  const light = (colour) => {
    const [r, g, b] = colour.match(/[\d.]+/g).map(Number).map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = light(getComputedStyle(document.body).backgroundColor);
  for (const svg of document.querySelectorAll("svg[role=img]")) {
    if (!isShown(svg)) { continue; }
    const texts = [...svg.querySelectorAll("text")].filter((one) => one.textContent.trim() && isShown(one)).map((one) => {
      const box = one.getBoundingClientRect();
      // The box has the height of a line; the letters take the middle of it.
      const inset = box.height * 0.2;
      return { one, left: box.left, right: box.right, top: box.top + inset, bottom: box.bottom - inset };
    });
    const figure = name(svg), frame = svg.parentElement.getBoundingClientRect();
    for (const text of texts) {
      const words = text.one.textContent.trim();
      if (text.right > Math.max(frame.right, frame.left + svg.getBoundingClientRect().width) + 2 || text.left < frame.left - 2) { faults.push(`${figure}: "${words}" stands out of its figure`); }
      const size = parseFloat(getComputedStyle(text.one).fontSize) * text.one.getScreenCTM().a;
      if (Math.abs(text.one.getScreenCTM().b) < 1e-6 && size < 9.9) { faults.push(`${figure}: "${words}" is ${size.toFixed(1)} px high`); }
      const fill = light(getComputedStyle(text.one).fill);
      const contrast = (Math.max(fill, ground) + 0.05) / (Math.min(fill, ground) + 0.05);
      if (contrast < 4.5) { faults.push(`${figure}: "${words}" has a contrast of ${contrast.toFixed(2)}`); }
    }
    texts.forEach((a, i) => texts.slice(i + 1).forEach((b) => {
      const over = Math.min(a.right, b.right) - Math.max(a.left, b.left), down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (over > 1 && down > 1) { faults.push(`${figure}: "${a.one.textContent.trim()}" covers "${b.one.textContent.trim()}"`); }
    }));
  }

  // Where the integer part of the first number of a cell ends.
  const point = (cell) => {
    const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const found = /\d[\d\u202f]*/.exec(node.data);
      if (!found || node.parentElement.closest(".interval, .unseen")) { continue; }
      const range = document.createRange();
      range.setStart(node, found.index);
      range.setEnd(node, found.index + found[0].length);
      return range.getBoundingClientRect().right;
    }
    return null;
  };
  for (const table of document.querySelectorAll("table")) {
    const columns = new Map();
    for (const row of table.tBodies[0]?.rows ?? []) {
      [...row.cells].forEach((cell, i) => {
        const number = cell.classList.contains("number") ? cell : cell.querySelector(":scope > .value");
        if (!number || !isShown(cell)) { return; }
        const at = point(number);
        if (at !== null) { columns.set(i, [...(columns.get(i) ?? []), at]); }
      });
    }
    for (const [i, points] of columns) {
      const apart = Math.max(...points) - Math.min(...points);
      if (apart > 1) { faults.push(`${name(table)}: the points of column ${i + 1} (${table.tHead?.rows[0]?.cells[i]?.textContent}) are ${apart.toFixed(1)} px apart`); }
    }
  }
  return [...new Set(faults)];
}

/** A picture of the page, whole or what the window shows. */
export const picture = async (page, name, { whole = true } = {}) => {
  mkdirSync(OUTPUT, { recursive: true });
  const path = join(OUTPUT, `${name.replaceAll("/", "-")}.png`);
  await page.screenshot({ path, fullPage: whole });
  return relative(process.cwd(), path);
};
