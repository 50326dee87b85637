// The neuron explorer.  Every text of the data reaches the page as text (textContent), never as markup, and data comes
// from script files beside this page, which is the only thing that a page opened from a disk may load.
(function () {
  const SVG = "http://www.w3.org/2000/svg";
  const FOLDER = "neurons/";
  const MINUS = "\u2212";
  const ARRAYS = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, i2: Int16Array, i4: Int32Array, f4: Float32Array };
  const now = () => Math.round(performance.now());

  // --- elements ------------------------------------------------------------------------------------------------------

  const filled = (element, attributes, children) => {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name === "on") { for (const [event, act] of Object.entries(value)) { element.addEventListener(event, act); } }
      else if (value !== null && value !== undefined && value !== false) { element.setAttribute(name, value === true ? "" : value); }
    }
    for (const child of children) {
      if (child !== null && child !== undefined) { element.append(child instanceof Node ? child : document.createTextNode(String(child))); }
    }
    return element;
  };
  const h = (tag, attributes, ...children) => filled(document.createElement(tag), attributes, children.flat());
  const s = (tag, attributes, ...children) => filled(document.createElementNS(SVG, tag), attributes, children.flat());
  const at = (id) => document.getElementById(id);

  // --- numbers -------------------------------------------------------------------------------------------------------

  const decimal = (value, places) => {
    if (!Number.isFinite(value)) { return "undefined"; }
    const text = value.toFixed(places);
    return (Number(text) === 0 ? text.replace("-", "") : text.replace("-", MINUS));
  };
  const count = (value) => (value >= 10000 ? String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f") : String(value));
  const percent = (share) => {
    const value = share * 100;
    return `${value > 0 && value < 0.01 ? "below 0.01" : decimal(value, value >= 10 ? 1 : 2)}\u00a0%`;
  };
  const plural = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;

  // --- shards --------------------------------------------------------------------------------------------------------

  const unpacked = (text) => {
    const code = text.slice(0, 2);
    const bytes = Uint8Array.from(atob(text.slice(3)), (letter) => letter.charCodeAt(0));
    return new ARRAYS[code](bytes.buffer);
  };
  const decoded = (values) => {
    const result = {};
    for (const [key, value] of Object.entries(values)) {
      result[key] = typeof value === "string" && /^[uif][124]:/.test(value) && key !== "suite" ? unpacked(value) : value;
    }
    return result;
  };
  const awaited = new Map();
  const shards = new Map();
  window.universalNeurons = {
    take: (name, values) => { const waiting = awaited.get(name); if (waiting) { waiting(name === "about" ? values : decoded(values)); } },
  };
  const load = (name) => {
    if (!shards.has(name)) {
      shards.set(name, new Promise((resolve, reject) => {
        awaited.set(name, resolve);
        const script = document.createElement("script");
        script.src = `${FOLDER}${name}.js`;
        script.onload = () => { script.remove(); };
        script.onerror = () => { script.remove(); shards.delete(name); reject(new Error(`${FOLDER}${name}.js could not be read`)); };
        document.head.append(script);
      }));
    }
    return shards.get(name);
  };

  // --- effects: in thousandths or millionths of a nat, whichever suits the typical neuron -----------------------------

  let unit = { factor: 1e6, sign: "µnat", words: "millionths", places: 1 };
  const withUnit = (model) => {
    const typical = model.ranked[model.ranked.length >> 1];
    unit = typical >= 1e-4 ? { factor: 1e3, sign: "mnat", words: "thousandths" } : { factor: 1e6, sign: "µnat", words: "millionths" };
    // Of the whole list, as its numbers stand under each other.
    unit.places = typical * unit.factor < 1 ? 2 : typical * unit.factor < 10 ? 1 : 0;
  };
  const amount = (value, like) => decimal(value, Math.abs(like) < 10 ? 2 : Math.abs(like) < 100 ? 1 : 0);

  // --- state ---------------------------------------------------------------------------------------------------------

  let about = null;
  let models = [];                       // what about says of each, with what its index says
  let found = { model: new Uint8Array(0), neuron: new Uint32Array(0) };
  let active = -1;                       // place in what was found
  let shown = null;                      // {model, neuron} in the panel
  const chosen = { query: "", model: -1, layer: -1, least: 0, exactly: -1, threshold: 0.5, effect: "", family: -1, sort: "mean", up: false };
  const undefinedScore = (value) => value === about.undefined;
  const score = (value) => (undefinedScore(value) ? NaN : value / about.parts);

  const place = (model, neuron) => {
    const { starts } = models[model];
    let layer = starts.length - 1;
    while (layer > 0 && starts[layer] > neuron) { layer -= 1; }
    return { layer, neuron: neuron - starts[layer] };
  };
  const label = (model, neuron) => { const p = place(model, neuron); return `${models[model].name}:L${p.layer}.${p.neuron}`; };
  const address = (model, neuron) => { const p = place(model, neuron); return `#${encodeURIComponent(models[model].name)}:L${p.layer}.${p.neuron}`; };
  const layerSize = (model, layer) => (layer + 1 < models[model].starts.length ? models[model].starts[layer + 1] : models[model].neurons) - models[model].starts[layer];
  const numbered = (model, layer, neuron) => (
    layer < models[model].starts.length && neuron < layerSize(model, layer) ? models[model].starts[layer] + neuron : -1);

  const named = (text) => {
    // "a:L2.317" or "L2.317", or a layer alone; null where the text names neither.
    const parts = /^(?:(.*):)?[lL](\d{1,6})(?:\.(\d{0,9}))?$/s.exec(text.trim());
    if (!parts) { return null; }
    const model = parts[1] === undefined ? -1 : models.findIndex((one) => one.name === parts[1]);
    if (parts[1] !== undefined && model < 0) { return null; }
    return { model, layer: Number(parts[2]), neuron: parts[3] ? Number(parts[3]) : -1 };
  };
  const asksFor = () => { try { return decodeURIComponent(location.hash.slice(1)); } catch (_) { return location.hash.slice(1); } };
  const target = () => {
    const text = asksFor();
    const wanted = text ? named(text) : null;
    if (!wanted || wanted.neuron < 0) { return null; }
    const model = wanted.model < 0 ? about.reference : wanted.model;
    const neuron = numbered(model, wanted.layer, wanted.neuron);
    return neuron < 0 ? null : { model, neuron };
  };
  // A list that another page asks for: "#?model=a&layer=0&least=1&above=0.5"; what it does not name is not asked.
  const requested = () => {
    if (!location.hash.startsWith("#?")) { return null; }
    const words = new URLSearchParams(location.hash.slice(2));
    const whole = (name, end, other) => {
      const value = words.get(name) || "";
      return /^\d{1,6}$/.test(value) && Number(value) < end ? Number(value) : other;
    };
    const above = Number(words.get("above") || about.threshold);
    return {
      query: "", effect: "", family: -1, exactly: -1, sort: "mean", up: false,
      model: models.findIndex((one) => one.name === words.get("model")),
      layer: whole("layer", Math.max(...models.map((one) => one.starts.length)), -1),
      least: whole("least", 1 + Math.max(...models.map((one) => one.partners.length)), 0),
      threshold: above >= 0.1 && above <= 0.9 ? Math.round(above * 20) / 20 : about.threshold,
    };
  };
  // What a link asks for in vain, in words; empty where the report has it.
  const inVain = () => {
    const asked = requested();
    if (!asked) { return asksFor() && !target() ? `This report has no neuron “${asksFor()}”. A neuron is called by model, layer and number, such as ${label(about.reference, 0)}.` : ""; }
    const words = new URLSearchParams(location.hash.slice(2));
    const had = { model: (models[asked.model] || {}).name, layer: asked.layer, least: asked.least };
    const lost = Object.keys(had).filter((name) => words.has(name) && words.get(name) !== String(had[name]));
    const said = { model: "model", layer: "layer", least: "number of partners" };
    return lost.length ? `This report has no ${lost.map((name) => `${said[name]} “${words.get(name)}”`).join(" and no ")}. The rest of the link is followed.` : "";
  };
  const adopt = (wanted) => { Object.assign(chosen, wanted); at("search").value = chosen.query; paintControls(); paintSorting(); };

  // --- finding -------------------------------------------------------------------------------------------------------

  const prepared = (model) => {
    // Mean, maximum and number of partners do not depend on what is asked, except that number on the threshold.
    const { excess } = model.index;
    const of = excess.length / model.neurons;
    model.mean = new Float32Array(model.neurons);
    model.most = new Float32Array(model.neurons);
    for (let i = 0; i < model.neurons; i += 1) {
      let sum = 0, most = -Infinity, defined = 0;
      for (let p = 0; p < of; p += 1) {
        const value = excess[p * model.neurons + i];
        if (value !== about.undefined) { sum += value; defined += 1; if (value > most) { most = value; } }
      }
      model.mean[i] = defined ? sum / defined / about.parts : NaN;
      model.most[i] = defined ? most / about.parts : NaN;
    }
    model.ranked = Float32Array.from(model.index.effect).sort();
  };
  const counted = (model) => {
    if (model.countedAt === chosen.threshold) { return model.universal; }
    const { excess } = model.index;
    const cut = chosen.threshold * about.parts;
    const universal = new Uint8Array(model.neurons);
    for (let k = 0, p = 0; p < model.partners.length; p += 1) {
      for (let i = 0; i < model.neurons; i += 1, k += 1) { if (excess[k] > cut) { universal[i] += 1; } }
    }
    model.universal = universal;
    model.countedAt = chosen.threshold;
    return universal;
  };
  const quantile = (model, share) => model.ranked[Math.min(model.neurons - 1, Math.floor(share * model.neurons))];

  const tokensLike = (query, tokens) => {
    const exact = /^"(.+)"$/s.exec(query);
    const wanted = (exact ? exact[1] : query).toLowerCase();
    const hits = new Uint8Array(tokens.length + 1);
    let any = 0;
    tokens.forEach((token, id) => {
      const text = token.toLowerCase();
      if (exact ? text.trim() === wanted.trim() : text.includes(wanted)) { hits[id] = 1; any += 1; }
    });
    return any ? hits : null;
  };
  const withTokens = (model, hits) => {
    // Why a neuron is found: 1 where it fires on the token, 2 where it promotes it.
    const matching = new Uint8Array(model.neurons);
    model.reason = new Uint32Array(model.neurons);
    for (const ids of [model.tokens.peaks, model.tokens.promoted]) {
      if (!ids) { continue; }
      const each = ids.length / model.neurons;
      for (let k = 0; k < ids.length; k += 1) {
        const i = Math.floor(k / each);
        if (hits[ids[k]] && !matching[i]) { matching[i] = ids === model.tokens.peaks ? 1 : 2; model.reason[i] = ids[k]; }
      }
    }
    return matching;
  };

  const sorted = (keys, size) => {
    // Ascending places of keys; undefined ones last in either direction.
    const order = new Uint32Array(size);
    for (let i = 0; i < size; i += 1) { order[i] = i; }
    const down = chosen.up ? 1 : -1;
    return order.sort((x, y) => {
      const a = keys[x], b = keys[y];
      if (a === b) { return x - y; }
      if (a !== a || b !== b) { return (a !== a) - (b !== b) || x - y; }
      return a < b ? -down : down;
    });
  };

  const searched = (wanted, hits) => {
    let size = 0;
    const use = models.filter((model, m) => model.index && (chosen.model < 0 || chosen.model === m) && (!wanted || wanted.model < 0 || wanted.model === m));
    const total = use.reduce((sum, model) => sum + model.neurons, 0);
    const ofModel = new Uint8Array(total), ofNeuron = new Uint32Array(total), keys = new Float64Array(total);
    for (const model of use) {
      const universal = counted(model);
      const matching = hits ? withTokens(model, hits) : null;
      model.matching = matching;
      const [low, high] = { top10: [0.9, 1], top1: [0.99, 1], bottom: [0, 0.5] }[chosen.effect] || [0, 1];
      const least = quantile(model, low), most = high === 1 ? Infinity : quantile(model, high);
      const values = { mean: model.mean, partners: universal, effect: model.index.effect, name: null }[chosen.sort];
      const m = models.indexOf(model);
      const layers = model.starts.length;
      const asked = wanted ? wanted.layer : chosen.layer;
      const from = asked < 0 ? 0 : asked < layers ? model.starts[asked] : model.neurons;
      const to = asked < 0 ? model.neurons : asked + 1 < layers ? model.starts[asked + 1] : model.neurons;
      const number = wanted && wanted.neuron >= 0 ? String(wanted.neuron) : null;
      for (let i = from; i < to; i += 1) {
        if (universal[i] < chosen.least || (chosen.exactly >= 0 && universal[i] !== chosen.exactly)) { continue; }
        if (chosen.effect && !(model.index.effect[i] >= least && model.index.effect[i] <= most)) { continue; }
        if (chosen.family >= 0 && model.index.family[i] !== chosen.family) { continue; }
        if (matching && !matching[i]) { continue; }
        if (number !== null && !String(i - from).startsWith(number)) { continue; }
        ofModel[size] = m; ofNeuron[size] = i;
        keys[size] = number !== null ? -(i - from) : values ? values[i] : -size;
        size += 1;
      }
    }
    const order = sorted(keys, size);
    return { model: ofModel.subarray(0, size), neuron: ofNeuron.subarray(0, size), order };
  };

  let asked = 0;
  const find = async (sliding = false) => {
    const mine = asked += 1;
    const started = performance.now();
    const query = chosen.query.trim();
    const wanted = query ? named(query) : null;
    let hits = null;
    if (query && !wanted) {
      const [words] = await Promise.all([load("vocabulary"), ...models.map(async (model, m) => { model.tokens = await load(`${m}/tokens`); })]);
      if (mine !== asked) { return; }
      vocabularyWords = words.tokens;
      hits = tokensLike(chosen.query, words.tokens) || new Uint8Array(about.vocabulary + 1);
    }
    found = searched(wanted, hits);
    active = found.order.length ? 0 : -1;
    at("list").scrollTop = 0;
    const all = models.reduce((sum, model) => sum + (model.index ? model.neurons : 0), 0);
    at("count").textContent = found.order.length === all ? plural(all, "neuron") : `${count(found.order.length)} of ${plural(all, "neuron")}`;
    paintList();
    // While the slider moves its panel stays, or the thumb would be lost.
    if (!shown && !sliding) { paintOverview(); }
    document.documentElement.dataset.searches = String(mine);
    document.documentElement.dataset.searchMs = (performance.now() - started).toFixed(1);
  };

  // --- the list ------------------------------------------------------------------------------------------------------

  const foundAt = (index) => { const i = found.order[index]; return { model: found.model[i], neuron: found.neuron[i] }; };
  const isShown = (one) => shown !== null && shown.model === one.model && shown.neuron === one.neuron;

  const strip = (values, colours, wide) => {
    // Excess against each partner on an axis from 0 to 1, with the threshold.
    const x = (value) => `${Math.max(0, Math.min(1, value)) * 100}%`;
    return s("svg", { "aria-hidden": "true", class: wide ? "wide" : null },
      s("line", { class: "axis", x1: "0%", x2: "100%", y1: "50%", y2: "50%" }),
      s("line", { class: "limit", x1: x(chosen.threshold), x2: x(chosen.threshold), y1: "10%", y2: "90%" }),
      values.map((one, i) => (Number.isNaN(one.value) ? null : s("g", { class: `c${colours[i] % 6}` },
        one.low === undefined ? null : s("line", { class: `whisker${one.own ? "" : " pooled"}`, x1: x(one.low), x2: x(one.high), y1: "50%", y2: "50%" }),
        s("circle", { class: "dot", cx: x(one.value), cy: "50%", r: wide ? 4.5 : 4 })))));
  };

  let vocabularyWords = [];
  const reason = (model, neuron) => (model.matching && model.matching[neuron]
    ? h("span", { class: "why" }, ` ${model.matching[neuron] === 1 ? "fires on" : "promotes"} `, h("span", { class: "mono" }, vocabularyWords[model.reason[neuron]])) : null);

  const row = (index) => {
    const one = foundAt(index);
    const model = models[one.model];
    const values = model.partners.map((_, p) => ({ value: score(model.index.excess[p * model.neurons + one.neuron]) }));
    const universal = counted(model)[one.neuron];
    const name = label(one.model, one.neuron);
    const effect = model.index.effect[one.neuron] * unit.factor;
    const unseen = (text) => h("span", { class: "unseen" }, text);
    const element = h("div", {
      class: `row${index === active ? " active" : ""}`, role: "option", id: `found-${index}`, "aria-selected": String(isShown(one)),
      "aria-posinset": index + 1, "aria-setsize": found.order.length, on: { click: () => { active = index; open(one); } },
    },
    h("span", { class: "name" }, name, reason(model, one.neuron)), strip(values, model.partners, false),
    h("span", { class: "right" }, unseen(`, mean excess ${decimal(model.mean[one.neuron], 2)}, universal with `), `${universal}/${model.partners.length}`),
    about.ablated
      ? h("span", { class: "right" }, unseen(", ablation effect "), amount(effect, effect), unseen(` ${unit.words} of a nat`))
      : h("span", { class: "right" }, unseen(", not ablated alone"), h("span", { "aria-hidden": "true" }, "\u2013")));
    element.style.top = `${index * height()}px`;
    return element;
  };

  let rowHeight = 0;
  const height = () => {
    if (!rowHeight) { rowHeight = parseFloat(getComputedStyle(document.documentElement).fontSize) * 2.75; }
    return rowHeight;
  };
  const paintList = () => {
    const list = at("list"), rows = at("rows");
    const total = found.order.length;
    // Browsers cannot draw an element of more than some ten million pixels.
    rows.style.height = `${Math.min(total * height(), 16e6)}px`;
    const first = Math.max(0, Math.floor(list.scrollTop / height()) - 6);
    const last = Math.min(total, first + Math.ceil((list.clientHeight || 800) / height()) + 14);
    const drawn = [];
    for (let i = first; i < last; i += 1) { drawn.push(row(i)); }
    if (!total) { drawn.push(h("p", { class: "nothing", role: "option", "aria-disabled": "true", "aria-selected": "false" }, "No neuron is like this. Try another token, or fewer conditions.")); }
    rows.replaceChildren(...drawn);
    if (active >= first && active < last) { list.setAttribute("aria-activedescendant", `found-${active}`); } else { list.removeAttribute("aria-activedescendant"); }
  };
  const reveal = (index) => {
    const list = at("list"), top = index * height();
    if (top < list.scrollTop) { list.scrollTop = top; }
    else if (top + height() > list.scrollTop + list.clientHeight) { list.scrollTop = top + height() - list.clientHeight; }
  };
  const move = (index) => {
    if (!found.order.length) { return; }
    active = Math.max(0, Math.min(found.order.length - 1, index));
    reveal(active);
    paintList();
  };
  const sortedBy = [["name", "Neuron"], ["mean", "Excess"], ["partners", "Shared", "right"], ["effect", "Effect", "right"]];
  const spelled = (key) => ({ name: "name", mean: "mean excess over the partners", partners: "number of partners with whom they are universal", effect: `ablation effect in ${unit.words} of a nat` })[key];
  const paintSorting = () => {
    document.querySelector(".sorting").replaceChildren(...sortedBy.map(([key, title, css]) => h("button", {
      type: "button", class: css, "aria-pressed": String(chosen.sort === key), "data-up": String(chosen.up && chosen.sort === key), title: `Sort by ${spelled(key)}`,
      "aria-label": `${title}: sort by ${spelled(key)}${chosen.sort === key ? (chosen.up ? ", now ascending" : ", now descending") : ""}`,
      on: { click: (event) => { chosen.up = chosen.sort === key ? !chosen.up : false; chosen.sort = key; paintSorting(); find(); document.querySelectorAll(".sorting button")[sortedBy.findIndex((one) => one[0] === key)].focus(); event.stopPropagation(); } },
    }, title)));
  };

  // --- one neuron ----------------------------------------------------------------------------------------------------

  const open = (one) => {
    const wanted = address(one.model, one.neuron);
    if (location.hash === wanted) { follow(); } else { location.hash = wanted; }
  };
  const link = (model, neuron) => h("a", { class: "mono", href: address(model, neuron) }, label(model, neuron));
  const section = (title, ...children) => h("section", null, h("h2", null, title), children.flat());
  const interval = (low, high, digits) => h("span", { class: "interval" }, `[${decimal(low, digits)},\u00a0${decimal(high, digits)}]`);

  const sliced = (values, index, size) => {
    // Everything of one neuron: the part of every array of its shard that is about it.
    const neuron = {};
    for (const [key, array] of Object.entries(values)) {
      const each = array.length / size;
      neuron[key] = array.subarray(index * each, (index + 1) * each);
    }
    return neuron;
  };
  const of = (neuron, checkpoint, partner, partners) => {
    const k = checkpoint * partners + partner;
    const value = score(neuron.excess[k]), reach = score(neuron.reach[k]);
    return { value, low: value - reach, high: value + reach, own: neuron.own[k] === 1, correlation: score(neuron.correlation[k]), partner: neuron.partner[k] };
  };

  // What a chart may take: the panel, or half of it where two parts stand side by side (.columns of explorer.css).
  const width = (most, room = at("panel").clientWidth) => Math.max(260, Math.min(most, Math.floor(room) || most));
  const beside = () => {
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize), all = at("panel").clientWidth;
    return all >= (19 + 2.5 + 19) * rem ? (all - 2.5 * rem) / 2 : all;
  };

  const partnersTable = (model, neuron) => {
    const last = about.checkpoints.length - 1;
    const rows = models[model].partners.map((other, p) => {
      const one = of(neuron, last, p, models[model].partners.length);
      return h("tr", null,
        h("th", { scope: "row" }, h("span", { class: `swatch c${other % 6}`, "aria-hidden": "true" }), one.partner < 0 ? `${models[other].name}: none` : link(other, one.partner)),
        h("td", { class: "number" }, decimal(one.correlation, 2)), h("td", { class: "number" }, decimal(one.correlation - one.value, 2)),
        h("td", { class: "number" }, decimal(one.value, 2), " ", Number.isNaN(one.value) ? null : interval(one.low, one.high, 2)), h("td", { class: "reach only-wide" }, strip([one], [other], true)));
    });
    const any = models[model].partners.some((_, p) => neuron.own[last * models[model].partners.length + p] === 0);
    return section("Partners in the other seeds",
      h("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Table of partners" }, h("table", null,
        h("thead", null, h("tr", null, h("th", { scope: "col" }, "partner"), h("th", { scope: "col", class: "number" }, "correlation"), h("th", { scope: "col", class: "number" }, "baseline"),
          h("th", { scope: "col", class: "number" }, "excess"), h("th", { scope: "col", class: "only-wide" }, "from 0 to 1"))), h("tbody", null, rows))),
      h("p", { class: "small" }, `The neuron of each other model whose activations correlate most with this one's; the baseline is what randomly rotated activations reach. Intervals: ${Math.round(about.level * 100)} % over blocks of tokens`,
        any ? "; dashed ones have a width that is pooled over neurons of small excess." : "."));
  };

  const lifeChart = (model, neuron) => {
    const partners = models[model].partners, W = width(640), H = 250, left = 34, right = 44, top = 12, bottom = 30;
    const x = (share) => left + share * (W - left - right), y = (value) => top + (1 - Math.max(-0.05, value) / 1) * (H - top - bottom);
    const chart = s("svg", { viewBox: `0 0 ${W} ${H}`, role: "img" });
    for (const tick of [0, 0.25, 0.5, 0.75, 1]) {
      chart.append(s("line", { class: tick ? "grid" : "axis", x1: left, x2: W - right, y1: y(tick), y2: y(tick) }), s("text", { x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, decimal(tick, tick * 2 % 1 ? 2 : 1)));
    }
    chart.append(s("line", { class: "limit", x1: left, x2: W - right, y1: y(chosen.threshold), y2: y(chosen.threshold) }));
    const sparse = (W - left - right) / about.checkpoints.length < 60 ? 2 : 1;
    about.checkpoints.filter((_, c) => c % sparse === 0).forEach((one) => chart.append(s("text", { x: x(one.share), y: H - 8, "text-anchor": one.share ? "middle" : "start", dx: one.share ? 0 : -4 }, one.label)));
    const ends = [], said = [];
    partners.forEach((other, p) => {
      const points = about.checkpoints.map((one, c) => ({ x: x(one.share) + (p - (partners.length - 1) / 2) * 3, ...of(neuron, c, p, partners.length) })).filter((one) => !Number.isNaN(one.value));
      if (!points.length) { return; }
      chart.append(s("g", { class: `c${other % 6}` },
        s("polyline", { class: "line", points: points.map((one) => `${one.x.toFixed(1)},${y(one.value).toFixed(1)}`).join(" ") }),
        points.map((one) => s("line", { class: `whisker${one.own ? "" : " pooled"}`, x1: one.x, x2: one.x, y1: y(one.low), y2: y(one.high) })),
        points.map((one) => s("circle", { class: "dot", cx: one.x, cy: y(one.value), r: 4 }))));
      const end = points[points.length - 1];
      ends.push({ other, from: { x: end.x, y: y(end.value) }, y: y(end.value) });
      said.push(`${models[other].name} from ${decimal(points[0].value, 2)} to ${decimal(end.value, 2)}`);
    });
    ends.sort((a, b) => a.y - b.y);
    ends.forEach((end, i) => { if (i && end.y - ends[i - 1].y < 14) { end.y = ends[i - 1].y + 14; } });
    const over = ends.length ? Math.max(0, ends[ends.length - 1].y - (H - bottom)) : 0;
    ends.forEach((end) => chart.append(
      s("g", { class: `c${end.other % 6}` }, s("line", { class: "tie", x1: end.from.x + 6, y1: end.from.y, x2: W - right + 14, y2: end.y - over })),
      s("text", { class: "direct", x: W - right + 18, y: end.y - over + 4 }, models[end.other].name)));
    chart.setAttribute("aria-label", `Excess at every checkpoint, per partner: ${said.join("; ") || "undefined"}; the threshold is ${decimal(chosen.threshold, 2)}.`);
    return chart;
  };
  const life = (model, neuron) => {
    const partners = models[model].partners;
    const rows = about.checkpoints.map((checkpoint, c) => h("tr", null, h("th", { scope: "row" }, checkpoint.label), partners.map((other, p) => {
      const one = of(neuron, c, p, partners.length);
      return [h("td", { class: "number" }, decimal(one.value, 2), " ", Number.isNaN(one.value) ? null : interval(one.low, one.high, 2)), h("td", { class: "quiet mono" }, one.partner < 0 ? "" : label(other, one.partner))];
    }).flat()));
    return section("Its life during training",
      h("div", { class: "chart" }, lifeChart(model, neuron)),
      h("p", { class: "small" }, "Excess against each partner model; dashed: the threshold chosen at the list.",
        model !== about.reference && about.checkpoints[0].share === 0 ? ` Of the untrained models ${models[about.reference].name} alone is scored.` : null),
      h("details", null, h("summary", null, "Its numbers, and who the partner was"), h("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Table of excess by checkpoint" },
        h("table", null, h("thead", null, h("tr", null, h("th", { scope: "col" }, "checkpoint"), partners.map((other) => h("th", { scope: "colgroup", colspan: 2 }, `against ${models[other].name}`)))), h("tbody", null, rows)))));
  };

  // Items of the texts of the largest activations, or with samples of those nearest to the levels below the maximum.
  const snippets = (neuron, words, samples = false) => {
    const entries = neuron.row.length, tops = entries - about.levels.length, size = neuron.snippet ? neuron.snippet.length / entries : 0, items = [];
    for (let t = samples ? tops : 0; t < (samples ? entries : tops); t += 1) {
      if (neuron.row[t] < 0) { continue; }
      const said = h("span", { class: "said" });
      for (let k = 0; k < size; k += 1) {
        const id = neuron.snippet[t * size + k];
        if (id === about.vocabulary) { continue; }
        const peak = k === about.before;
        const token = h("span", { class: peak ? "peak" : null }, words[id]);
        const heat = peak && !samples ? 1 : neuron.shade[t * size + k] / 255;
        if (heat > 0.01) {
          token.style.setProperty("--heat", heat.toFixed(3));
          token.setAttribute("title", peak ? decimal(neuron.value[t], 2) : `about ${decimal(heat * neuron.value[samples ? 0 : t], 1)}`);
        }
        said.append(token);
      }
      items.push(h("li", null, size ? said : h("span", { class: "quiet" }, `row ${neuron.row[t]}, position ${neuron.position[t]}`),
        h("span", { class: "where" }, decimal(neuron.value[t], 2), size ? h("span", { title: `row ${neuron.row[t]}, position ${neuron.position[t]} of the scored text` }, `${neuron.row[t]}:${neuron.position[t]}`) : null)));
    }
    return { items, size };
  };
  const activating = (neuron, words) => {
    const { items, size } = snippets(neuron, words), below = snippets(neuron, words, true).items;
    return section("What activates it", h("ol", { class: "snippets" }, items),
      size ? h("p", { class: "small" }, "The largest activations, one per row of the scored text. Underlined: the token of the peak. Shade: from zero", h("span", { class: "scale", "aria-hidden": "true" }), "to that peak, near it.")
        : h("p", { class: "small" }, about.absence || "The text of this model's tokens is another one than on the machine that built this report; its positions are shown."),
      below.length ? [h("h3", null, "Below its maximum"), h("ol", { class: "snippets" }, below),
        h("p", { class: "small" }, `The activations nearest to ${about.levels.map((level) => `${100 * level}\u00a0%`).join(", ")} of the maximum. Shade: up to the maximum.`)] : null);
  };

  // The strongest texts of this neuron and of its partner in every other model, next to each other.
  const TEXTS = 4;
  const sideBySide = (model, one, neuron, partners, words) => {
    const column = (m, i, values) => h("div", null, h("h3", null, link(m, i)), h("ol", { class: "snippets narrow" }, snippets(values, words).items.slice(0, TEXTS)));
    const others = partners.filter((other) => other !== null && other.values.snippet);
    if (!neuron.snippet || !others.length) { return null; }
    return section("The same, beside its partners", h("div", { class: "beside" }, column(model, one, neuron), others.map((other) => column(other.model, other.neuron, other.values))),
      h("p", { class: "small" }, `The ${TEXTS} strongest texts of each. Partners with one meaning fire in texts of one kind, not only at one time.`));
  };
  const partnersOf = (model, neuron) => {
    const last = about.checkpoints.length - 1, all = models[model].partners;
    return Promise.all(all.map(async (other, p) => {
      const i = of(neuron, last, p, all.length).partner;
      return i < 0 ? null : { model: other, neuron: i, values: await detailsOf(other, i) };
    }));
  };
  const detailsOf = async (model, neuron) => {
    const number = Math.floor(neuron / about.shard);
    const values = await load(`${model}/${number}`);
    return sliced(values, neuron - number * about.shard, Math.min(about.shard, models[model].neurons - number * about.shard));
  };

  const histogram = (neuron) => {
    const shares = neuron.histogram, stats = Object.fromEntries(about.statistics.map((name, i) => [name, neuron.statistics[i]]));
    const W = width(420, beside()), H = 170, left = 52, right = 12, top = 8, bottom = 26, floor = -6;
    const low = -0.17, high = Math.max(stats.maximum, low + 1e-6);
    const x = (value) => left + ((value - low) / (high - low)) * (W - left - right);
    const y = (share) => top + (share > 0 ? Math.min(1, Math.log10(share) / floor) : 1) * (H - top - bottom);
    const step = (W - left - right) / shares.length;
    const chart = s("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `Activations from ${decimal(low, 2)} to ${decimal(high, 2)}: above zero at ${percent(stats.share_positive)} of the tokens, mean ${decimal(stats.mean, 3)}.` });
    for (const power of [0, -2, -4, -6]) {
      chart.append(s("line", { class: power === floor ? "axis" : "grid", x1: left, x2: W - right, y1: y(10 ** power), y2: y(10 ** power) }), s("text", { x: left - 6, y: y(10 ** power) + 4, "text-anchor": "end" }, { 0: "100 %", "-2": "1 %", "-4": "0.01 %", "-6": "" }[power]));
    }
    shares.forEach((share, i) => { if (share > 0) { chart.append(s("rect", { class: "fill", x: left + i * step + 0.5, width: Math.max(0.5, step - 1), y: y(share), height: Math.max(0, y(10 ** floor) - y(share)) })); } });
    chart.append(s("line", { class: "limit", x1: x(0), x2: x(0), y1: top, y2: H - bottom }), s("text", { x: x(0), y: H - 8, "text-anchor": "middle" }, "0"), s("text", { x: W - right, y: H - 8, "text-anchor": "end" }, decimal(high, 2)));
    return section("How it is active", h("div", { class: "chart" }, chart),
      h("p", { class: "small" }, `Share of the tokens by activation, on a logarithmic axis. Above zero at ${percent(stats.share_positive)} of the tokens; mean ${decimal(stats.mean, 3)}, standard deviation ${decimal(stats.sd, 3)}, skewness ${decimal(stats.skewness, 1)}, kurtosis ${decimal(stats.kurtosis, 1)}.`));
  };

  const tokens = (title, ids, by, words, css, most) => h("div", null, h("h3", null, title), h("ul", { class: `tokens ${css}` }, Array.from(ids, (id, i) => {
    if (id === about.vocabulary) { return null; }
    const bar = h("span", { class: "bar-of", "aria-hidden": "true" });
    bar.style.width = `${(Math.abs(score(by[i])) / most) * 100}%`;
    return h("li", null, h("span", { class: "token", title: words[id] }, words[id]), bar, h("span", { class: "number" }, decimal(score(by[i]), 2)));
  })));
  const vocabulary = (neuron, words) => {
    const most = Math.max(...[...neuron.promotedBy, ...neuron.suppressedBy].map((one) => Math.abs(score(one)) || 0), 0.05);
    return section("What it writes", h("div", { class: "columns" },
      tokens("Promoted", neuron.promoted, neuron.promotedBy, words, "up", most), tokens("Suppressed", neuron.suppressed, neuron.suppressedBy, words, "down", most)),
    h("p", { class: "small" }, "Cosine of its output weights with the unembedding of a token: the largest and the smallest."));
  };

  const effects = (neuron, from) => Array.from(neuron.effects.subarray(from, from + 3), (one) => one * unit.factor);
  const ablation = (model, one, neuron) => {
    if (!about.ablated) { return section("What the model loses without it", h("p", { class: "small" }, "No neuron was ablated alone in this suite.")); }
    const effect = models[model].index.effect[one];
    let below = 0;
    for (const other of models[model].ranked) { if (other < effect) { below += 1; } else { break; } }
    // The points of a column stand under each other: as many decimals for both as the larger one has.
    const most = Math.max(...[0, 3].map((from) => Math.abs(effects(neuron, from)[0])));
    const rows = [["Kullback-Leibler divergence", 0], ["increase of the loss", 3]].map(([title, from]) => {
      const [value, low, high] = effects(neuron, from);
      return h("tr", null, h("th", { scope: "row", class: "words" }, title), h("td", { class: "number" }, amount(value, most), " ", Number.isNaN(low) ? null : h("span", { class: "interval" }, `[${amount(low, most)},\u00a0${amount(high, most)}]`)));
    });
    return section("What the model loses without it", h("table", null, h("thead", null, h("tr", null, h("th", { scope: "col" }, "set to zero everywhere"), h("th", { scope: "col", class: "number wordy" }, `${unit.words} of a nat per prediction`))), h("tbody", null, rows)),
      h("p", { class: "small" }, `By divergence the effect is larger than that of ${percent(below / models[model].neurons)} of the model's neurons. Intervals over blocks of text that identified no neuron.`));
  };

  const ranks = (model, one, neuron) => {
    // Where it stands in its layer by each property; the side on which the parent paper finds universal neurons is shaded.
    const rows = about.properties.map(({ name, side }, i) => {
      const value = neuron.properties[i], rank = neuron.percentiles[i] === 255 ? NaN : neuron.percentiles[i] / 2;
      return h("tr", null, h("th", { scope: "row", class: "words" }, name), h("td", { class: "number" }, decimal(value, 3)), h("td", { class: "number" }, decimal(rank, 0)),
        h("td", { class: "reach" }, s("svg", { "aria-hidden": "true", class: "wide" }, s("rect", { class: "side", x: side < 0 ? "0%" : "50%", y: "15%", width: "50%", height: "70%" }),
          s("line", { class: "axis", x1: "0%", x2: "100%", y1: "50%", y2: "50%" }), s("line", { class: "limit", x1: "50%", x2: "50%", y1: "10%", y2: "90%" }),
          Number.isNaN(rank) ? null : s("g", { class: `c${model % 6}` }, s("circle", { class: "dot", cx: `${rank}%`, cy: "50%", r: 4.5 })))));
    });
    return section("Among the neurons of its layer",
      h("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Table of properties" }, h("table", { class: "ranks" },
        h("thead", null, h("tr", null, h("th", { scope: "col" }, "property"), h("th", { scope: "col", class: "number" }, "value"), h("th", { scope: "col", class: "number" }, "percentile"), h("th", { scope: "col" }, "from 0 to 100"))), h("tbody", null, rows))),
      h("p", { class: "small" }, `Percentile among the ${count(layerSize(model, place(model, one).layer))} neurons of its layer. Shaded: the side of the median on which the parent paper finds universal neurons.`));
  };

  // A first look has no tables of labels and of what neurons do.
  const told = () => about.families.length > 0;
  const explanation = (model, neuron, words, labels) => {
    // The best label of every family, the best family first, with the score in both halves and the tokens that have it.
    const each = labels.having.length / labels.names.length;
    const rows = about.families.map((family, k) => {
      const label = neuron.label[k], halves = [score(neuron.explained[2 * k]), score(neuron.explained[2 * k + 1])];
      const ids = label < labels.names.length ? Array.from(labels.having.subarray(label * each, (label + 1) * each)).filter((id) => id !== about.vocabulary) : [];
      return { family, name: labels.names[label], halves, mean: (halves[0] + halves[1]) / 2, ids };
    }).filter((one) => one.name !== undefined).sort((x, y) => (y.mean || 0) - (x.mean || 0));
    const cells = rows.map((one) => h("tr", null, h("th", { scope: "row", class: "words" }, one.family), h("td", { class: "words" }, h("span", { class: "token", title: one.name }, one.name)),
      h("td", { class: "number" }, decimal(one.mean, 2), " ", h("span", { class: "interval" }, `(${decimal(one.halves[0], 2)},\u00a0${decimal(one.halves[1], 2)})`)),
      h("td", { class: "words" }, one.ids.map((id) => h("span", { class: "token", title: words[id] }, words[id])))));
    const twin = neuron.twin[0] < 0 ? null : h("p", null, "Its nearest neuron in the same model is ", link(model, neuron.twin[0]), `, with a correlation of ${decimal(score(neuron.twinBy[0]), 2)}.`);
    return section("What explains it", h("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Table of labels" }, h("table", { class: "labels" },
      h("thead", null, h("tr", null, h("th", { scope: "col" }, "family"), h("th", { scope: "col" }, "best label"), h("th", { scope: "col", class: "number" }, "score (halves)"), h("th", { scope: "col" }, "tokens that have it"))), h("tbody", null, cells))),
    h("p", { class: "small" }, "Share of its variance that the best label of each family explains, on tokens that did not choose it; in brackets, in both halves of the text. Above 0.5 it counts as explained."), twin);
  };
  // --- what it does: to the next token, to entropy, and to attention --------------------------------------------------

  const next = (neuron) => {
    const role = about.roles[neuron.role[0]], auc = score(neuron.auc[0]), other = score(neuron.matchedAuc[0]);
    const kinds = { prediction: "A prediction neuron: it promotes few tokens much.", suppression: "A suppression neuron: it suppresses few tokens much.", partition: "A partition neuron: it parts the tokens in two." };
    return h("p", null, role ? kinds[role] : "By its weights neither a prediction nor a suppression nor a partition neuron.",
      Number.isNaN(auc) ? "" : ` Before one of its own tokens (${count(neuron.positives[0])} times in the text) it is more active with a probability of ${decimal(auc, 2)}; before other tokens of the same frequency, ${decimal(other, 2)}.`);
  };
  const nats = (value) => { const small = Math.abs(value) < 1e-3, size = value * (small ? 1e6 : 1e3); return `${amount(size, size)} ${small ? "µnat" : "mnat"}`; };
  const averaged = (one, found) => {
    const k = found.meanOf.indexOf(one);
    if (k < 0) { return null; }
    const smaller = found.meanSize.subarray(0, found.ofLast).filter((size) => size < found.meanSize[k]).length / found.ofLast;
    const mediated = score(found.meanMediated[k]);
    return h("p", null, `Set to its mean everywhere, it changes the entropy of a prediction by ${nats(found.meanSize[k])} in size${k < found.ofLast ? `, more than ${percent(smaller)} of the neurons of its layer` : ""}, and by ${nats(found.meanEntropy[k])} on average. `,
      Number.isNaN(mediated) ? null : `Of that the scale of the last layer norm mediates a share of ${decimal(mediated, 2)}: what is gone where the scale is frozen.`);
  };
  const CLAMPED = {
    candidate: "By its weights it may be an entropy neuron: of large norm, with little variance of logits.",
    other: "It was set to values as a control: of large norm, with more variance of logits.",
  };
  const curve = (model, row, values) => {
    // Evenly spaced, as in the report's figure: two of the values lie close to each other.
    const W = width(640), H = 190, left = 44, right = 12, top = 12, bottom = 40;
    const low = Math.min(...row.entropy, 0), high = Math.max(...row.entropy, low + 1e-3);
    const x = (at) => left + 10 + (at / (values.length - 1)) * (W - left - right - 20), y = (value) => H - bottom - ((value - low) / (high - low)) * (H - top - bottom);
    const chart = s("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `Change of entropy in nats by activation: ${values.map((value, at) => `${decimal(row.entropy[at], 2)} at ${decimal(value, 2)}`).join(", ")}.` });
    chart.append(s("line", { class: "axis", x1: left, x2: W - right, y1: y(0), y2: y(0) }));
    for (const value of new Set([low, 0, high])) { if (value === 0 || Math.abs(y(value) - y(0)) > 14) { chart.append(s("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, decimal(value, value ? 2 : 0))); } }
    values.forEach((value, at) => chart.append(s("text", { x: x(at), y: H - bottom + 18, "text-anchor": "middle" }, decimal(value, value < 0 ? 2 : 0))));
    chart.append(s("text", { x: W - right, y: H - 6, "text-anchor": "end" }, "activation that is set"), s("g", { class: `c${model % 6}` },
      s("polyline", { class: "line", points: row.entropy.map((value, at) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join(" ") }), row.entropy.map((value, at) => s("circle", { class: "dot", cx: x(at), cy: y(value), r: 3.5 }))));
    return chart;
  };
  const clamped = (model, one, found) => found.clamps.filter((row) => row.neuron === one).map((row) => {
    const columns = [["change of entropy, nats", row.entropy, 3], ["scale of the last layer norm", row.scale, 3], ["most probable token kept", row.kept, null], ["mediated share", row.mediated, 2]].filter(([, values]) => values);
    return h("div", null, h("h3", null, "Entropy where it is set to a value"), h("div", { class: "chart" }, curve(model, row, found.values)),
      h("p", { class: "small" }, CLAMPED[row.role] || `Its output weights are opposed to those of an entropy neuron of the last layer: their cosine is ${decimal(row.cosine, 2)}.`, " Nats above the entropy at an activation of 0."),
      h("details", null, h("summary", null, "Its numbers"), h("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Table of values" }, h("table", null,
        h("thead", null, h("tr", null, ["activation", ...columns.map(([title]) => title)].map((title) => h("th", { scope: "col", class: "number wordy" }, title)))),
        h("tbody", null, found.values.map((value, i) => h("tr", null, h("th", { scope: "row", class: "number" }, decimal(value, 2)), columns.map(([, values, places]) => h("td", { class: "number" }, places === null ? percent(values[i]) : decimal(values[i], places))))))))));
  });
  const scatter = (model, found, at) => {
    const W = width(640), H = 220, left = 56, right = 12, top = 10, bottom = 40;
    const xs = found.activation.subarray(at * found.points, (at + 1) * found.points), ys = found.attention.subarray(at * found.points, (at + 1) * found.points);
    const span = (values) => { const low = Math.min(...values, 0), high = Math.max(...values, 0); return [low, high > low ? high : low + 1e-6]; };
    const [x0, x1] = span(xs), [y0, y1] = span(ys);
    const x = (value) => left + ((value - x0) / (x1 - x0)) * (W - left - right), y = (value) => H - bottom - ((value - y0) / (y1 - y0)) * (H - top - bottom);
    const chart = s("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `Change of attention to the first position by activation, ${count(found.points)} tokens: from ${decimal(y0, 3)} to ${decimal(y1, 3)} for activations from ${decimal(x0, 2)} to ${decimal(x1, 2)}.` });
    chart.append(s("line", { class: "axis", x1: left, x2: W - right, y1: y(0), y2: y(0) }), s("line", { class: "limit", x1: x(0), x2: x(0), y1: top, y2: H - bottom }));
    for (const value of [y0, y1]) { chart.append(s("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, decimal(value, 2))); }
    for (const value of [x0, x1]) { chart.append(s("text", { x: x(value), y: H - bottom + 16, "text-anchor": value === x1 ? "end" : "start" }, decimal(value, 1))); }
    chart.append(s("text", { x: (left + W - right) / 2, y: H - 6, "text-anchor": "middle" }, "activation"), s("g", { class: `c${model % 6}` }, Array.from(xs, (value, i) => s("circle", { class: "dot", cx: x(value), cy: y(ys[i]), r: 2 }))));
    return chart;
  };
  const attended = (model, one, found) => found.heads.map((row, at) => [row, at]).filter(([row]) => row.neuron === one).map(([row, at]) => h("div", null,
    h("h3", null, `Head ${row.head} of layer ${row.layer}`),
    h("div", { class: "chart" }, scatter(model, found, at)),
    h("p", { class: "small" }, `Change of the head's attention to the first position where the neuron is taken out of its query. By its weights the neuron turns this head ${row.action === "deactivation" ? "off" : "on"} more than any other. Correlations over tokens: activation and attention ${decimal(row.correlations[0], 2)}, attention and norm of what the head writes ${decimal(row.correlations[1], 2)}, activation and norm ${decimal(row.correlations[2], 2)}.`)));
  const doing = (model, one, neuron, found) => section("What it does", next(neuron), averaged(one, found), clamped(model, one, found), attended(model, one, found));

  const fact = (name, value, ...more) => h("div", null, h("dt", null, name), h("dd", null, value, h("small", null, more)));
  const heading = (model, one, neuron) => {
    const p = place(model, one), universal = counted(models[model])[one], number = models[model].partners.length;
    const [kl, low, high] = effects(neuron, 0);
    const stats = Object.fromEntries(about.statistics.map((name, i) => [name, neuron.statistics[i]]));
    const step = (by) => () => { move((active < 0 ? -1 : active) + by); if (active >= 0) { open(foundAt(active)); } };
    return [
      h("div", { class: "top" }, h("h1", { class: "title", tabindex: "-1" }, h("span", { class: "mono" }, label(model, one))),
        h("div", { class: "walk" }, h("a", { class: "push only-narrow", href: "#" }, "List"), h("button", { class: "push", type: "button", "aria-label": "Previous neuron of the list", title: "k", on: { click: step(-1) } }, "Previous"), h("button", { class: "push", type: "button", "aria-label": "Next neuron of the list", title: "j", on: { click: step(1) } }, "Next"))),
      !models[model].compared ? h("p", { class: "verdictline" }, "Not compared: this suite looks for partners of other models' neurons only.") :
      h("p", { class: "verdictline" }, universal ? `Universal with ${universal === number ? "every one" : universal} of ${number} partners` : `Universal with none of ${number} partners`, h("span", { class: "quiet" }, ` at an excess above ${decimal(chosen.threshold, 2)}.`)),
      h("dl", { class: "facts" },
        fact("layer", `${p.layer}`, `neuron ${p.neuron} of ${layerSize(model, p.layer)}, layers 0 to ${models[model].starts.length - 1}`),
        fact("mean excess", decimal(models[model].mean[one], 2), `largest ${decimal(models[model].most[one], 2)}`),
        fact("active", percent(stats.share_positive), `of the tokens, up to ${decimal(stats.maximum, 2)}`),
        about.ablated ? fact("ablation", [amount(kl, kl), ` ${unit.sign}`], Number.isNaN(low) ? "per prediction" : `[${amount(low, kl)}, ${amount(high, kl)}] per prediction`) : null),
    ];
  };

  let wantedPanel = 0;
  const paintNeuron = async (one) => {
    const mine = wantedPanel += 1;
    const panel = at("panel");
    panel.setAttribute("aria-busy", "true");
    try {
      const [neuron, words, labels, found] = await Promise.all([detailsOf(one.model, one.neuron), load("vocabulary"), told() && load("labels"), told() && load(`${one.model}/acts`), ready[one.model], ...models[one.model].partners.map((other) => ready[other])]);
      const partners = await partnersOf(one.model, neuron);
      if (mine !== wantedPanel) { return; }
      panel.replaceChildren(...[...heading(one.model, one.neuron, neuron), partnersTable(one.model, neuron), life(one.model, neuron), activating(neuron, words.tokens), sideBySide(one.model, one.neuron, neuron, partners, words.tokens),
        h("div", { class: "columns" }, histogram(neuron), ablation(one.model, one.neuron, neuron)), told() && explanation(one.model, neuron, words.tokens, labels), ranks(one.model, one.neuron, neuron), vocabulary(neuron, words.tokens), told() && doing(one.model, one.neuron, neuron, found)].filter(Boolean));
    } catch (wrong) {
      if (mine !== wantedPanel) { return; }
      panel.replaceChildren(h("h1", { class: "title" }, label(one.model, one.neuron)), h("p", null, `This neuron cannot be shown: ${wrong.message}.`));
    }
    panel.setAttribute("aria-busy", "false");
  };

  // --- without a neuron ----------------------------------------------------------------------------------------------

  const spread = () => {
    // Mean excess of what was found, from -0.1 to 1; in wider steps where there is no room to write the numbers.
    const W = width(640), H = 190, left = 4, right = 8, top = 22, bottom = 26, wide = W < 500 ? 0.1 : 0.05;
    const bins = new Float64Array(Math.round(1.1 / wide));
    let above = 0;
    for (let i = 0; i < found.neuron.length; i += 1) {
      const value = models[found.model[i]].mean[found.neuron[i]];
      if (!Number.isNaN(value)) { bins[Math.max(0, Math.min(bins.length - 1, Math.floor((value + 0.1) / wide + 1e-9)))] += 1; above += value > chosen.threshold ? 1 : 0; }
    }
    const most = Math.max(1, ...bins);
    const x = (value) => left + ((value + 0.1) / 1.1) * (W - left - right), y = (number) => top + (1 - Math.sqrt(number / most)) * (H - top - bottom);
    const chart = s("svg", { viewBox: `0 0 ${W} ${H}`, role: "img" });
    bins.forEach((number, b) => {
      const from = -0.1 + b * wide, past = from >= chosen.threshold - 1e-9;
      if (number) {
        const tall = number < 1000 ? count(number) : number < 10000 ? `${(number / 1000).toFixed(1)}k` : `${Math.round(number / 1000)}k`;
        chart.append(s("rect", { class: `fill${past ? " past" : ""}`, x: x(from) + 1, width: x(from + wide) - x(from) - 2, y: y(number), height: y(0) - y(number) }), s("text", { x: (x(from) + x(from + wide)) / 2, y: y(number) - 5, "text-anchor": "middle" }, tall));
      }
    });
    chart.append(s("line", { class: "axis", x1: left, x2: W - right, y1: y(0), y2: y(0) }), s("line", { class: "limit", x1: x(chosen.threshold), x2: x(chosen.threshold), y1: top - 14, y2: y(0) }));
    for (const tick of [0, 0.25, 0.5, 0.75, 1]) { chart.append(s("text", { x: x(tick), y: H - 8, "text-anchor": tick === 1 ? "end" : "middle" }, decimal(tick, tick * 2 % 1 ? 2 : 1))); }
    chart.setAttribute("aria-label", `Mean excess of the ${plural(found.order.length, "neuron")} of the list; ${count(above)} lie above ${decimal(chosen.threshold, 2)}.`);
    return chart;
  };
  const start = (title, values) => h("li", null, h("button", { class: "push", type: "button", on: { click: () => { adopt({ query: "", model: -1, layer: -1, least: 0, exactly: -1, effect: "", family: -1, up: false, ...values }); find(); at("list").focus(); } } }, title));
  const SLIDER = [0.3, 0.7];
  const shareText = () => {
    // The mean over partners of the share of the reference's neurons above the threshold, as in table 1.
    const model = models[about.reference], { excess } = model.index, cut = chosen.threshold * about.parts;
    let above = 0, defined = 0;
    for (let k = 0; k < excess.length; k += 1) { if (excess[k] !== about.undefined) { defined += 1; above += excess[k] > cut ? 1 : 0; } }
    const any = counted(model).reduce((sum, one) => sum + (one > 0 ? 1 : 0), 0);
    return `Above ${decimal(chosen.threshold, 2)}, ${percent(above / defined)} of the neurons of model ${model.name} are universal with a partner, mean over ${model.partners.length}; ${percent(any / model.neurons)} are with at least one.`;
  };
  const shareSaid = () => h("p", { id: "share-said", role: "status" }, shareText());
  const slider = () => h("label", { class: "slider" }, "Threshold on the excess",
    h("input", { type: "range", id: "slider", min: SLIDER[0], max: SLIDER[1], step: 0.05, value: chosen.threshold,
      on: { input: (event) => { adopt({ threshold: Math.round(Number(event.target.value) * 20) / 20 }); at("share-said").textContent = shareText(); find(true); } } }));
  const paintOverview = () => {
    const number = Math.max(...models.map((one) => one.partners.length));
    at("panel").replaceChildren(
      h("h1", { class: "title" }, "Neuron explorer"),
      h("p", { class: "verdictline" }, about.suite, h("span", { class: "quiet" }, `. ${plural(models.reduce((sum, one) => sum + one.neurons, 0), "neuron")} of ${plural(models.length, "model")}: who their partners in the other seeds are, what activates them, what they write, and what the model loses without them.`)),
      h("ul", { class: "starts", "aria-label": "Where to begin" },
        start("Shared by every seed", { least: number, sort: "mean" }), start("In no other seed", { exactly: 0, sort: about.ablated ? "effect" : "name" }), about.ablated ? start("Missed most when removed", { sort: "effect" }) : null),
      section("How much depends on the threshold", slider(), shareSaid()),
      section("Mean excess of the neurons in the list", h("div", { class: "chart" }, spread()), h("p", { class: "small" }, "Heights are square roots of the numbers, so that few are seen beside many; dashed: the chosen threshold.")),
      section("How to look around", h("dl", { class: "keys" },
        h("dt", null, "a:L2.31"), h("dd", null, "a neuron by model, layer and number; the parts may be left out"),
        h("dt", null, "import"), h("dd", null, "neurons that fire on a token with these letters, or promote one; in quotes: this token"),
        h("dt", null, "/"), h("dd", null, "search"), h("dt", null, "↑ ↓ Enter"), h("dd", null, "through the list, open"), h("dt", null, "j k"), h("dd", null, "next and previous neuron of the list"), h("dt", null, "Escape"), h("dd", null, "clear, or back to the list"))));
    at("panel").setAttribute("aria-busy", "false");
  };

  const follow = () => {
    const one = target();
    shown = one;
    at("halves").dataset.view = one ? "neuron" : "list";
    at("wrong").textContent = inVain();
    at("wrong").hidden = !at("wrong").textContent;
    document.title = `${one ? label(one.model, one.neuron) : "Neurons"} – universal neurons`;
    if (one && active >= 0 && found.order.length && !isShown(foundAt(active))) {
      const index = found.order.findIndex((i) => found.model[i] === one.model && found.neuron[i] === one.neuron);
      if (index >= 0) { active = index; reveal(index); }
    }
    paintList();
    if (one) {
      const narrow = getComputedStyle(document.querySelector(".finder")).display === "none";
      paintNeuron(one).then(() => { if (narrow) { window.scrollTo(0, 0); const title = document.querySelector("#panel h1"); if (title) { title.focus({ preventScroll: true }); } } });
    } else { wantedPanel += 1; paintOverview(); }
    if (window.scrollY > 0) { window.scrollTo(0, 0); }
  };

  // --- controls ------------------------------------------------------------------------------------------------------

  const options = (id, pairs, value) => { at(id).replaceChildren(...pairs.map(([key, title]) => h("option", { value: key, selected: String(key) === String(value) }, title))); };
  const paintControls = () => {
    const layers = Math.max(...models.map((one) => one.starts.length)), number = Math.max(...models.map((one) => one.partners.length));
    const counts = Array.from({ length: number - 1 }, (_, i) => [`${i + 1}`, `at least ${i + 1}`]);
    options("model", [[-1, "all"], ...models.map((one, m) => [m, one.name])], chosen.model);
    options("layer", [[-1, "all"], ...Array.from({ length: layers }, (_, l) => [l, `${l}`])], chosen.layer);
    options("partners", [["0", "any number"], ["none", "none"], ...counts, [`${number}`, `all ${number}`]], chosen.exactly === 0 ? "none" : chosen.least);
    options("threshold", Array.from({ length: 17 }, (_, i) => (i + 2) / 20).concat([about.threshold]).filter((one, i, all) => all.indexOf(one) === i).sort().map((one) => [one, decimal(one, 2)]), chosen.threshold);
    options("family", [[-1, "anything"], ...about.families.map((one, k) => [k + 1, one]), [0, "nothing"]], chosen.family);
    at("family").parentElement.hidden = !told();
    options("effect", [["", "any"], ["top10", "largest 10 %"], ["top1", "largest 1 %"], ["bottom", "smaller half"]], chosen.effect);
  };
  const listen = () => {
    let timer = 0;
    at("search").addEventListener("input", (event) => { chosen.query = event.target.value; clearTimeout(timer); timer = setTimeout(find, 80); });
    const take = { model: (v) => { chosen.model = Number(v); }, layer: (v) => { chosen.layer = Number(v); }, effect: (v) => { chosen.effect = v; }, family: (v) => { chosen.family = Number(v); },
      threshold: (v) => { chosen.threshold = Number(v); }, partners: (v) => { chosen.exactly = v === "none" ? 0 : -1; chosen.least = v === "none" ? 0 : Number(v); } };
    for (const [id, act] of Object.entries(take)) { at(id).addEventListener("change", (event) => { act(event.target.value); find(); if (shown) { paintNeuron(shown); } }); }
    let waiting = false;
    at("list").addEventListener("scroll", () => { if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; paintList(); }); } });
    window.addEventListener("resize", () => { rowHeight = 0; paintList(); });
    window.addEventListener("hashchange", () => { const wanted = requested(); if (wanted) { adopt(wanted); find().then(follow); } else { follow(); } });
    // Not by their address, as it names what is shown.
    for (const link of document.querySelectorAll("a.skip")) { link.addEventListener("click", (event) => { event.preventDefault(); at(link.hash.slice(1)).focus(); }); }
    at("list").addEventListener("keydown", (event) => {
      const page = Math.max(1, Math.floor(at("list").clientHeight / height()) - 1);
      const to = { ArrowDown: active + 1, ArrowUp: active - 1, PageDown: active + page, PageUp: active - page, Home: 0, End: found.order.length - 1 }[event.key];
      if (to !== undefined) { event.preventDefault(); move(to); }
      else if (event.key === "Enter" && active >= 0) { event.preventDefault(); open(foundAt(active)); }
    });
    at("search").addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown") { event.preventDefault(); at("list").focus(); }
      if (event.key === "Enter") {
        event.preventDefault();
        clearTimeout(timer);
        chosen.query = event.target.value;
        find().then(() => { at("list").focus(); if (found.order.length === 1) { open(foundAt(0)); } });
      }
    });
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) { return; }
      const writing = event.target instanceof Element && event.target.closest("input, select, textarea") !== null;
      if (event.key === "/" && !writing) { event.preventDefault(); if (getComputedStyle(document.querySelector(".finder")).display === "none") { location.hash = ""; } at("search").focus(); at("search").select(); }
      else if (event.key === "Escape") {
        if (event.target === at("search") && at("search").value) { at("search").value = ""; chosen.query = ""; find(); }
        else if (shown) { location.hash = ""; at("list").focus(); } else { at("list").focus(); }
      }
      else if ((event.key === "j" || event.key === "k") && !writing && found.order.length) { move((shown ? active : active - 1) + (event.key === "j" ? 1 : -1)); open(foundAt(active)); }
    });
  };

  const ready = [];
  document.addEventListener("DOMContentLoaded", async () => {
    if (!at("panel")) { return; }
    try {
      about = await load("about");
      models = about.models;
      chosen.threshold = about.threshold;
      ready.push(...models.map(async (model, m) => { const index = await load(`${m}/index`); model.index = index; prepared(model); }));
      await ready[about.reference];
      withUnit(models[about.reference]);
      adopt(requested() || {});
      listen();
      await find();
      follow();
      document.documentElement.dataset.firstListMs = String(now());
      await Promise.all(ready);
      await find();
      if (shown) { follow(); }
      document.documentElement.dataset.completeMs = String(now());
    } catch (wrong) {
      at("count").textContent = "";
      at("panel").replaceChildren(h("h1", { class: "title" }, "Neuron explorer"), h("p", null, `The data of this page cannot be read: ${wrong.message}. It lies in the folder "neurons" beside the page.`));
    }
  });
})();
