// One sample, large: its input and what every analyzer found, with the value under the pointer and all numbers.

import * as charts from "./charts.js";
import { fill, h, set, whenChanged } from "./dom.js";
import { exact, short } from "./format.js";
import { Tile } from "./tile.js";
import { columnName, featuresOf, inputOf, relevanceOf, wordsOf } from "./view.js";

export class Large {
  /** `open` is called with another sample, or null for none; `go` with a step. */
  constructor(open, go) {
    this.go = go;
    this.panes = new Map();
    this.pointer = null; // where the pointer is: parts of width and height
    const button = (text, title, by) => h("button", { class: "toggle", title, onclick: () => open(by === null ? null : this.sample + by) }, text);
    this.back = button("← All samples", "Back to all samples (Esc)", null);
    this.before = button("▲", "The sample before (↑)", -1);
    this.after = button("▼", "The sample after (↓)", 1);
    this.heading = h("h2", { tabindex: -1 });
    this.truth = h("span", { class: "truth" });
    this.inside = h("div", { class: "panes" });
    this.element = h("div", { class: "large" }, h("header", {}, this.back, this.before, this.after, this.heading, this.truth), this.inside);
    this.arrange = whenChanged((panes) => fill(this.inside, panes.map((pane) => pane.element)));
    new ResizeObserver(() => this.view && this.draw(this.view)).observe(this.element);
  }

  draw(view) {
    this.view = view;
    const sample = (this.sample = Math.min(view.state.sample, view.count - 1));
    view.shown = [sample, sample + 1];
    const words = wordsOf(view, view.columns[0], sample, relevanceOf(view, view.columns[0], sample, 0).one);
    set(this.heading, { textContent: words.title });
    set(this.truth, { textContent: words.truth === null ? "" : `true class: ${words.truth}` });
    set(this.before, { disabled: sample <= 0 });
    set(this.after, { disabled: sample >= view.count - 1 });
    const kinds = panesOf(view);
    const width = this.#widthOf(view, kinds.length);
    const keys = kinds.map((pair) => JSON.stringify(pair));
    const shown = kinds.map(([kind, column], i) => {
      if (!this.panes.has(keys[i])) this.panes.set(keys[i], new Pane(kind, (pointer) => this.#point(pointer), this.go));
      const pane = this.panes.get(keys[i]);
      pane.draw(view, kind, column, sample, width);
      pane.point(this.pointer);
      return pane;
    });
    for (const key of this.panes.keys()) if (!keys.includes(key)) this.panes.delete(key);
    this.arrange(keys.join(), shown);
  }

  #widthOf(view, count) {
    const free = this.element.clientWidth - 40 - (count - 1) * 16;
    return Math.max(224, Math.min(448, Math.floor(free / count)));
  }

  #point(pointer) {
    this.pointer = pointer;
    for (const pane of this.panes.values()) pane.point(pointer);
  }
}

function panesOf(view) {
  const isText = view.section.kind === "tokens";
  const panes = view.views.includes("input") && !isText ? [["input", view.columns[0]]] : [];
  for (const column of view.columns) {
    const kinds = isText ? ["relevance"] : ["relevance", "overlay"].filter((kind) => view.views.includes(kind));
    for (const kind of kinds) panes.push([kind, column]);
  }
  return panes;
}

