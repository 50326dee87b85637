// The checks themselves: a page that is sound passes, and each fault planted in it is found.  A check that finds nothing
// anywhere would look like a report without faults.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { addressOf, axe, layout, launch, opened, said } from "./browser.mjs";

const LIMIT = { timeout: 600_000 };
const chart = (words) => `<figure><svg role="img" aria-label="A chart." viewBox="0 0 300 100" width="300" height="100" style="font: 12px sans-serif">${words}</svg></figure>`;
const table = (...cells) => `<table><thead><tr><th scope="col">n</th></tr></thead><tbody>${cells.map((one) => `<tr><td class="number" style="text-align: right">${one}</td></tr>`).join("")}</tbody></table>`;
const SOUND = `${chart('<text x="10" y="20">one</text><text x="100" y="20">two</text>')}${table("1.5", "10.2")}<p>Words.</p>`;
const PLANTED = {
  "words that are too faint": ['<p style="color: #aaa">Words.</p>', /serious: color-contrast at p/],
  "a picture without words": ['<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">', /critical: image-alt at img/],
  "a control without a name": ["<input>", /critical: label at input/],
  "a request": ['<img alt="far" src="https://example.org/x.png">', /request leaves the report: https:\/\/example\.org\/x\.png/],
  "a request for a file outside the report": ['<img alt="near" src="../x.png">', /request leaves the report: file:/],
  "an error of a script": ["<script>throw new Error('broken');</script>", /thrown: broken/],
  "a page wider than its window": ['<div style="width: 3000px">wide</div>', /wider than the window: div/],
  "labels that cover each other": [chart('<text x="10" y="20">one label</text><text x="30" y="22">another</text>'), /"one label" covers "another"/],
  "a label that is cut off": [chart('<text x="280" y="20" >far beyond the edge of it</text>'), /stands out of its figure/],
  "a label that is too small": [chart('<text x="10" y="20" style="font-size: 8px">one</text>'), /"one" is 8\.0 px high/],
  "a label that is too faint": [chart('<text x="10" y="20" fill="#e69f00">one</text>'), /"one" has a contrast of 2\.\d\d/],
  "points that are not under each other": [table("1.50", "10.2"), /the points of column 1 \(n\) are \d+\.\d px apart/],
};
let browser, folder;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "look-"));
  browser = await launch();
});
after(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true });
});

const found = async (body) => {
  const page = `<!DOCTYPE html><html lang="en-GB"><head><title>A page</title><style>body { background: #fff; color: #000; margin: 0; font-family: sans-serif } figure { margin: 0; width: 300px }</style></head><body><main><h1>A page</h1>${body}</main></body></html>`;
  writeFileSync(join(folder, "index.html"), page);
  const { page: shown, faults, context } = await opened(browser, addressOf("index", { folder }), { folder });
  const { violations } = await axe(shown);
  const lines = [...violations.map(said), ...await layout(shown), ...faults];
  await context.close();
  return lines;
};

describe("the checks of a page", () => {
  test("find nothing in a sound one", LIMIT, async () => { assert.deepEqual(await found(SOUND), []); });
  for (const [fault, [body, line]] of Object.entries(PLANTED)) {
    test(`find ${fault}`, LIMIT, async () => { assert.match((await found(SOUND + body)).join("\n"), line); });
  }
});