class Pane {
  constructor(kind, point, go) {
    this.go = go;
    this.tile = new Tile({ tabindex: 0 });
    this.mark = h("span", { class: "mark", hidden: true });
    this.title = h("h3");
    this.what = h("p", { class: "what" });
    this.readout = h("output", { class: "readout" });
    this.numbers = h("p", { class: "faint" });
    [this.table, this.history, this.audit, this.histogram] = [h("div"), h("div"), h("div"), h("div")];
    this.tile.element.append(this.mark);
    const parts = kind === "relevance" ? [this.table, this.history, this.audit, this.histogram] : [];
    this.element = h("section", { class: "pane" }, this.title, this.what, this.tile.element, this.readout, this.numbers, parts);
    this.tile.canvas.addEventListener("pointermove", (event) => point(within(event, this.tile.canvas)));
    this.tile.canvas.addEventListener("pointerleave", () => point(null));
    this.tile.canvas.addEventListener("keydown", (event) => this.#key(event, point));
    this.tile.tokens.addEventListener("pointerover", (event) => {
      const token = event.target.dataset?.token;
      if (token !== undefined) point([(Number(token) + 0.5) / this.one.plane.length, 0.5]);
    });
    this.drawTable = whenChanged((...values) => fill(this.table, [charts.features(...values)]));
    this.drawHistory = whenChanged((...values) => fill(this.history, [charts.history(...values)]));
    this.drawAudit = whenChanged((...values) => fill(this.audit, [charts.conservation(...values)]));
    this.drawHistogram = whenChanged((...values) => fill(this.histogram, [charts.histogram(...values)]));
  }

  draw(view, kind, column, sample, width) {
    set(this.element, { "data-view": kind, "data-tag": column[1], "data-run": column[0] });
    this.element.style.width = `${width}px`;
    const one = (this.one = this.tile.update(view, kind, column, sample, [width, width], 0));
    const name = kind === "input" ? "input" : columnName(view, column) + (kind === "overlay" ? " (overlay)" : "");
    set(this.title, { textContent: name, title: name });
    if (!one) return void set(this.what, { textContent: "" });
    const sizes = one.of.join(" × ");
    const { low, high, sum, broken } = one.facts;
    const bad = broken ? ` · ${broken} not finite` : "";
    const total = kind === "input" ? "" : `sum ${short(sum)} · `;
    set(this.numbers, { textContent: `${total}${short(low)} to ${short(high)} · shape ${sizes}${bad}` });
    this.features = featuresOf(view, column);
    this.limits = kind === "input" ? null : one.facts;
    if (kind === "input") return void set(this.what, { textContent: " " });
    const words = wordsOf(view, column, sample, one);
    const text = words.explained === null ? "" : `explains ${words.explained}: ${short(words.value)}`;
    const verdict = words.prediction === null ? "" : ` · ${{ true: "✓ predicted ", false: "✗ predicted ", null: "largest: " }[words.right]}${words.prediction}`;
    set(this.what, { textContent: text + verdict, class: `what ${{ true: "right", false: "wrong", null: "" }[words.right]}` });
    if (kind === "relevance") this.#numbers(view, column, sample, one, words, width);
  }

  #numbers(view, column, sample, one, words, width) {
    const isTable = one.shape[0] === 1 && one.kind !== "image" && this.features.length === one.plane.length;
    const given = isTable ? inputOf(view, column, sample, 0).one : null;
    const look = { limit: one.facts.largest || 1, map: view.map };
    if (isTable) this.drawTable(`${one.key} ${given?.key} ${view.map}`, one.plane, this.features, given?.plane, look);
    this.table.hidden = !isTable;
    const told = view.data.history(column, sample).value;
    if (told) this.drawHistory(JSON.stringify([told, one.step, width]), told, words.names, one.step, width, this.go);
    const about = view.data.about(column).value;
    const section = about?.sections.find(({ kind }) => kind === "audit");
    const audit = section && view.data.sample(column, one.step, section.name, sample);
    if (audit?.plane) this.drawAudit(`${audit.key}`, audit.plane, about.operations, Number(words.value));
    this.audit.hidden = !audit?.plane;
    this.drawHistogram(`${one.key} ${view.map} ${width}`, one.plane, one.facts, view.map, width);
  }

  /** Moves the pointer by a value. */
  #key(event, point) {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!by || !this.one) return;
    const [rows, columns] = this.one.shape;
    const [x, y] = this.at ?? [Math.floor(columns / 2) - by[0], Math.floor(rows / 2) - by[1]];
    const next = [Math.min(columns - 1, Math.max(0, x + by[0])), Math.min(rows - 1, Math.max(0, y + by[1]))];
    point([(next[0] + 0.5) / columns, (next[1] + 0.5) / rows]);
    event.preventDefault();
    event.stopPropagation();
  }

  /** Tells the value at a point, given as parts of width and height. */
  point(pointer) {
    const { one } = this;
    this.at = null;
    if (!pointer || !one) {
      set(this.readout, { textContent: " " });
      set(this.mark, { hidden: true });
      return;
    }
    const [rows, columns, channels] = one.shape;
    const [x, y] = [Math.min(columns - 1, Math.floor(pointer[0] * columns)), Math.min(rows - 1, Math.floor(pointer[1] * rows))];
    this.at = [x, y];
    const begin = (y * columns + x) * channels;
    const values = [...one.plane.slice(begin, begin + channels)].map(exact).join(", ");
    const token = one.kind === "tokens" && this.tile.words ? ` “${this.tile.words[x]}”` : "";
    const named = one.kind === "signal" ? this.features?.[y] : this.features?.[x];
    const at = rows === 1 ? `position ${x}` : `row ${y}, column ${x}`;
    const lane = one.kind === "signal" ? `${named ?? `channel ${y}`}, step ${x}` : null;
    const place = lane ?? (named && rows === 1 ? named : `${at}${token}`);
    set(this.readout, { textContent: `${place}: ${values}` });
    this.#mark(x / columns, y / rows, 1 / columns, 1 / rows);
  }

  #mark(left, top, width, height) {
    const { canvas } = this.tile;
    set(this.mark, { hidden: canvas.hidden });
    const size = (part, whole) => `${Math.max(4, part * whole)}px`;
    Object.assign(this.mark.style, {
      left: `${canvas.offsetLeft + left * canvas.offsetWidth}px`,
      top: `${canvas.offsetTop + top * canvas.offsetHeight}px`,
      width: size(width, canvas.offsetWidth),
      height: size(height, canvas.offsetHeight),
    });
  }
}

function within(event, canvas) {
  const box = canvas.getBoundingClientRect();
  const part = (value, size) => Math.min(0.999999, Math.max(0, value / size));
  return [part(event.clientX - box.left, box.width), part(event.clientY - box.top, box.height)];
}
